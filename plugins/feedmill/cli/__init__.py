"""``feedmill`` on the command line: one module a command, over the modules that Airflow's tasks use.

=============  =================================================================================
``app``        the application, its commands in the order in which ``--help`` lists them
``command``    what all commands share: ``--json``, ``--debug``, errors in one sentence
``exits``      how a command ends with an error: exit code and sentence
``output``     results on stdout, progress and sentences on stderr
``options``    arguments that several commands take, and what they are turned into
=============  =================================================================================

The other modules are the commands. Whatever is slow to import is imported inside of them, so that ``--help``
stays quick.
"""

from __future__ import annotations


def main() -> None:
    """The entry point of ``feedmill``; ends the process with an :class:`~feedmill.errors.Exit`."""
    import sys
    import warnings

    from feedmill.cli.app import app

    if "--debug" not in sys.argv:
        # Libraries' words to developers, some of them at the end of the process; a user is told by an error.
        warnings.simplefilter("ignore")
    app(prog_name="feedmill")
