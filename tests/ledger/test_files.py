"""Rule 6: a file is registered once, in an arrival hour that no build has sealed."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from feedmill.freshness.load import load
from feedmill.ledger import builds, files
from feedmill.ledger.files import FoundFile
from feedmill.ledger.models import File, SealedHour
from feedmill.ledger.store import Ledger
from feedmill.spec import FileKind, Files, Table
from feedmill.timeline import DAY, HOUR, Range, days, hours

pytestmark = pytest.mark.rule(6)

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
NOW = datetime(2026, 5, 2, 8, 40, tzinfo=UTC)


def found(name: str, hour: datetime = START, kind: FileKind = "events") -> FoundFile:
    return FoundFile(f"file:///{name}", "source", kind, hour, 10, "etag", hour, None)


def register(ledger: Ledger, *entries: FoundFile, now: datetime = NOW) -> list[File]:
    with ledger.transaction() as session:
        return files.register(session, list(entries), now)


def begin(ledger: Ledger, table: Table, span: Range) -> int:
    with ledger.transaction() as session:
        return builds.begin(session, table, span, f"dag/{span}/{table.name}", "code").begin


def test_before_its_hour_is_sealed_a_file_goes_to_its_folder_s_hour_and_after_it_to_the_open_one(
    ledger: Ledger, hourly: Table
) -> None:
    (before,) = register(ledger, found("a"))
    begin(ledger, hourly, Range.one(START, HOUR))
    (after,) = register(ledger, found("b"))
    assert before.arrival_hour == START
    assert after.arrival_hour == NOW.replace(minute=0)
    (next_hour,) = register(ledger, found("c", START + hours(1)))
    assert next_hour.arrival_hour == START + hours(1), "an hour that nobody built is open however old it is"


def test_an_open_hour_that_is_sealed_already_is_passed_over(ledger: Ledger, hourly: Table) -> None:
    begin(ledger, hourly, Range.one(START, HOUR))
    begin(ledger, hourly, Range(HOUR.floor(NOW), HOUR.floor(NOW) + hours(2), HOUR))
    (late,) = register(ledger, found("a"))
    assert late.arrival_hour == HOUR.floor(NOW) + hours(2)


def test_an_hour_is_sealed_for_the_kind_that_was_read_only(ledger: Ledger, hourly: Table) -> None:
    begin(ledger, hourly, Range.one(START, HOUR))
    (item,) = register(ledger, found("items", kind="items"))
    assert item.arrival_hour == START


def test_a_daily_build_seals_its_own_24_hours_and_not_those_it_looks_back_on(ledger: Ledger, hourly: Table) -> None:
    table = Table("demo.daily", DAY, [Files("events", lookback=days(3))], hourly.maintainer, 2, days(90))
    day = START.replace(hour=0)
    begin(ledger, table, Range.one(day, DAY))
    with ledger.transaction() as session:
        sealed = sorted(row.hour for row in session.query(SealedHour))
    assert sealed == [day + hours(n) for n in range(24)]


def test_registering_a_file_again_keeps_its_number_and_its_hour(ledger: Ledger, hourly: Table) -> None:
    (first,) = register(ledger, found("a"))
    begin(ledger, hourly, Range.one(START, HOUR))
    assert register(ledger, found("a")) == []
    with ledger.transaction() as session:
        again = session.get(File, "file:///a")
        assert again is not None
        assert (again.number, again.arrival_hour) == (first.number, START)
        assert files.known_paths(session, ["file:///a", "file:///b"]) == {"file:///a"}
    assert register(ledger) == []


def test_a_build_reads_what_was_registered_before_its_begin_in_its_window_and_kind(
    ledger: Ledger, hourly: Table
) -> None:
    register(ledger, found("b"), found("a"), found("next", START + hours(1)), found("items", kind="items"))
    upto = begin(ledger, hourly, Range.one(START, HOUR))
    with ledger.transaction() as session:  # as a person could, by hand
        session.add(
            File(
                path="file:///later",
                source="s",
                kind="events",
                arrival_hour=START,
                size=1,
                etag="e",
                received_at=START,
                number=upto + 1,
            )
        )
    with ledger.transaction() as session:
        read = files.registered(session, "events", START, START + hours(1), upto)
    assert [file.path for file in read] == ["file:///a", "file:///b"]


def test_facts_hold_the_largest_number_of_each_arrival_hour(ledger: Ledger, hourly: Table) -> None:
    *_, last = register(ledger, found("a"), found("b"))
    (other,) = register(ledger, found("c", START + hours(1)))
    register(ledger, found("items", kind="items"))
    with ledger.transaction() as session:
        facts = load(session, [hourly])
    assert facts.files == {"events": {START: last.number, START + hours(1): other.number}}


def test_no_hour_is_sealed_between_the_look_at_the_seals_and_the_registration(ledger: Ledger, hourly: Table) -> None:
    done: list[int] = []
    with ledger.transaction() as session:
        (file,) = files.register(session, [found("a")], NOW)
        thread = threading.Thread(target=lambda: done.append(begin(ledger, hourly, Range.one(START, HOUR))))
        thread.start()
        time.sleep(0.3)
        assert done == [], "the build must wait for the registration, and then read the file"
    thread.join(10)
    assert file.number < done[0]


def test_two_discoveries_at_once_register_a_file_once(ledger: Ledger) -> None:
    barrier = threading.Barrier(4)
    added: list[int] = []

    def run() -> None:
        barrier.wait()
        added.append(len(register(ledger, *(found(str(n)) for n in range(20)))))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(added) == [0, 0, 0, 20]


def test_what_a_build_reads_as_its_own_or_looking_back_is_read_and_all_else_can_be_forgotten(
    ledger: Ledger, hourly: Table
) -> None:
    day = START.replace(hour=0)
    window = Table("demo.daily", DAY, [Files("events", lookback=days(3))], hourly.maintainer, 2, days(90))
    register(
        ledger,
        found("own"),
        found("back", day - days(3)),
        found("before", day - days(3) - hours(1)),
        found("after", day + days(1)),
        found("items", kind="items"),
    )

    def unread() -> list[str]:
        with ledger.transaction() as session:
            return [file.path for file in files.unread(session, [hourly, window])]

    every = ["file:///before", "file:///back", "file:///own", "file:///after"]
    assert unread() == every, "of items, no table reads any"
    begin(ledger, hourly, Range.one(START, HOUR))
    assert unread() == ["file:///before", "file:///back", "file:///after"]
    begin(ledger, window, Range.one(day, DAY))
    register(ledger, found("late", day - days(3)))
    assert unread() == ["file:///before", "file:///late", "file:///after"], "found after the build that looked back"
    with ledger.transaction() as session:
        files.forget(session, ["file:///own", "file:///back", "file:///after"], [hourly, window])
        known = files.known_paths(session, [*every, "file:///items"])
    assert known == {"file:///own", "file:///back", "file:///before", "file:///items"}
