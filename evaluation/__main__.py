"""`make evaluate`, or `make evaluate ONLY=affinity`: run the evaluations and write docs/evaluation/."""

from __future__ import annotations

import argparse
import importlib
import sys

from evaluation.data import DataMissingError

EVALUATIONS = ("affinity", "popularity", "trending", "recommender", "open_bandit")
"""Modules with a function ``run``, in the order of the pages."""


def main() -> int:
    """Run the named evaluations, or all."""
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[[], *EVALUATIONS], metavar="|".join(EVALUATIONS))
    chosen = parser.parse_args().only or EVALUATIONS
    for name in chosen:
        try:
            importlib.import_module(f"evaluation.{name}").run()
        except DataMissingError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
