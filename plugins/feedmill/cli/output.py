"""A command's output: its result on stdout, as text or as JSON, and sentences and progress on stderr."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

_WIDE = 10_000
"""The width that we assume if the output is not a terminal, in characters."""

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress


@dataclass
class Output:
    """Where and in which form the running command writes."""

    as_json: bool = False
    debug: bool = False

    @property
    def console(self) -> Console:
        """Stdout, for people. If it is not a terminal, lines are not wrapped, so that they can be searched."""
        return _console(stderr=False)

    @property
    def notes(self) -> Console:
        """Stderr."""
        return _console(stderr=True)

    def result(self, data: Any, text: RenderableType | None = None) -> None:
        """Print the command's result: ``data`` with ``--json``, else ``text``."""
        if self.as_json:
            sys.stdout.write(json.dumps(data, default=plain, indent=2) + "\n")
        elif text is not None:
            self.console.print(harmless(text) if isinstance(text, str) else text)

    def note(self, sentence: str, style: str | None = None) -> None:
        """Print a sentence on stderr."""
        self.notes.print(harmless(sentence), style=style, markup=False, highlight=False)

    @contextmanager
    def steps(self, first: str) -> Iterator[Steps]:
        """Show what is being done, in one line that is taken from the log. With ``--debug``, show the log itself."""
        if self.debug or not self.notes.is_terminal:
            with _logging(_Printer(self), logging.DEBUG if self.debug else logging.INFO):
                yield Steps(self, None)
            return
        with self.notes.status(first) as status, _logging(_Follower(status.update), logging.INFO):
            yield Steps(self, status)

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Bar]:
        """Show a progress bar on stderr, if that is a terminal."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.notes, transient=True, disable=not self.notes.is_terminal) as progress:
            yield Bar(progress, progress.add_task(what, total=total))


@dataclass
class Bar:
    """A running progress bar."""

    _progress: Progress
    _task: Any

    def to(self, done: int, total: int, what: str) -> None:
        """``done`` of ``total`` are done, and ``what`` is next."""
        self._progress.update(self._task, completed=done, total=total, description=what)


@dataclass
class Steps:
    """The line that says what is being done."""

    _output: Output
    _status: Any

    def now(self, what: str) -> None:
        """Show that the next step begins."""
        if self._status is not None:
            self._status.update(what)
        else:
            self._output.note(what, style="dim")


class _Follower(logging.Handler):
    def __init__(self, update: Any):
        super().__init__()
        self._update = update

    def emit(self, record: logging.LogRecord) -> None:
        from rich.markup import escape

        self._update(escape(record.getMessage().splitlines()[0]))


class _Printer(logging.Handler):
    def __init__(self, output: Output):
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        self._output.note(record.getMessage(), style="dim")


@contextmanager
def _logging(handler: logging.Handler, level: int) -> Iterator[None]:
    """Send Feedmill's own log to ``handler`` inside the ``with`` block."""
    logger = logging.getLogger("feedmill")
    before, propagated = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = propagated


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Console(stderr=stderr, highlight=False)
    # Lines of a file are never wrapped, so that rows can be searched and cut.
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=_WIDE)


def plain(value: object) -> object:
    """The JSON form of a value that JSON does not know: times in ISO 8601, bytes in hexadecimal digits."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_MARKS = {"\u061c", "\u200e", "\u200f"}
_INVISIBLE = {"Cc", "Cs", "Zl", "Zp"}


def harmless(text: str, keep: str = "\n\t") -> str:
    """The text with escapes such as ``\\x1b`` for whatever a terminal would obey.

    Ids and file names come from outside. Control characters (of eight bits, too) can clear the screen, set its title or
    write to the clipboard; marks of direction make a line read in another order.
    """
    return "".join(c if c in keep or not _is_obeyed(c) else _escaped(c) for c in text)


def _is_obeyed(character: str) -> bool:
    return (
        unicodedata.category(character) in _INVISIBLE
        or unicodedata.bidirectional(character) in _TURNS
        or character in _MARKS
    )


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode() if ord(character) > 127 else repr(character)[1:-1]


def listing(headers: Iterable[str], rows: Iterable[Iterable[Any]], right: Iterable[str] = ()) -> RenderableType:
    """Rows as a plain text table. The columns named in ``right`` are numbers and are aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    numbers = set(right)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for header in headers:
        table.add_column(harmless(header, keep=""), justify="right" if header in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(harmless(str(cell), keep="")) for cell in row))
    return table
