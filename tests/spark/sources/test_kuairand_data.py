"""KuaiRand's real days through the real runner: every row accounted for, every sum that of a query over the file.

The data are no part of the project. They are read where they lie, in ``shared/data/kuairand`` beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feedmill.deployment import Deployment
from feedmill.flow.build import build
from feedmill.flow.check import check
from feedmill.flow.job import Job
from feedmill.flow.publish import publish
from feedmill.landing.land import land
from feedmill.timeline import DAY, HOUR
from include.spark.sources import SOURCES

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "kuairand"
LOG = DATA / "log_standard_2022-04-25_to_04-30.parquet"
VIDEOS = DATA / "video_features_basic_pure.csv"

pytestmark = pytest.mark.skipif(not LOG.exists(), reason=f"{LOG} is not there; the data are no part of the project")

# The rule for duplicates, in SQL: of the rows that agree in user, video and time_ms, the file's first, whole.
KEPT = """
    SELECT *, make_timestamp(time_ms * 1000) + to_days(?) AS moment
    FROM read_parquet(?, file_row_number = true)
    WHERE is_like IS NOT NULL AND is_hate IN (0, 1) AND play_time_ms >= 0
    QUALIFY row_number() OVER (PARTITION BY user_id, video_id, time_ms ORDER BY file_row_number) = 1
"""

FROM_FILE = f"""
    SELECT
        moment::DATE AS day, 'kuairand:' || tab AS surface, 'kuairand:' || video_id AS item_id, 'kuairand:standard',
        count(*), sum(is_click), sum(is_like), sum(is_follow), sum(is_comment), sum(is_forward), sum(is_hate),
        sum(play_time_ms)
    FROM ({KEPT}) GROUP BY ALL ORDER BY day, surface, item_id
"""

FROM_TABLE = """
    SELECT
        day, surface, item_id, model_id, impressions, clicks, likes, follows, comments, shares, hides, duration_ms
    FROM daily ORDER BY day, surface, item_id
"""

VIDEOS_IN_FILE = """
    SELECT
        'kuairand:' || video_id AS item_id, 'kuairand:' || author_id, video_duration::BIGINT,
        upload_dt::TIMESTAMP - INTERVAL 8 HOUR,
        CASE WHEN tag IS NOT NULL THEN 1 END,
        CASE WHEN tag IS NULL THEN []
        ELSE list_sort(list_transform(string_split(tag, ','), lambda t: 'kuairand:' || t)) END
    FROM read_csv(?) ORDER BY item_id
"""

CATALOGUE = """
    SELECT
        item_id, author_id, duration_ms, published_at::TIMESTAMP, round(weight_sum, 9)::INTEGER,
        list_transform(categories, lambda c: c.category)
    FROM items ORDER BY item_id
"""


def rows_of(deployment: Deployment, name: str) -> pa.Table:
    """What a reader of ``main`` sees."""
    return deployment.lake.load(deployment.tables[name]).scan().to_arrow()


def make(deployment: Deployment, name: str, start: datetime, end: datetime) -> None:
    table = deployment.tables[name]
    built = build(Job(table, table.range(start, end), deployment, "test/kuairand"))
    check(table, built.build_id, deployment)
    publish(table, built.build_id, deployment.ledger, deployment.lake)


def make_all(deployment: Deployment, arrivals: tuple[datetime, datetime], events: tuple[datetime, datetime]) -> None:
    """The tables of these hours of arrival and of these hours of events, each as one range."""
    for name in ("events.landed", "events.rejected"):
        make(deployment, name, *arrivals)
    for name in ("events.clean", "rollups.item_engagement_hourly"):
        make(deployment, name, *events)
    make(deployment, "rollups.item_engagement_daily", DAY.floor(events[0]), DAY.ceil(events[1]))


def accounts(deployment: Deployment) -> tuple[int, int, int]:
    """Rows landed, rejected, and clean."""
    landed, rejected, clean = (
        rows_of(deployment, f"events.{name}").num_rows for name in ("landed", "rejected", "clean")
    )
    return landed, rejected, clean


def same_as_file(deployment: Deployment, log: Path, days: int) -> None:
    """Each row of the daily roll-up is that of a query over the file, whose times are moved by some days."""
    with duckdb.connect() as connection:
        connection.register("daily", rows_of(deployment, "rollups.item_engagement_daily"))
        built: list[Any] = connection.execute(FROM_TABLE).fetchall()
        assert built == connection.execute(FROM_FILE, [days, str(log)]).fetchall()


@pytest.fixture
def a_day(tmp_path: Path) -> Path:
    """30 April in UTC, which holds two of the four disagreeing pairs, and three rows that we broke before them."""
    path = tmp_path / "log_day.parquet"
    day = f"(SELECT * FROM '{LOG}' WHERE make_timestamp(time_ms * 1000) >= '2022-04-30')"
    broken = ("NULL AS is_like", "2 AS is_hate", "-1 AS play_time_ms")
    rows = [f"(SELECT * REPLACE ({change}) FROM {day} LIMIT 1 OFFSET {n})" for n, change in enumerate(broken)]
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({' UNION ALL '.join([*rows, day])}) TO '{path}'")
    return path


def test_a_replayed_day_equals_a_query_over_its_file(deployment: Deployment, a_day: Path) -> None:
    # The last event hour of the file is 15:00, so that this moves it by whole days.
    end = datetime(2026, 5, 1, 16, tzinfo=UTC)
    arrivals = land(deployment.lake.landing, SOURCES, ["kuairand"], [a_day], now=end, shift_to=end)
    hours = (DAY.floor(end), end)
    assert [arrival.hour for arrival in arrivals] == [hours[0] + timedelta(hours=n) for n in range(16)]
    make_all(deployment, hours, hours)
    landed, rejected, clean = accounts(deployment)
    assert landed + rejected == pq.read_metadata(a_day).num_rows
    assert sorted(rows_of(deployment, "events.rejected")["reason"].to_pylist()) == [
        "is_hate: '2' is not 0 or 1",
        "is_like is missing",
        "play_time_ms: '-1' is not a whole number from 0",
    ]
    assert landed - clean == _duplicates(a_day) - rejected
    same_as_file(deployment, a_day, days=(DAY.floor(end).date() - datetime(2022, 4, 30).date()).days)


def _duplicates(log: Path) -> int:
    """Rows beyond the first of their user, video and time."""
    keys = pq.read_table(log, columns=["user_id", "video_id", "time_ms"])
    return keys.num_rows - keys.group_by(keys.column_names).aggregate([]).num_rows


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_six_days_equal_a_query_over_their_file(deployment: Deployment) -> None:
    arrival = datetime(2022, 5, 1, tzinfo=UTC)
    land(deployment.lake.landing, SOURCES, ["kuairand"], [LOG], now=arrival)
    times = pc.min_max(pq.read_table(LOG, columns=["time_ms"])["time_ms"]).as_py()
    first, last = (HOUR.floor(datetime.fromtimestamp(times[edge] / 1000, UTC)) for edge in ("min", "max"))
    make_all(deployment, (arrival, arrival + HOUR.length), (first, last + HOUR.length))
    landed, rejected, clean = accounts(deployment)
    # As docs/sources.md says.
    assert (landed, rejected, clean) == (94_784, 0, 91_805)
    assert landed + rejected == pq.read_metadata(LOG).num_rows
    assert landed - clean == _duplicates(LOG) == 2_979
    same_as_file(deployment, LOG, days=0)


def test_the_videos_become_the_catalogue(deployment: Deployment) -> None:
    arrival = datetime(2026, 5, 1, tzinfo=UTC)
    land(deployment.lake.landing, SOURCES, ["kuairand_items"], [DATA], now=arrival)
    make(deployment, "events.rejected", arrival, arrival + HOUR.length)
    make(deployment, "catalog.items", arrival, arrival + DAY.length)
    assert rows_of(deployment, "events.rejected").num_rows == 0
    with duckdb.connect() as connection:
        connection.register("items", rows_of(deployment, "catalog.items"))
        built = connection.execute(CATALOGUE).fetchall()
        assert built == connection.execute(VIDEOS_IN_FILE, [str(VIDEOS)]).fetchall()
    assert len(built) == 7_583
    assert sum(not categories for *_, categories in built) == 96
