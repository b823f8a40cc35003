"""Every row of every file stands somewhere: counted in the file, and looked for in the published tables."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feed import event, land, make
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.expressions import EqualTo

from feedmill.deployment import Deployment
from feedmill.explore.account import Account, EventHourCount, FileCount
from feedmill.explore.count import account, rows_in
from feedmill.freshness.load import picture
from feedmill.freshness.states import NEEDS_A_BUILD, State
from feedmill.landing.discover import LandingError, discover
from feedmill.spec import Source
from feedmill.timeline import days, hours

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
NEXT = START + hours(1)
LONG_AGO = START - days(20)
NOW = START + hours(3)
TEXT = Source("logs", kind="events", suffixes=(".csv",), layout="lines", header="id,name")


def test_the_parts_of_an_account_add_up_and_what_is_left_over_is_unexplained() -> None:
    files = [FileCount("a", "s", "events", 10, 7, 2, "late"), FileCount("b", "s", "events", 5, 4, 1, None)]
    lost = FileCount("c", "s", "events", 5, 3, 1, None)
    assert [(one.outstanding, one.unexplained) for one in [*files, lost]] == [(1, 0), (0, 0), (0, 1)]
    strange = FileCount("d", "", "events", 0, 2, 0, None)
    assert strange.unexplained == -2, "rows that no file holds"
    hour = EventHourCount(START, 10, 6, 3, 0, None)
    assert (hour.outstanding, hour.unexplained) == (0, 1)
    assert EventHourCount(START, 10, 6, 3, 0, "it waits").unexplained == 0
    assert EventHourCount(START, 9, 6, 3, 2, None).unexplained == 2
    assert Account(START, files, []).unexplained == 0
    assert Account(START, [*files, lost, strange], [hour]).unexplained == 1 + 2 + 1


LINES = st.lists(st.sampled_from([b"id,name", b"1,x", b"", b" \t", b"\r", b"2,y\r", b"\xff\x00"]), max_size=12)


@given(LINES, st.booleans(), st.booleans(), st.integers(1, 5))
def test_rows_are_lines_that_are_not_blank_without_a_header_in_the_first(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], is_ended: bool, is_packed: bool, members: int
) -> None:
    content = b"\n".join(lines) + (b"\n" if is_ended and lines else b"")
    path = tmp_path_factory.mktemp("rows") / ("a.csv.gz" if is_packed else "a.csv")
    step = max(1, len(content) // members)
    parts = [content[at : at + step] for at in range(0, len(content), step)] or [b""]
    path.write_bytes(b"".join(map(gzip.compress, parts)) if is_packed else content)
    expected = [line for line in lines if line.strip(b" \t\r")]
    if lines and lines[0].startswith(b"id,name"):
        expected.pop(0)
    assert rows_in(path.as_uri(), TEXT) == len(expected)


def test_a_line_of_many_megabytes_is_one_row_and_a_gzip_of_them_is_unpacked_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"x" * (9 << 20) + b"\n" + b"\n" * (3 << 20) + b"y"))
    assert rows_in(path.as_uri(), TEXT) == 2


def test_rows_of_parquet_are_those_of_its_footer(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "a.parquet")
    assert rows_in((tmp_path / "a.parquet").as_uri(), Source("p", "events", (".parquet",), "parquet")) == 3


@pytest.fixture
def since(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The history begins with the first hour of these tests."""
    monkeypatch.setenv("FEEDMILL_SINCE", START.isoformat())
    return START


def parts(found: Account) -> tuple[dict[str, tuple[int, ...]], dict[datetime, tuple[int, ...]]]:
    """Rows, landed, rejected and outstanding by file; landed, clean, duplicates and outstanding by event hour."""
    assert found.unexplained == 0
    files = {f.path.rpartition("/")[2]: (f.rows, f.landed, f.rejected, f.outstanding) for f in found.files}
    return files, {e.hour: (e.landed, e.clean, e.duplicates, e.outstanding) for e in found.events}


@pytest.mark.usefixtures("since")
def test_every_row_is_accounted_for_at_each_step_of_its_way(deployment: Deployment) -> None:
    late, before, old = START + timedelta(minutes=5), START - hours(1), LONG_AGO
    rows: list[dict[str, object] | str] = [event(n, START) for n in range(6)]
    rows += [event(0, START), event(0, START), "", "{not json", event(7, START, item_id=None)]
    rows += [event(8, before + timedelta(minutes=55)), event(9, old), event(9, old)]
    a = land(deployment, START, "a.jsonl", rows)
    b = land(deployment, START, "b.jsonl", [event(1, START), event(10, START, duration_ms="abc"), event(11, START)])
    broken = land(deployment, START, "broken.jsonl.gz", [])
    broken.write_bytes(gzip.compress(b"{}\n" * 9)[:-9])
    discover(deployment.lake.landing, deployment.sources, ["events"], deployment.ledger, NOW)

    files, events = parts(account(START, deployment, NOW))
    assert files == {"a.jsonl": (13, 0, 0, 13), "b.jsonl": (3, 0, 0, 3), "broken.jsonl.gz": (1, 0, 0, 1)}
    assert events == {}

    make(deployment, "events.landed", START)
    files, _ = parts(account(START, deployment, NOW))
    assert files == {"a.jsonl": (13, 11, 0, 2), "b.jsonl": (3, 2, 0, 1), "broken.jsonl.gz": (1, 0, 0, 1)}

    found = account(START, deployment, NOW)
    _, events = parts(found)
    assert events == {old: (2, 0, 0, 2), before: (1, 0, 0, 1), START: (10, 0, 0, 10)}
    why = {one.hour: one.because for one in found.events}
    assert why[START] == "events.clean 2026-05-01T10 is missing: not published yet; it is due at 2026-05-01 13:00"
    assert str(why[old]).startswith("events.clean 2026-04-11T10 is never built: it lies before the table's history")

    # What lies before the history is listed, and owes nothing.
    with deployment.ledger.transaction() as session:
        clean = picture(session, deployment.tables, {}, NOW).status(deployment.tables["events.clean"])
    listed = [cell.partition for cell in clean.within([State.NEVER_BUILT])]
    assert listed == [old, before]
    assert not any(set(clean.states(hour)) & NEEDS_A_BUILD for hour in listed)

    make(deployment, "events.clean", START)
    assert parts(account(START, deployment, NOW))[1][START] == (10, 7, 3, 0)
    assert parts(account(START, deployment, NOW, a.as_uri()))[1][START] == (8, 6, 2, 0)
    assert parts(account(START, deployment, NOW, b.as_uri()))[1][START] == (2, 1, 1, 0)

    # A second arrival hour: an event twice, a late one, and one that is new to the hour of the first.
    again = land(deployment, NEXT, "c.jsonl", [event(0, START), event(12, late), event(13, NEXT)])
    make(deployment, "events.landed", NEXT)
    make(deployment, "events.rejected", START, NEXT + hours(1))
    files, _ = parts(account(START, deployment, NOW))
    assert files == {"a.jsonl": (13, 11, 2, 0), "b.jsonl": (3, 2, 1, 0), "broken.jsonl.gz": (1, 0, 1, 0)}
    found = account(NEXT, deployment, NOW)
    assert parts(found) == ({"c.jsonl": (3, 3, 0, 0)}, {START: (2, 0, 1, 1), NEXT: (1, 0, 0, 1)})
    stale = "events.clean 2026-05-01T10 is stale: events.landed 2026-05-01T11 was published after it was built"
    assert found.events[0].because == stale
    make(deployment, "events.landed", before)
    make(deployment, "events.clean", before, NEXT + hours(1))
    assert parts(account(NEXT, deployment, NOW))[1] == {START: (2, 1, 1, 0), NEXT: (1, 1, 0, 0)}
    _, events = parts(account(START, deployment, NOW))
    assert events == {old: (2, 0, 0, 2), before: (1, 1, 0, 0), START: (10, 7, 3, 0)}, "what was restated is there"

    # A row that somebody took away is missed, and a file that somebody changed is an error.
    deployment.lake.load(deployment.tables["events.clean"]).delete(EqualTo("event_id", "e12"))
    lost = account(NEXT, deployment, NOW)
    assert (lost.unexplained, lost.events[0].unexplained) == (1, 1)
    again.write_text("{}\n")
    with pytest.raises(LandingError, match=r"c\.jsonl changed after it was registered"):
        account(NEXT, deployment, NOW)
