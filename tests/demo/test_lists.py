"""What the full demo shows: its questions fit the tables' DDL, and its lists say who is who and what is simulated."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rich.console import Console

from feedmill.cli import demo_full
from feedmill.cli.demo_full import Person, Shown
from feedmill.explore.sql import duck_type
from feedmill.lake import ddl
from feedmill.timeline import DAY, HOUR, Range

PROJECT = Path(__file__).resolve().parents[2]
DATE = datetime(2026, 5, 7, tzinfo=UTC)
TABLES = (
    "features.user_category_affinity",
    "serving.user_recommendations",
    "serving.fallback_ranking",
    "rollups.user_items_daily",
)


@pytest.fixture
def db() -> duckdb.DuckDBPyConnection:
    """The tables as their DDL has them, empty."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name in TABLES:
        schema, _, short = name.partition(".")
        columns = ddl.read(PROJECT / "include" / "sql" / schema / f"{short}.sql").columns
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        connection.execute(f"CREATE TABLE {name} ({', '.join(f'{c.name} {duck_type(c.type)}' for c in columns)})")
    return connection


def insert(db: duckdb.DuckDBPyConnection, table: str, **row: object) -> None:
    """A row; what it does not say is null."""
    marks = ", ".join("?" for _ in row)
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def rows(db: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    return db.sql(sql).to_arrow_table().to_pylist()


def affinity(db: duckdb.DuckDBPyConnection, user: str, rank: int, impressions: float, observed: float) -> None:
    insert(
        db,
        TABLES[0],
        day=DATE.date(),
        horizon="long",
        user_id=user,
        category=f"c{rank}",
        segment="DE",
        rank=rank,
        affinity=2.0 / rank,
        lower_bound=1.0 / rank,
        credibility=0.5,
        impressions=impressions,
        observed=observed,
        expected=1.0,
    )


def test_the_well_known_user_has_the_most_impressions_and_the_sparse_one_the_fewest_with_an_engagement(db) -> None:
    people = (("u0", 99, 9, 3), ("u1", 90, 9, 2), ("u'2", 2, 1, 1), ("u3", 1, 0, 1), ("u4", 5, 1, 1))
    for user, impressions, observed, items in people:
        for rank in (1, 2):
            affinity(db, user, rank, impressions, observed)
        for item in range(items):
            insert(db, TABLES[3], day=DATE.date(), user_id=user, item_id=f"i{item}")
    insert(db, TABLES[3], day=DATE.date(), user_id="u3", item_id="i3")
    insert(db, TABLES[3], day=(DATE + DAY.length).date(), user_id="u1", item_id="tomorrow")
    known, sparse = (rows(db, demo_full._somebody(DATE, order))[0] for order in ("DESC", "ASC"))
    assert (known["user_id"], known["segment"], known["impressions"]) == ("u1", "DE", 180), (
        "u0 has seen three of the four items"
    )
    assert sparse["user_id"] == "u'2", "who never engaged shows nothing"
    assert [row["category"] for row in rows(db, demo_full._affinities(DATE, "u'2"))] == ["c1", "c2"]


def test_lists_are_of_their_user_segment_and_hour_in_order(db) -> None:
    last = datetime(2026, 5, 7, 23, tzinfo=UTC)
    for rank in (2, 1):
        insert(db, TABLES[1], day=DATE.date(), user_id="u1", rank=rank, item_id=f"i{rank}")
        insert(db, TABLES[1], day=DATE.date(), user_id="u2", rank=rank, item_id="another's")
        insert(db, TABLES[2], hour=last, segment="DE", rank=rank, item_id=f"f{rank}")
        insert(db, TABLES[2], hour=last, segment="FR", rank=rank, item_id="another's")
    assert [row["item_id"] for row in rows(db, demo_full._recommendations(DATE, "u1"))] == ["i1", "i2"]
    assert [row["item_id"] for row in rows(db, demo_full._fallback(last, "DE"))] == ["f1", "f2"]


def shown(db: duckdb.DuckDBPyConnection, equal: bool = True) -> str:
    """The text, of one user with a list and one without."""
    affinity(db, "u1", 1, 90, 9)
    insert(
        db,
        TABLES[1],
        day=DATE.date(),
        user_id="u1",
        rank=1,
        item_id="i7",
        **dict.fromkeys(("affinity", "engaged", "evidence", "score"), 1.5),
    )
    insert(db, TABLES[2], hour=DATE, segment="DE", rank=1, item_id="f1", score=0.5, is_trending=True)
    affinities = [{**row, "truth": 1.75} for row in rows(db, demo_full._affinities(DATE, "u1"))]
    people = [
        Person("well known", "u1", "DE", 90.0, affinities, rows(db, demo_full._recommendations(DATE, "u1"))),
        Person("sparse", "u2", "DE", 1.0),
    ]
    weeks = Range(datetime(2026, 4, 3, tzinfo=UTC), datetime(2026, 5, 8, tzinfo=UTC), DAY)
    week = Range(weeks.end, datetime(2026, 5, 15, tzinfo=UTC), HOUR)
    what = Shown(weeks, 1_234, 7, 50, equal, people, "DE", rows(db, demo_full._fallback(DATE, "DE")))
    assert what.day == DATE
    assert what.plain()["people"][0]["user_id"] == "u1"
    console = Console(width=200)
    with console.capture() as captured:
        console.print(demo_full.text(what, week))
    return captured.get()


def test_the_text_says_what_is_simulated_and_what_is_real(db) -> None:
    text = shown(db)
    assert "Simulated: 2026-04-03 to 2026-05-07 (UTC), 1,234 events of 50 users" in text
    assert "Real:      2026-05-08 to 2026-05-14, Open Bandit" in text
    assert "hold exactly what the simulator counted" in text


def test_totals_that_differ_are_said_to_differ(db) -> None:
    assert "DIFFER from what the simulator counted" in shown(db, equal=False)


def test_affinity_bound_credibility_and_truth_stand_side_by_side_and_the_ranking_serves_who_has_no_list(db) -> None:
    lines = shown(db).splitlines()
    c1 = next(line for line in lines if line.startswith("c1"))
    assert c1.split() == ["c1", "90.0", "9.0", "1.0", "2.00", "1.00", "0.50", "1.75"]
    heads = next(line for line in lines if "u1 (DE), well known" in line)
    assert "u2 (DE), sparse: 1.0 impressions" in heads, "the two users side by side"
    assert any("i7" in line for line in lines)
    assert any("u2, sparse: none; the ranking below serves this user" in line for line in lines)
    assert next(line for line in lines if "f1" in line).split() == ["1", "f1", "None", "0.500", "yes"]
