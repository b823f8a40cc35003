"""``feedmill`` on the command line: one module a command, over the modules that Airflow's tasks use.

=============  =================================================================================
``app``        the application, and its commands in the order of ``--help``
``command``    what all commands share: ``--json``, ``--debug``, errors in one sentence
``exits``      how a command ends with an error: exit code and sentence
``output``     results on stdout, progress and sentences on stderr
``options``    arguments that several commands share, and the objects made from them
=============  =================================================================================

The other modules are the commands. They import slow modules inside their functions, so that ``--help`` stays quick.
"""

from __future__ import annotations


def main() -> None:
    """The entry point of ``feedmill``; ends the process with an :class:`~feedmill.errors.Exit`."""
    import sys
    import warnings

    from feedmill.cli.app import app

    if "--debug" not in sys.argv:
        # Warnings of libraries are for developers, and some come at the end of the process. Errors tell users enough.
        warnings.simplefilter("ignore")
    app(prog_name="feedmill")
