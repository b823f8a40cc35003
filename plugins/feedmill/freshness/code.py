"""A code identity as it is compared: the digest, what it is made of, and in what two of them differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping


class Identity(str):
    """The identity of a table's code: 16 hexadecimal digits."""

    __slots__ = ("parts",)
    parts: Mapping[str, str]
    """What it is made of: a digest of each part, by name."""

    @classmethod
    def of(cls, digest: str, parts: Mapping[str, str]) -> Identity:
        """The identity with its parts."""
        made = cls(digest)
        made.parts = parts
        return made


def changed(then: Mapping[str, str], today: Mapping[str, str]) -> list[str]:
    """The names of the parts in which two codes of a table differ, files first."""
    names = [name for name in then.keys() | today.keys() if then.get(name) != today.get(name)]
    return sorted(names, key=lambda name: (not name.endswith(".py"), name))
