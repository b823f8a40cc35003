"""A message's parts, made to fit a receiver's limits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

_DIGEST = 32
"""Characters of SHA-256 in a shortened key: 128 bits."""

_UNIT = "utf-16-le"
"""What a limit counts: characters beyond the basic plane may be two. No receiver says; so no cut is too long."""


def key_of(alias: str, longest: int) -> str:
    """The alias as a key of at most ``longest`` bytes: the same for each message about the incident.

    An alias that is too long, or that a path of a URL cannot hold, ends in a digest of itself; so no two share a key.
    """
    packed = alias.encode("utf-8", "surrogatepass")
    if len(packed) <= longest and alias not in ("", ".", "..") and _is_text(alias):
        return alias
    digest = hashlib.sha256(packed).hexdigest()[:_DIGEST]
    return f"{packed[: longest - _DIGEST - 1].decode('utf-8', 'ignore')}~{digest}"


def cut(text: str, longest: int) -> str:
    """The text, with an ellipsis for what is beyond ``longest`` characters."""
    packed = text.encode(_UNIT, "surrogatepass")
    if len(packed) <= 2 * longest:
        return text
    return packed[: 2 * max(longest - 1, 0)].decode(_UNIT, "ignore") + "…"


def details_of(details: Mapping[str, str], longest: int) -> dict[str, str]:
    """The facts whose names and values together have at most ``longest`` characters; the first ones come first."""
    kept, room = {}, longest
    for name, value in details.items():
        shown = cut(value, min(1_000, room - _length(name)))
        if (room := room - _length(name) - _length(shown)) < 0:
            break
        kept[name] = shown
    return kept


def _length(text: str) -> int:
    return len(text.encode(_UNIT, "surrogatepass")) // 2


def _is_text(alias: str) -> bool:
    """Whether it has no half of a surrogate pair, which no JSON carries."""
    return not any("\ud800" <= character <= "\udfff" for character in alias)
