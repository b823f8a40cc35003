"""Text that came from outside, made fit to be stored and shown."""

from __future__ import annotations

import unicodedata

_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the order of a text around, so that it reads as something else."""


def printable(text: str) -> str:
    r"""The text with characters escaped, ``\x1b`` for example, that PostgreSQL cannot store or a terminal obeys.

    PostgreSQL takes neither NUL nor half of a surrogate pair, which is also how Python reads a name that is not UTF-8.
    Line breaks and tabs stay.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def on_one_line(text: str) -> str:
    """The same, with line breaks and tabs escaped, too: no name begins a line of a log."""
    return printable(text).replace("\t", "\\t").replace("\n", "\\n")


def _escaped(character: str) -> str:
    if character in "\n\t" or (unicodedata.category(character) not in {"Cc", "Cs"} and character not in _TURNING):
        return character
    if "\udc80" <= character <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
