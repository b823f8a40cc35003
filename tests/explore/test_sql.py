"""SQL and diffs over real Iceberg tables, read by DuckDB."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from feedmill.checks.suite import Expectation, Suite
from feedmill.explore.diff import between, grain, key_of
from feedmill.explore.sql import QueryError, ask, data_files, mentioned
from feedmill.spec import Files, Maintainer, Map, Table
from feedmill.timeline import DAY, days
from include.tables import TABLES

TEAM = Maintainer("team", "a team", "mailto:team@example.com")
SEEN = Table("t.seen", DAY, [Files("events")], TEAM, 2, days(9))
UNBUILT = Table("t.unbuilt", DAY, [Files("items")], TEAM, 2, days(9))
MAP = Map([SEEN, UNBUILT])
FIRST = date(2026, 5, 1)

DDL = (
    "CREATE TABLE {name} (day DATE NOT NULL COMMENT 'p', item STRING COMMENT 'i', moment TIMESTAMP COMMENT 'a', "
    "tags ARRAY<STRUCT<name: STRING, weight: DOUBLE>> COMMENT 't', n BIGINT COMMENT 'n', "
    "sketch BINARY COMMENT 's'{more}) USING iceberg PARTITIONED BY (day) COMMENT 'One row per item and day.'"
)


def declare(lake, more=""):
    for table in MAP:
        path = lake.project / table.ddl_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(DDL.format(name=table.name, more=more))

    return lake


@pytest.fixture
def seen(lake, tmp_path):
    """A lake with the table, and nothing in it."""
    declared = declare(replace(lake, project=tmp_path / "project"))
    declared.ensure(SEEN)
    return declared


def rows(*items, day=FIRST, **more):
    moment = datetime(2026, 5, 1, 13, 5, tzinfo=UTC)
    return [
        {
            "day": day,
            "item": item,
            "moment": moment,
            "tags": [{"name": "x", "weight": 0.5}],
            "n": n,
            "sketch": b"\x01",
            **more,
        }
        for item, n in items
    ]


def append(lake, given):
    iceberg = lake.load(SEEN)
    iceberg.append(pa.Table.from_pylist(given, schema=iceberg.schema().as_arrow()))
    return lake.load(SEEN).metadata.current_snapshot_id


def files(lake, snapshot):
    return data_files(lake.load(SEEN), snapshot)


def test_times_are_utc_and_nested_values_whole(seen):
    append(seen, rows(("a", 1)))
    answer = ask("SELECT day, strftime(moment, '%H:%M'), tags[1].weight, n FROM t.seen", MAP, seen)
    assert answer.rows == [(FIRST, "13:05", 0.5, 1)]


def test_a_table_that_was_never_built_has_its_columns_and_no_rows(seen):
    assert ask('SELECT count(*) FROM "t"."unbuilt"', MAP, seen).rows == [(0,)]
    assert ask("SELECT item, n FROM t.unbuilt", MAP, seen).columns == ["item", "n"]


def test_a_table_without_a_snapshot_has_no_rows(seen):
    assert ask("SELECT count(*) FROM t.seen", MAP, seen).rows == [(0,)]


def test_rows_from_before_a_column_was_added_are_null_in_it(seen):
    append(seen, rows(("old", 1)))
    declare(seen, more=", added STRING COMMENT 'new'")
    seen.ensure(SEEN)
    append(seen, rows(("new", 2), added="yes"))
    assert ask("SELECT item, added FROM t.seen ORDER BY n", MAP, seen).rows == [("old", None), ("new", "yes")]


def test_a_renamed_column_keeps_its_values(seen):
    append(seen, rows(("a", 7)))
    with seen.load(SEEN).update_schema() as update:
        update.rename_column("n", "count")
    assert ask('SELECT "count" FROM t.seen', MAP, seen).rows == [(7,)]


def test_another_snapshot_can_be_read_instead_of_what_is_published(seen):
    before = append(seen, rows(("a", 1)))
    append(seen, rows(("b", 2)))
    assert ask("SELECT item FROM t.seen", MAP, seen, {SEEN.name: before}).rows == [("a",)]
    assert ask("SELECT item FROM t.seen", MAP, seen, {SEEN.name: None}).rows == []
    with pytest.raises(QueryError, match=r"snapshot 7 of t\.seen has expired"):
        ask("SELECT item FROM t.seen", MAP, seen, {SEEN.name: 7})


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT * FROM t.nope", "there is no table .*the tables are t.seen, t.unbuilt"),
        ("SELECT * FROM seen", "did you mean t.seen"),
        ("SELECT nope FROM t.seen", 'column "nope" not found'),
        ("SELECT 1; SELECT 2", "give one statement, not 2"),
        ("COPY (SELECT 1) TO '/nowhere'", "only SELECT is possible, not COPY"),
        ("CREATE TABLE x AS SELECT 1", "only SELECT is possible"),
        ("SELEC 1", "syntax error"),
    ],
)
def test_a_wrong_query_is_one_sentence(seen, sql, sentence):
    with pytest.raises(QueryError, match=sentence) as caught:
        ask(sql, MAP, seen)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("select 1", []),
        ("select * from events.clean c join Catalog . Items i using (item_id)", ["catalog.items", "events.clean"]),
        ('select * from "events"."clean"', ["events.clean"]),
        ("select * from my_events.clean", []),
    ],
)
def test_only_named_tables_are_opened(sql, names):
    assert sorted(table.name for table in mentioned(sql, TABLES)) == names


def diff(lake, old, new):
    schema = lake.load(SEEN).schema()
    counts, columns = between(schema, "day", ("day", "item"), old, new)
    return counts, {c.column: (c.rows, c.before, c.after) for c in columns}


def test_rows_are_added_removed_or_changed_by_their_key(seen):
    old = files(seen, append(seen, rows(("same", 1), ("gone", 1), ("changed", 1))))
    both = append(seen, rows(("same", 1), ("new", 1), ("changed", 5)))
    new = sorted(set(files(seen, both)) - set(old))
    assert diff(seen, old, new) == ({"2026-05-01": (1, 1, 1)}, {"n": (1, 1, 5)})
    assert diff(seen, [], new)[0] == {"2026-05-01": (3, 0, 0)}
    assert diff(seen, old, []) == ({"2026-05-01": (0, 3, 0)}, {})
    assert diff(seen, old, old) == ({}, {})


def test_rows_are_a_multiset(seen):
    once = files(seen, append(seen, rows(("a", 1))))
    twice = sorted(set(files(seen, append(seen, rows(("a", 1), ("a", 1))))) - set(once))
    assert diff(seen, once, twice)[0] == {"2026-05-01": (1, 0, 0)}


def test_a_key_that_stands_twice_pairs_no_rows(seen):
    old = files(seen, append(seen, rows(("a", 1), ("a", 2))))
    new = sorted(set(files(seen, append(seen, rows(("a", 3), ("a", 4))))) - set(old))
    assert diff(seen, old, new) == ({"2026-05-01": (2, 2, 0)}, {})


def test_a_sketchs_bytes_are_not_compared(seen):
    old = files(seen, append(seen, rows(("a", 1))))
    new = sorted(set(files(seen, append(seen, rows(("a", 1), sketch=b"\x02")))) - set(old))
    assert diff(seen, old, new) == ({}, {})


def test_without_a_unique_expectation_the_key_is_all_that_is_no_number(seen):
    schema = seen.load(SEEN).schema()
    assert key_of(schema, "day", ()) == ("day", "item", "moment", "tags")
    unique = Expectation("expect_column_values_to_be_unique", {"column": "item"}, "critical", "", "x")
    assert key_of(schema, "day", grain(Suite("s", (unique,), "d"))) == ("day", "item")
    assert grain(Suite("s", (), "d")) == ()
