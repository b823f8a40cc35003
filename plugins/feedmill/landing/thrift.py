"""Thrift's compact protocol, as far as Parquet writes its footers and the headers of its pages with it.

Not with pyarrow, which ends the process, and with it a build, where a footer lacks what every writer writes: one wrong
byte is enough.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Fields: TypeAlias = dict[int, Any]
"""A structure: numbers, bytes, lists and structures by the number of the field."""

_DEEPEST = 16
"""How deep structures and lists may stand in each other; a footer has eight levels."""


def structure(content: bytes, start: int = 0) -> tuple[Fields, int]:
    """The structure that begins at ``start``, and where it ends.

    Raises:
        LookupError: the bytes end before it does.
        ValueError: they are none.
    """
    reader = _Reader(content, start)
    return reader.fields(0), reader.at


class _Reader:
    def __init__(self, content: bytes, start: int) -> None:
        self._content, self.at = content, start

    def fields(self, depth: int) -> Fields:
        found: Fields = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._number()
            kind = head & 15
            found[field] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("too deep")
        match kind:
            case 1 | 2 | 3:  # in a list, a truth value takes a byte
                return self._byte()
            case 4 | 5 | 6:
                return self._number()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._varint())
            case 9 | 10:
                return self._list(depth)
            case 12:
                return self.fields(depth + 1)
            case _:  # a map, which no structure of Parquet has
                raise ValueError(f"type {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        length = head >> 4 if head >> 4 < 15 else self._varint()
        if length > len(self._content) - self.at:
            raise IndexError(length)
        return [self._value(head & 15, depth + 1) for _ in range(length)]

    def _byte(self) -> int:
        self.at += 1
        return self._content[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 64:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("a number without an end")

    def _number(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def _bytes(self, length: int) -> bytes:
        if length > len(self._content) - self.at:
            raise IndexError(length)
        self.at += length
        return self._content[self.at - length : self.at]
