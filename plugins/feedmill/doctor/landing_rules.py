"""The doctor's rules for the landing zone: files that lie there, and files that are registered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from feedmill.doctor import examination
from feedmill.doctor.facts import Facts, Reader, Unread, Waiting
from feedmill.doctor.rule import Finding, Rule, counted, first_of
from feedmill.freshness.load import picture
from feedmill.landing import discover as landing
from feedmill.ledger import files
from feedmill.printable import on_one_line
from feedmill.spec import FileKind, Table
from feedmill.timeline import HOUR

if TYPE_CHECKING:
    from feedmill.deployment import Deployment

GRACE = timedelta(hours=1)
"""How long a landed file may wait to be registered or read: the next hour's build does it. Clocks may be as wrong."""


class FileGone(Rule[Facts]):
    """A registered file is gone. (If no build had read it: :class:`LeftRegistration`.)"""

    ill = "file missing or changed"

    def look(self, seen: Facts) -> Iterator[Finding]:
        urls = sorted(
            {url for url, state in seen.altered.items() if state == "gone"}
            - set(moved(seen.unread, seen.readers, seen.now))
        )
        if urls:
            yield self.finding(
                "",
                f"{counted(len(urls), 'registered file is', 'registered files are')} gone: {first_of(urls)}",
                "Put them back with the same bytes: otherwise what was built from them cannot be rebuilt. If they are "
                "lost for good, `feedmill files disown` them.",
                urls,
            )


class FileChanged(Rule[Facts]):
    """A registered file has other bytes than when it was registered."""

    ill = "file missing or changed"

    def look(self, seen: Facts) -> Iterator[Finding]:
        urls = sorted(url for url, state in seen.altered.items() if state == "changed")
        if urls:
            yield self.finding(
                "",
                f"{counted(len(urls), 'registered file has', 'registered files have')} changed: {first_of(urls)}",
                "Put the old files back, and land the new ones under other names. If the old ones are lost for good, "
                "`feedmill files disown` them.",
                urls,
            )


class Closed(Rule[Facts]):
    """A landed file cannot be opened."""

    ill = "file cannot be opened"

    def look(self, seen: Facts) -> Iterator[Finding]:
        closed = [file for file in seen.waiting if file.closed]
        if closed:
            with_reasons = [f"{file.url} ({file.closed})" for file in closed]
            yield self.finding(
                "",
                f"{counted(len(closed), 'landed file', 'landed files')} cannot be opened: {first_of(with_reasons)}",
                "Give Feedmill's user read access, or take the files away. Until then no build registers them.",
                [file.url for file in closed],
            )


class Irregular(Rule[Facts]):
    """Something lies in the landing zone that is neither a regular file nor a folder that can be listed."""

    ill = "no regular file"

    def look(self, seen: Facts) -> Iterator[Finding]:
        if seen.odd:
            found = [f"{on_one_line(url)} ({what})" for url, what in sorted(seen.odd.items())]
            yield self.finding(
                "",
                f"{counted(len(found), 'entry', 'entries')} of the landing zone {'is' if len(found) == 1 else 'are'} "
                f"not read: {first_of(found)}",
                "Only regular files are read, and links are never followed. Take it away, or land the file itself.",
                sorted(seen.odd),
            )


class NotRegistered(Rule[Facts]):
    """The hour of a landed file has ended, and no build has registered the file."""

    ill = "file not registered"

    def look(self, seen: Facts) -> Iterator[Finding]:
        late = [file for file in seen.waiting if not file.closed and _due(file) + GRACE < seen.now]
        if late:
            yield self.finding(
                "",
                f"{counted(len(late), 'landed file is', 'landed files are')} not registered, though the hour is over: "
                f"{first_of([file.url for file in late])}",
                "The next build of a table that reads such files registers them. Are the DAGs of these tables paused?",
                [file.url for file in late],
            )


class Misplaced(Rule[Facts]):
    """Files lie in a folder that is not named after an arrival hour."""

    ill = "folder names no hour"

    def look(self, seen: Facts) -> Iterator[Finding]:
        for folder, urls in sorted(seen.misplaced.items()):
            yield self.finding(
                "",
                f"{counted(len(urls), 'file lies', 'files lie')} in {folder}, whose name is not an arrival hour: "
                "no build lands what is there; events.rejected lists it, now or soon",
                "Move them to <source>/<YYYY-MM-DDTHH>/: there they count as new files and are landed.",
                urls,
            )


class Astray(StrEnum):
    """Why no scheduled build reads a registered file: the end of a sentence that starts with its hour."""

    TO_COME = "is still to come"
    BEFORE = "is before the history of the tables that read it"
    TOO_OLD = "was past its retention when the file arrived"


def astray(file: Unread, readers: Sequence[Reader], now: datetime) -> Astray | None:
    """Why no scheduled build reads the file.

    None if a build will read it, if `status` says that one is overdue, or if nobody knows yet: a reader that was never
    published may begin its history anywhere.

    A file of an hour past its retention is left alone if it arrived in time: it may have been built, and the ledger
    that knew so may have been lost.
    """
    hour = file.hour
    if hour > now + GRACE:
        return Astray.TO_COME
    if not readers or hour + HOUR.length + GRACE >= now:
        return None
    if any(one.since is None or one.newest(hour) >= one.since for one in readers):
        return None
    kept = max(one.kept_until(hour) for one in readers)
    if kept > now:
        return Astray.BEFORE
    return Astray.TOO_OLD if file.received > kept else None


class NotRead(Rule[Facts]):
    """A registered file lies in an hour that no scheduled build reads."""

    ill = "file that no build reads"

    def look(self, seen: Facts) -> Iterator[Finding]:
        busy = {worker.table_name for worker in seen.workers}
        for kind, readers in seen.readers.items():
            # While history is being built, a later hour may be published before an earlier one has begun.
            building = any(one.table.name in busy for one in readers)
            for why, unread in _by_reason(seen, kind, readers).items():
                if why is Astray.BEFORE and building:
                    continue
                yield self.finding(
                    "",
                    f"no scheduled build reads {counted(len(unread), 'registered file', 'registered files')}, because "
                    f"the hour {why}: {first_of(_folders(unread))}",
                    _build(unread, readers, seen.now) if why is Astray.BEFORE else _MOVE,
                    [file.url for file in unread],
                )


_MOVE = (
    "Move them to the folder of the hour in which they arrived, where they count as new files. "
    "Then `feedmill doctor --mend` removes the old registration."
)


def moved(unread: Iterable[Unread], readers: Mapping[FileKind, Sequence[Reader]], now: datetime) -> list[str]:
    """Registered files that nobody misses: they lay in the folder of a wrong hour, are gone, and no build read them."""
    wrong = (Astray.TO_COME, Astray.TOO_OLD)
    return [file.url for file in unread if file.gone and astray(file, readers.get(file.kind, ()), now) in wrong]


def forget_moved(deployment: Deployment, _tables: Sequence[Table], now: datetime) -> None:
    """Remove the registrations of files that were moved out of the folder of a wrong hour before a build read them."""
    found = landing.landed(deployment.lake.landing, deployment.sources.values())
    with deployment.ledger.transaction() as session:
        readers = examination.readers(picture(session, deployment.tables, {}, now))
        unread = examination.unread(session, deployment, found)
        files.forget(session, moved(unread, readers, now), deployment.tables)


class LeftRegistration(Rule[Facts]):
    """A file was moved out of the folder of a wrong hour, and is still registered there."""

    ill = "registration left behind"
    mend = staticmethod(forget_moved)

    def look(self, seen: Facts) -> Iterator[Finding]:
        urls = moved(seen.unread, seen.readers, seen.now)
        if urls:
            yield self.finding(
                "",
                f"{counted(len(urls), 'registered file', 'registered files')} that no build had read "
                f"{'is' if len(urls) == 1 else 'are'} gone: {first_of(urls)}",
                "`feedmill doctor --mend` removes the registration: nothing was built from what is gone.",
                urls,
            )


def _due(file: Waiting) -> datetime:
    """When the file's hour had ended and the file was there."""
    return max(file.folder_hour + HOUR.length, file.modified) if file.folder_hour else file.modified


def _by_reason(facts: Facts, kind: FileKind, readers: Sequence[Reader]) -> dict[Astray, list[Unread]]:
    """The files of a kind that no scheduled build reads."""
    found: defaultdict[Astray, list[Unread]] = defaultdict(list)
    for file in facts.unread:
        if file.kind == kind and not file.gone and (why := astray(file, readers, facts.now)):
            found[why].append(file)
    return found


def _folders(unread: Iterable[Unread]) -> list[str]:
    """The folders of the files, with the number of files in each."""
    counts = Counter(file.url.rpartition("/")[0] for file in unread)
    return [f"{folder} ({count})" for folder, count in sorted(counts.items())]


def _build(unread: Sequence[Unread], readers: Sequence[Reader], now: datetime) -> str:
    """What to build.

    If nobody has said where a history begins, it is up to its first partition: the hours in between would be overdue.
    """
    commands = []
    for one in readers:
        every = one.table.every
        wanted = [one.newest(file.hour) for file in unread if one.kept_until(file.hour) > now]
        if wanted and one.since is not None:
            start, end = min(wanted), max(wanted) + every.length if one.is_given else one.since
            commands.append(
                f"`feedmill build {one.table.name} --start {every.name_of(start)} --end {every.name_of(end)}`"
            )
    return f"To read them, run {' and '.join(commands)}, or trigger the tables' DAGs with the same start and end."
