"""What every command shares: ``--json``, ``--debug``, and errors as one sentence with an exit code."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from feedmill.cli.exits import code_of, sentence_of
from feedmill.cli.output import Output
from feedmill.errors import Exit

_PANEL = "Every command"

_SHARED = {
    "as_json": Annotated[
        bool,
        typer.Option("--json", help="Print the result as JSON on stdout, all else on stderr.", rich_help_panel=_PANEL),
    ],
    "debug": Annotated[
        bool, typer.Option("--debug", help="Show the whole log, and the traceback of an error.", rich_help_panel=_PANEL)
    ],
}

_CURRENT = Output()


def output() -> Output:
    """The output of the running command."""
    return _CURRENT


def command(
    app: typer.Typer, name: str, panel: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command of ``app`` with ``--json`` and ``--debug``. Its errors become sentences.

    ``panel`` is the heading under which ``--help`` lists it.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(*, as_json: bool, debug: bool, **arguments: Any) -> None:
            _CURRENT.as_json, _CURRENT.debug = as_json, debug
            try:
                function(**arguments)
            except typer.Exit:
                raise
            except (Exception, KeyboardInterrupt) as error:
                if debug:
                    traceback.print_exc()
                _CURRENT.note(sentence_of(error), style="red")
                raise typer.Exit(int(code_of(error))) from error

        signature = inspect.signature(function, eval_str=True)
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for key, kind in _SHARED.items()
        ]
        parameters = [*signature.parameters.values(), *shared]
        # Typer reads a command's arguments from these two.
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, rich_help_panel=panel, help=_paragraphs(function))(run)
        return function

    return register


def _paragraphs(function: Callable[..., None]) -> str:
    """The docstring with one line for each paragraph: ``--help`` would keep its line breaks at every width."""
    return "\n\n".join(part.replace("\n", " ") for part in (inspect.getdoc(function) or "").split("\n\n"))


def ended(code: Exit) -> None:
    """End the command with another code than OK, after it has printed its result."""
    if code is not Exit.OK:
        raise typer.Exit(int(code))
