"""What one partition reads, and what follows from it: whether it is stale, frozen, or lacks an input. Pure.

These are the definitions. :mod:`feedmill.freshness.states` computes the same of whole tables at once, and a property
test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from feedmill.freshness.facts import Cause, Facts, Spot
from feedmill.spec import Files, Input, Ripple, Table
from feedmill.timeline import Range


def frozen_because(table: Table, partition: datetime, facts: Facts) -> Spot | None:
    """The oldest partition that this one needs and that has expired: it is never rebuilt. None: it can be."""
    gone = []
    for entry in table.inputs:
        expired = facts.expired.get(entry.table.name) if isinstance(entry, Input) else None
        if isinstance(entry, Input) and expired:
            gone += [Spot(entry.table, p) for p in reads(entry, table, partition, facts) if p in expired]
    return min(gone, key=lambda one: (one.partition, one.table.name), default=None)


def reads(entry: Input, table: Table, partition: datetime, facts: Facts) -> list[datetime]:
    """The input's partitions that a build of this partition reads, or would read if they had not expired."""
    published = facts.published.get(entry.table.name, {})
    expired = facts.expired.get(entry.table.name, frozenset())
    if entry.by == "touches":
        return sorted(facts.touches.get(entry.table.name, {}).get(partition, {}))
    if entry.as_of:
        newest = _newest(entry, table, partition, [*published, *expired])
        return [] if newest is None else [newest]
    start, end = entry.window(table.one(partition))
    found = []
    while start < end:
        if start in published or start in expired:
            found.append(start)
        start += entry.table.every.length
    return found


def stale_because(table: Table, partition: datetime, facts: Facts) -> list[Cause]:
    """Everything that the published partition reads and that was published or registered after its begin.

    Empty: it is fresh, or it was never published, or it is frozen and keeps its rows.
    """
    mine = facts.published.get(table.name, {}).get(partition)
    if mine is None or frozen_because(table, partition, facts) is not None:
        return []
    rippling = [entry for entry in table.inputs if _ripples(entry, table, partition, facts)]
    return [cause for entry in rippling for cause in _newer(entry, table, partition, facts, mine.begin)]


def reads_the_same(table: Table, partition: datetime, facts: Facts) -> bool:
    """Whether a build now would read what the build of the published partition read.

    Unlike for staleness, an input counts also if its changes do not ripple.
    """
    mine = facts.published.get(table.name, {}).get(partition)
    if mine is None or frozen_because(table, partition, facts) is not None:
        return False
    return not any(_newer(entry, table, partition, facts, mine.begin) for entry in table.inputs)


def as_of_partition(entry: Input, table: Table, partition: datetime, facts: Facts) -> datetime | None:
    """The newest published partition of a dimension that ended, plus its lag, before the reader's end."""
    return _newest(entry, table, partition, facts.published.get(entry.table.name, {}))


def missing(table: Table, span: Range, facts: Facts) -> list[Spot]:
    """The input partitions that the range needs and that are not published, in order.

    - Files never keep a build waiting: an hour has whatever arrived in it.
    - By touches, it needs the arrival hours of the same names, before the table's history too: whoever restates old
      hours would otherwise publish them empty while their arrival hours are still at work.
    - A window needs its input's partitions from :func:`history` on, and those of the range itself. Of earlier ones
      it reads what is published, so that an old hour that was restated alone is no gap.
    - Of the reader's partition in which the input's ``since`` lies, it needs what comes from ``since`` on: nobody will
      ever build the first day's earlier hours by themselves.
    - Of an ``as_of`` input any partition that has ended will do, and where it is ``optional``, none.
    """
    found = []
    for entry in table.inputs:
        if not isinstance(entry, Input):
            continue
        begins = history(entry.table, facts)
        if entry.as_of:
            if not entry.optional and as_of_partition(entry, table, span.start, facts) is None:
                found.append(Spot(entry.table, entry.table.every.floor(_limit(entry, table, span.start))))
            continue
        start, end = entry.window(span)
        if entry.lookback:
            start = max(start, min(span.start, begins or span.start))
        if start < end:
            # What has expired is not waited for: it freezes its readers.
            there = facts.published.get(entry.table.name, {}).keys() | facts.expired.get(entry.table.name, set())
            window = [p for p in Range.cover(start, end, entry.table.every).partitions() if p not in there]
            if begins is not None:
                window = [p for p in window if p >= begins or _is_needed_before(entry, table, p, begins, facts)]
            found += [Spot(entry.table, p) for p in window]
        elif begins is None:
            # A lag leaves nothing to read of a history that begins here, and nobody knows yet that it does.
            found.append(Spot(entry.table, entry.table.every.floor(span.start)))
    return found


def history(table: Table, facts: Facts) -> datetime | None:
    """Where the table's history begins, by the map or FEEDMILL_SINCE.

    If neither says so, it begins with the first published partition; None: there is none.
    """
    return since_of(table, facts) or min(facts.published.get(table.name, {}), default=None)


def since_of(table: Table, facts: Facts) -> datetime | None:
    """The first partition of the table's history by the map or FEEDMILL_SINCE; None: neither says so."""
    since = table.since or facts.since
    return None if since is None else table.every.floor(since)


def _is_needed_before(entry: Input, table: Table, partition: datetime, begins: datetime, facts: Facts) -> bool:
    """Whether the reader's partition at that time needs the input's, which lies before the input's history.

    The reader's partition in which the history begins does so only where nobody has said that it begins there.
    """
    own = table.every.floor(partition)
    if own == table.every.floor(begins) and since_of(entry.table, facts) is not None:
        return False
    return partition < own + table.every.length - entry.lag


def _limit(entry: Input, table: Table, partition: datetime) -> datetime:
    """The start of a dimension's partition that ends, plus the lag, just as the reader ends."""
    return partition + table.every.length - entry.lag - entry.table.every.length


def _newest(entry: Input, table: Table, partition: datetime, among: Iterable[datetime]) -> datetime | None:
    limit = _limit(entry, table, partition)
    return max((p for p in among if p <= limit), default=None)


def _newer(entry: Input | Files, table: Table, partition: datetime, facts: Facts, begin: int) -> list[Cause]:
    """What the partition reads of this input and carries a number above the begin."""
    numbers = _numbers(entry, table, partition, facts)
    return [Cause(_name(entry), where, number) for where, number in numbers if number > begin]


def _numbers(entry: Input | Files, table: Table, partition: datetime, facts: Facts) -> list[tuple[datetime, int]]:
    start, end = entry.window(table.one(partition))
    if isinstance(entry, Files):
        return [(hour, n) for hour, n in facts.files.get(entry.kind, {}).items() if start <= hour < end]
    if entry.by == "touches":
        # Nothing is read of an expired arrival partition any more: see :func:`frozen_because`.
        expired = facts.expired.get(entry.table.name, frozenset())
        touches = facts.touches.get(entry.table.name, {}).get(partition, {})
        return [(arrival, number) for arrival, number in touches.items() if arrival not in expired]
    published = facts.published.get(entry.table.name, {})
    return [(p, published[p].number) for p in reads(entry, table, partition, facts) if p in published]


def _ripples(entry: Input | Files, table: Table, partition: datetime, facts: Facts) -> bool:
    if entry.ripple is Ripple.LATEST:
        return partition == max(facts.published.get(table.name, {}), default=None)
    return entry.ripple is Ripple.ALL


def _name(entry: Input | Files) -> str:
    return entry.table.name if isinstance(entry, Input) else f"files of {entry.kind}"
