"""A simulated feed: the same for the same seed, whole or not at all, and as its truth says."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feedmill.simulate import VERSION, truth
from feedmill.simulate.columns import SCHEMA, Names, columns
from feedmill.simulate.feed import SimulationError, simulate
from feedmill.simulate.hour import Hour
from feedmill.simulate.product import MODELS, SURFACES, TYPES
from feedmill.simulate.settings import Settings
from feedmill.simulate.world import World

START = datetime(2026, 1, 5, tzinfo=UTC)
SETTINGS = Settings(START, days=5, users=2_000, events_per_day=60_000, items=400, seed=3)


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feed") / "simulated"
    simulate(SETTINGS, folder)
    return folder


@pytest.fixture(scope="module")
def db(feed: Path) -> duckdb.DuckDBPyConnection:
    """The view ``rows``, each with its arrival hour; and ``events``, the first copies."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE TABLE rows AS SELECT *, strptime(split_part(filename, '/', -2), '%Y-%m-%dT%H') AT TIME ZONE 'UTC' "
        f"AS arrival FROM read_parquet('{feed}/events_parquet/*/*.parquet', filename = true)"
    )
    connection.execute(
        "CREATE VIEW events AS SELECT * FROM rows "
        "QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY arrival) = 1"
    )
    for table in ("totals", "positions", "trends", "items", "users", "item_days"):
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM '{feed}/truth/{table}.parquet'")
    return connection


def one(db: duckdb.DuckDBPyConnection, query: str) -> tuple:
    return db.execute(query).fetchall()[0]


def digest(folder: Path) -> dict[str, str]:
    """Each file's hash."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    small = Settings(START, days=1, users=100, events_per_day=2_000, items=200, seed=3)
    for name, settings in {"a": small, "b": small, "c": Settings(START, 1, 100, 2_000, 200, seed=4)}.items():
        simulate(settings, tmp_path / name)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_the_rows_are_those_of_the_frozen_version(tmp_path: Path) -> None:
    """Evaluations are comparable only while these stay. A NumPy whose distributions draw otherwise may change them:
    then VERSION is raised, and this digest renewed, as for any change of the rows."""
    simulate(Settings(START, days=4, users=500, events_per_day=6_000, items=300, seed=3), tmp_path / "feed")
    found = hashlib.sha256()
    rows = []
    for path in sorted((tmp_path / "feed" / "events_parquet").glob("*/*")):
        table = pq.read_table(path, schema=SCHEMA)
        rows.append(table)
        # exp() may differ in its last bit from one processor to another, and is cut to whole numbers in these two.
        exact = table.drop_columns(["duration_ms", "revenue_micros"]).combine_chunks()
        found.update(f"{path.parent.name}/{path.name}".encode())
        found.update(repr(exact.to_pydict()).encode())
    for path in sorted((tmp_path / "feed" / "items_jsonl").glob("*/*")):
        found.update(re.sub(r'"duration_ms": \d+, ', "", path.read_text()).encode())
    whole = pa.concat_tables(rows)
    assert (VERSION, found.hexdigest()[:16]) == (2, "a7cf6268005551ff")
    assert pc.sum(whole["duration_ms"]).as_py() == pytest.approx(15_828_006, rel=1e-6)
    assert pc.sum(whole["revenue_micros"]).as_py() == pytest.approx(14_511_169, rel=1e-6)


def test_an_hour_generated_alone_has_the_rows_that_it_has_in_the_whole(feed: Path) -> None:
    world = World.of(SETTINGS)
    main, strays = columns(world, Names.of(world), Hour(world, 4 * 24 + 7).block(0))
    mine = set(main.column("event_id").to_pylist())
    landed = pa.concat_tables(
        pq.read_table(path, schema=SCHEMA) for path in (feed / "events_parquet" / "2026-01-09T07").iterdir()
    )
    same = landed.filter(pc.is_in(landed["event_id"], pa.array(mine))).slice(0, len(mine))
    assert main.num_rows > 1_000
    assert main.cast(SCHEMA).combine_chunks().equals(same.combine_chunks())
    assert strays.rows.num_rows > 0


def test_blocks_do_not_depend_on_those_before() -> None:
    world = World.of(Settings(START, days=1, users=500, events_per_day=12_000_000, items=300))
    hour = Hour(world, 13)
    assert hour.requests > 2 * len(hour.block(0).requests)
    names = Names.of(world)
    ids = [columns(world, names, block)[0]["event_id"].to_pylist() for block in hour.blocks()]
    assert columns(world, names, Hour(world, 13).block(1))[0]["event_id"].to_pylist() == ids[1]
    assert len({event for some in ids for event in some}) == sum(map(len, ids))


def test_the_manifest_counts_the_rows_of_the_files(feed: Path, db: duckdb.DuckDBPyConnection) -> None:
    rows = truth.manifest(feed)["rows"]
    events = one(db, "SELECT count(*) FROM events")[0]
    assert rows["landed"] == one(db, "SELECT count(*) FROM rows")[0]
    assert rows["events"] == events
    assert rows["duplicates"] == rows["landed"] - events
    assert rows["late"] == one(db, "SELECT count(*) FROM events WHERE arrival > date_trunc('hour', event_time)")[0]
    assert rows["files"] == one(db, "SELECT count(DISTINCT filename) FROM rows")[0]
    says = "struct_pack(event_types, user_id, item_id, duration_ms, revenue_micros)"
    assert (
        rows["disagreeing"]
        == one(db, f"SELECT count(*) FROM (SELECT event_id FROM rows GROUP BY 1 HAVING count(DISTINCT {says}) > 1)")[0]
    )


def test_the_totals_are_those_of_the_first_copies(feed: Path, db: duckdb.DuckDBPyConnection) -> None:
    counted = ", ".join(f"count(*) FILTER (list_contains(event_types, '{kind}'))" for kind in TYPES)
    found = db.execute(
        f"SELECT date_trunc('hour', event_time), surface, model_id, count(*), {counted}, "
        "coalesce(sum(duration_ms), 0), coalesce(sum(revenue_micros), 0) FROM events GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    assert found == db.execute("SELECT * FROM totals ORDER BY ALL").fetchall()


def test_late_rows_and_copies_have_the_shares_that_are_documented(feed: Path, db: duckdb.DuckDBPyConnection) -> None:
    rows = truth.manifest(feed)["rows"]
    assert rows["late"] / rows["events"] == pytest.approx(0.025, abs=0.006)
    assert rows["duplicates"] / rows["landed"] == pytest.approx(0.005, abs=0.001)
    hours = "date_diff('hour', date_trunc('hour', event_time), arrival)"
    longest, early = one(db, f"SELECT max({hours}), min({hours}) FROM events")
    assert 48 < longest <= 72
    assert early == 0
    assert rows["not_arrived"] > 0


def test_no_request_shows_an_item_twice(db: duckdb.DuckDBPyConnection) -> None:
    shown = "FROM events WHERE list_contains(event_types, 'impression')"
    assert one(db, f"SELECT count(*) {shown}")[0] == one(db, f"SELECT count(DISTINCT (request_id, item_id)) {shown}")[0]


def test_engagement_is_reported_within_the_impression_and_by_records_of_its_own(db: duckdb.DuckDBPyConnection) -> None:
    impression, click = ("list_contains(event_types, 'impression')", "list_contains(event_types, 'click')")
    within, apart = one(
        db,
        f"SELECT count(*) FILTER ({impression} AND {click}), count(*) FILTER (NOT {impression} AND {click}) "
        "FROM events",
    )
    assert apart / (within + apart) == pytest.approx(0.1, abs=0.02)
    orphans = one(
        db,
        f"SELECT count(*) FROM (SELECT * FROM events WHERE NOT {impression}) AS record ANTI JOIN "
        f"(SELECT * FROM rows WHERE {impression}) AS shown ON record.request_id = shown.request_id "
        "AND record.item_id = shown.item_id AND record.event_time > shown.event_time "
        "AND record.user_id IS NOT DISTINCT FROM shown.user_id",
    )[0]
    assert orphans == 0


def test_the_random_policy_recovers_the_position_bias(db: duckdb.DuckDBPyConnection) -> None:
    # Items are random there, so that the rates differ by slot only because of examination.
    found = db.execute(
        "WITH engaged AS (SELECT request_id, item_id FROM events WHERE list_contains(event_types, 'click')), "
        "shown AS (SELECT * FROM events WHERE list_contains(event_types, 'impression') AND model_id = 'random-1' "
        "AND surface = 'home') "
        "SELECT examination, count(*) AS impressions, count(engaged.request_id) AS clicks FROM shown "
        "JOIN positions USING (surface, position) LEFT JOIN engaged USING (request_id, item_id) GROUP BY ALL"
    ).fetchnumpy()
    rate = found["clicks"].sum() / (found["impressions"] * found["examination"]).sum()
    expected = rate * found["examination"] * found["impressions"]
    assert ((found["clicks"] - expected) ** 2 / expected).sum() < 45  # 20 slots: the 99.9 % quantile of chi² is 44


def test_trends_change_engagement_as_their_factors_say() -> None:
    world = World.of(Settings(START, days=6, users=500, events_per_day=12_000_000, items=300))
    trend = next(t for t in world.trends if t.engagement >= 2 and t.surface == 0)
    before, during = (Hour(world, hour).block(0) for hour in (trend.start - 24, trend.start))
    rates = []
    for block in (before, during):
        here = (block.item == trend.item) & (block.requests.surface[block.request] == trend.surface)
        clicks = block.bits[here] & 2 > 0
        rates.append(clicks.mean() / np.mean((1.0 + block.position[here]) ** -SURFACES[0].decay))
    assert rates[1] / rates[0] > 1 + (trend.engagement - 1) * 0.5


def test_the_arms_of_an_experiment_have_equal_shares_and_the_effect_of_their_model() -> None:
    world = World.of(Settings(START, days=1, users=20_000, events_per_day=12_000_000, items=300))
    clicks, shown, users = np.zeros(2), np.zeros(2), world.users.arm[:, 0].mean()
    for number in (12, 13, 14):
        for block in Hour(world, number).blocks():
            chance = Hour(world, number)._chance(block.requests, block.request, block.position, block.item)
            mine = block.requests.experiment[block.request] == 0
            arm = block.requests.arm[block.request]
            factor = np.where(block.requests.model == 2, MODELS[2].engagement, 1.0)[block.request]
            for which in (0, 1):
                rows = mine & (arm == which)
                # Against what the same rows would give without the effect.
                clicks[which] += chance[rows].sum()
                shown[which] += (chance[rows] / factor[rows]).sum()
    assert users == pytest.approx(0.5, abs=0.02)
    assert clicks[0] / shown[0] == pytest.approx(1.0, abs=1e-6)
    assert clicks[1] / shown[1] == pytest.approx(MODELS[2].engagement, abs=0.01)


def test_many_users_are_sparse(db: duckdb.DuckDBPyConnection) -> None:
    few = one(
        db,
        "SELECT avg((seen <= 3)::INT) FROM (SELECT users.user_id, count(event_id) AS seen FROM users "
        "LEFT JOIN events USING (user_id) GROUP BY 1)",
    )[0]
    assert 0.2 < few < 0.5


def test_the_true_ratio_of_the_average_user_is_one(feed: Path) -> None:
    long = truth.affinity(feed, START)
    assert long.num_rows == SETTINGS.users * 24
    users = truth.read(feed, "users").select(["user_id", "expected_requests"])
    joined = long.join(users, "user_id")
    weighted = pc.multiply(joined["ratio"], joined["expected_requests"])
    mean = (
        pa.table({"category": joined["category"], "r": weighted, "w": joined["expected_requests"]})
        .group_by("category")
        .aggregate([("r", "sum"), ("w", "sum")])
    )
    assert np.allclose(np.divide(mean["r_sum"], mean["w_sum"]), 1.0, atol=1e-4)


def test_observed_engagement_follows_the_true_ratio(feed: Path, db: duckdb.DuckDBPyConnection) -> None:
    db.register("affinity", truth.affinity(feed, START))
    found = db.execute(
        "WITH engaged AS (SELECT DISTINCT request_id, item_id FROM events WHERE list_contains(event_types, 'click')), "
        "shown AS (SELECT * FROM events WHERE list_contains(event_types, 'impression')), "
        "rated AS (SELECT ratio, engaged.request_id IS NOT NULL AS clicked, ntile(4) OVER (ORDER BY ratio) AS quarter "
        "FROM shown JOIN items USING (item_id) JOIN affinity ON affinity.user_id = shown.user_id "
        "AND affinity.category = items.categories[1].category AND len(items.categories) = 1 "
        "LEFT JOIN engaged USING (request_id, item_id)) "
        "SELECT avg(ratio), avg(clicked::INT) FROM rated GROUP BY quarter ORDER BY 1"
    ).fetchall()
    ratios, rates = np.array(found).T
    assert np.allclose(rates / rates.mean(), ratios / ratios.mean(), rtol=0.25)


def test_a_folder_that_is_not_empty_is_refused_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    with pytest.raises(SimulationError, match="is not an empty folder"):
        simulate(SETTINGS, tmp_path / "full")

    def stop(done: int, total: int, what: str) -> None:
        assert not (tmp_path / "new").exists()
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(SETTINGS, tmp_path / "new", stop)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize(("name", "value"), [("days", 0), ("users", 9), ("items", 100), ("seed", -1)])
def test_a_feed_that_cannot_be_is_refused_with_what_can(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: {value} is not a number from"):
        Settings(START, **{name: value})
