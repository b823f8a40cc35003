"""Which folders of the landing zone discovery has looked through, so that it need not list them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ARRAY, Text, all_, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from feedmill.ledger.models import Folder

GRAIN = timedelta(seconds=10)
"""Two changes of a folder at one tick of the disk's clock look like one. So a folder counts as looked through when two
looks this far apart saw it unchanged: what comes later comes at a later tick. The disk's clock and ours may differ."""


@dataclass(frozen=True)
class Memory:
    """What earlier looks at some sources left, and the ledger's time when it was read."""

    at: datetime
    folders: Mapping[str, Folder]

    def unchanged(self, url: str, stamp: str) -> bool:
        """Whether everything in the folder is registered, and nothing has come since."""
        folder = self.folders.get(url)
        return folder is not None and folder.complete and folder.stamp == stamp

    def swept(self, url: str, every: timedelta) -> bool:
        """Whether the source's whole folder was listed within that time."""
        folder = self.folders.get(url)
        return folder is not None and folder.seen_at + every > self.at


@dataclass(frozen=True)
class Look:
    """One folder, just looked through."""

    url: str
    source: str
    stamp: str | None
    whole: bool
    """Whether all its files are registered by now: none was closed, none changed while it was read."""


def remembered(session: Session, sources: Iterable[str]) -> Memory:
    """What earlier looks at these sources left."""
    at = session.scalars(select(func.clock_timestamp())).one()
    rows = session.scalars(select(Folder).where(Folder.source.in_(list(sources))))
    return Memory(at, {row.url: row for row in rows})


def forget_others(session: Session, looks: Iterable[Look], below: str) -> None:
    """Delete the source's folders that a look at everything did not see: they were removed."""
    seen = [look.url for look in looks]
    session.execute(
        delete(Folder).where(
            Folder.url.startswith(f"{below}/", autoescape=True), Folder.url != all_(literal(seen, ARRAY(Text)))
        )
    )


def record(session: Session, looks: Iterable[Look], before: Memory) -> None:
    """Keep what the looks have found out, where it is news. ``before`` was read before the folders were listed."""
    # By the clock of the statement: after the listing.
    now = session.scalars(select(func.clock_timestamp())).one()
    rows = []
    for look in looks:
        seen_at, complete, old = now, False, before.folders.get(look.url)
        if old is not None and look.stamp is not None and old.stamp == look.stamp:
            seen_at, complete = old.seen_at, look.whole and old.seen_at + GRAIN <= before.at
            if old.complete == complete:
                continue
        values = {"url": look.url, "source": look.source, "stamp": look.stamp}
        rows.append({**values, "seen_at": seen_at, "complete": complete})
    if rows:
        new = insert(Folder)
        others = {name: new.excluded[name] for name in ("source", "stamp", "seen_at", "complete")}
        session.execute(new.on_conflict_do_update(index_elements=["url"], set_=others), rows)
