"""The full demo: what it has of each table, in which order it builds, and what it lands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feedmill.airflow_api import Run
from feedmill.demo.full import expected, heal, lacking, land, periods, weeks_before
from feedmill.demo.week import DemoError, counts, totals_query
from feedmill.freshness.facts import Facts, Knowledge, Published
from feedmill.freshness.states import Picture
from feedmill.simulate.feed import EVENTS, ITEMS, simulate
from feedmill.simulate.settings import Settings
from feedmill.spec import Input, Table
from feedmill.timeline import DAY, HOUR, Range, days, hours
from include.tables import TABLES

WEEK = Range(datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 8, tzinfo=UTC), HOUR)
WEEKS = weeks_before(WEEK)
NOW = datetime(2026, 5, 8, 9, 20, tzinfo=UTC)


def test_the_simulated_weeks_share_no_hour_with_the_real_one() -> None:
    assert (WEEKS.end, len(WEEKS)) == (WEEK.start, 35)


def test_every_table_is_built_until_now_and_from_the_first_day_where_nothing_is_against_it() -> None:
    found = periods(TABLES, WEEKS, NOW)
    assert found.keys() == {table.name for table in TABLES}
    assert found["events.clean"] == Range(WEEKS.start, HOUR.floor(NOW), HOUR)
    assert found["features.engagement_baseline"] == Range(WEEKS.start, DAY.floor(NOW), DAY)


def test_windows_of_hours_begin_with_the_last_simulated_day_and_so_does_who_reads_them() -> None:
    found = periods(TABLES, WEEKS, NOW)
    for name in ("features.item_popularity_hourly", "features.item_trending", "serving.fallback_ranking"):
        assert found[name].start == WEEKS.end - days(1), name


def test_what_retention_would_delete_is_not_built_nor_is_what_needs_it() -> None:
    found = periods(TABLES, WEEKS, NOW)
    assert TABLES["rollups.user_category_window"].keep == days(30)
    first = datetime(2026, 4, 9, tzinfo=UTC)
    assert found["rollups.user_category_window"].start == first
    assert found["features.user_category_affinity"].start == first, "it is kept for longer, and reads that"


def test_no_table_begins_before_what_it_must_read() -> None:
    found = periods(TABLES, WEEKS, NOW)
    for table in TABLES:
        for entry in table.inputs:
            if isinstance(entry, Input) and not entry.as_of:
                assert found[table.name].start >= found[entry.table.name].start, (table, entry.table)


def test_only_what_is_missing_stale_or_outdated_needs_a_build() -> None:
    landed, clean = TABLES["events.landed"], TABLES["events.clean"]
    moments = [WEEK.start + hours(number) for number in range(6)]
    fresh = {moment: Published(10, 10, "today", 1) for moment in moments}
    published = fresh | {moments[1]: Published(10, 10, "yesterday", 1)}
    del published[moments[4]]
    facts = Facts(
        {clean.name: published, landed.name: fresh},
        touches={landed.name: {moments[2]: {moments[3]: 11}}},
    )
    period = clean.range(moments[0] - hours(2), moments[-1] + hours(1))
    found = lacking(
        clean,
        period,
        Picture.of([clean], Knowledge(facts, identities={clean.name: "today"}), moments[-1] + hours(1)),
    )
    before, outdated_and_stale, missing = found
    assert before == clean.range(moments[0] - hours(2), moments[0])
    assert outdated_and_stale == clean.range(moments[1], moments[3])
    assert missing == clean.one(moments[4])


def test_what_expired_and_what_needs_it_stays_as_it_is() -> None:
    window, affinity = TABLES["rollups.user_category_window"], TABLES["features.user_category_affinity"]
    gone, kept = WEEKS.start, WEEKS.start + days(1)
    number = Published(10, 10, "today", 1)
    variances = {"features.affinity_variances": {gone: number, kept: number}}
    facts = Facts(
        {window.name: {kept: number}, affinity.name: {kept: number}, **variances}, expired={window.name: {gone}}
    )
    known = Knowledge(facts, identities={window.name: "today", affinity.name: "today"})
    for table in (window, affinity):
        assert lacking(table, table.range(gone, kept + days(1)), Picture.of([table], known, kept + days(1))) == [], (
            table
        )


class Airflow:
    """Runs that succeed when they are looked at for the second time, and publish their range."""

    def __init__(self, needed: dict[str, list[Range]], fails: str = "", forgets: str = ""):
        self.needed, self.fails, self.forgets = needed, fails, forgets
        self.started: list[str] = []
        self.over: list[str] = []
        self._runs: dict[str, list[tuple[str, Range]]] = {}
        self._looks: dict[str, int] = {}

    def restate(self, table: Table, span: Range, run_id: str) -> None:
        read = {entry.table.name for entry in table.inputs if isinstance(entry, Input)}
        assert not read & self.needed.keys() - set(self.over), f"{table} began before what it reads"
        self.started.append(f"{table.name} {span}")
        self._runs.setdefault(table.name, []).append((run_id, span))

    def unpause(self, tables: Iterable[Table]) -> None:
        self.unpaused = [*getattr(self, "unpaused", []), *(table.name for table in tables)]

    def runs(self, table: Table) -> list[Run]:
        self._looks[table.name] = looks = self._looks.get(table.name, 0) + 1
        if looks < 2:
            return []
        if table.name != self.forgets:
            self.needed.pop(table.name, None)
        self.over.append(table.name)
        state = "failed" if table.name == self.fails else "success"
        return [Run(table.dag_id, run_id, state) for run_id, _ in self._runs[table.name]]

    def failed_tasks(self) -> list[str]:
        return []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedmill.demo.full.time.sleep", lambda _seconds: None)


def healed(api: Airflow) -> list[str]:
    said: list[str] = []
    heal(TABLES, api, lambda table: api.needed.get(table.name, []), "demo_full", said.append)  # type: ignore[arg-type]
    return said


@pytest.mark.usefixtures("impatient")
def test_tables_are_restated_in_lineage_order_and_only_where_they_need_it() -> None:
    names = ["events.landed", "events.clean", "rollups.user_items_daily", "rollups.item_engagement_hourly"]
    spans = {name: periods(TABLES, WEEKS, NOW)[name] for name in names}
    api = Airflow({name: [span] for name, span in spans.items()})
    said = healed(api)
    assert sorted(api.started) == sorted(f"{name} {span}" for name, span in spans.items())
    assert len(said) == len(names)
    assert sorted(api.unpaused) == sorted(table.name for table in TABLES), "the schedule goes on by itself"


@pytest.mark.usefixtures("impatient")
def test_nothing_is_started_where_nothing_is_needed() -> None:
    api = Airflow({})
    assert healed(api) == []
    assert api.started == []


@pytest.mark.usefixtures("impatient")
def test_a_failed_run_and_a_held_partition_end_the_demo_with_their_table() -> None:
    span = TABLES["events.clean"].one(WEEK.start)
    with pytest.raises(DemoError, match=r"1 runs failed, the first was events.clean demo_full__2026-05-01T00"):
        healed(Airflow({"events.clean": [span]}, fails="events.clean"))
    with pytest.raises(DemoError, match=r"events.clean 2026-05-01T00 was not published"):
        healed(Airflow({"events.clean": [span]}, forgets="events.clean"))


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feed") / "simulated"
    simulate(Settings(WEEKS.end - timedelta(days=1), days=1, users=100, events_per_day=2_000, items=200), folder)
    return folder


def test_the_simulated_files_land_once_in_their_hours_with_the_time_of_their_arrival(
    feed: Path, tmp_path: Path
) -> None:
    zone = tmp_path / "landing"
    files = [file for source in (EVENTS, ITEMS) for file in (feed / source).glob("*/*")]
    assert land(feed, zone) == len(files) > 24
    for file in zone.glob("*/*/*"):
        hour = datetime.strptime(file.parent.name, "%Y-%m-%dT%H").replace(tzinfo=UTC)
        assert hour < datetime.fromtimestamp(file.stat().st_mtime, UTC) < hour + hours(1)
        assert hour < WEEK.start
    assert land(feed, zone) == 0, "and again: nothing"
    assert (feed / "truth").exists()


def test_a_file_of_somebody_else_is_not_replaced(feed: Path, tmp_path: Path) -> None:
    mine = tmp_path / "feed" / EVENTS / "2026-04-30T00" / "part-0000.parquet"
    other = tmp_path / "landing" / EVENTS / "2026-04-30T00" / "part-0000.parquet"
    for path, content in ((mine, "mine"), (other, "another's")):
        path.parent.mkdir(parents=True)
        path.write_text(content)
    with pytest.raises(DemoError, match="already exists and does not belong to this simulation"):
        land(tmp_path / "feed", tmp_path / "landing")
    assert (mine.read_text(), other.read_text()) == ("mine", "another's")


def test_the_simulator_s_totals_are_by_model_and_surface(feed: Path) -> None:
    found = expected(feed)
    assert {count.policy for count in found} == {"popular-1", "popular-2", "random-1"}
    assert {count.campaign for count in found} == {"home", "related", "push"}
    assert 1_000 < sum(count.impressions for count in found) < 4_000
    assert all(count.clicks < count.impressions for count in found)


def test_the_totals_of_one_feed_do_not_count_the_other_s() -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA rollups")
    connection.execute(
        "CREATE TABLE rollups.item_engagement_hourly AS SELECT * FROM (VALUES "
        "(TIMESTAMPTZ '2026-04-30 23:00:00+00', 'popular-1', 'home', 5, 1), "
        "(TIMESTAMPTZ '2026-05-01 00:00:00+00', 'random', 'all', 7, 2), "
        "(TIMESTAMPTZ '2026-05-08 00:00:00+00', 'other', 'home', 9, 3)) "
        "AS t(hour, model_id, surface, impressions, clicks)"
    )
    real, simulated = (
        counts(connection.execute(totals_query("rollups.item_engagement_hourly", span)).fetchall())
        for span in (WEEK, WEEKS)
    )
    assert [(count.policy, count.impressions) for count in real] == [("random", 7)]
    assert [(count.policy, count.impressions) for count in simulated] == [("popular-1", 5)]
