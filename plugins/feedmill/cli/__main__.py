"""``python -m feedmill.cli``, where the package's scripts are not on PATH."""

from feedmill.cli import main

main()
