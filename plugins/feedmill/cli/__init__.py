"""``feedmill`` on the command line: one module a command, over the modules that Airflow's tasks use.

=============  =================================================================================
``app``        the application, its commands in the order in which ``--help`` lists them
``command``    what all commands share: ``--json``, ``--debug``, errors in one sentence
``exits``      the exit codes, and which error ends with which
``output``     results on stdout, progress and sentences on stderr
``options``    arguments that several commands take, and what they are turned into
=============  =================================================================================

The other modules are the commands. Whatever is slow to import is imported inside of them, so that ``--help``
stays quick.
"""

from __future__ import annotations


def main() -> None:
    """The entry point of ``feedmill``; ends the process with an :class:`~feedmill.cli.exits.Exit`."""
    from feedmill.cli.app import app

    app(prog_name="feedmill")
