"""``python -m feedmill.cli``, for use when the script ``feedmill`` is not on PATH."""

from feedmill.cli import main

main()
