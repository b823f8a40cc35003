"""SQL and diffs over real Iceberg tables, read by DuckDB."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import fsspec
import pyarrow as pa
import pytest
from builds import Workshop, each

from feedmill.checks.suite import Expectation, Suite
from feedmill.deployment import Deployment
from feedmill.doctor import examination
from feedmill.doctor.rules import findings
from feedmill.doctor.table_rules import RowsDeleted
from feedmill.explore.diff import between, grain, key_of
from feedmill.explore.lake_files import LakeFiles
from feedmill.explore.sql import QueryError, RowLevelDeletesError, ask, data_files, mentioned, open_duckdb, scan
from feedmill.spec import Files, Maintainer, Map, Table
from feedmill.timeline import DAY, HOUR, Range, days, hours
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
    return data_files(SEEN, lake.load(SEEN), snapshot, lake)


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
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO '/nowhere'", "only SELECT is possible, not COPY"),
        ("EXPLAIN (ANALYZE, FORMAT json) INSERT INTO t.seen VALUES (1)", "only SELECT is possible, not INSERT"),
        ("SET threads = 1", "only SELECT is possible, not SET"),
        ("ATTACH '/nowhere' AS other", "only SELECT is possible, not ATTACH"),
        ("INSTALL httpfs", "only SELECT is possible, not LOAD"),
        ("LOAD httpfs", "only SELECT is possible, not LOAD"),
        ("CREATE SECRET s (TYPE s3)", "only SELECT is possible, not CREATE"),
        ("CALL enable_logging()", "only SELECT is possible, not CALL"),
        ("SELECT getenv('HOME')", "getenv does not exist"),
        ("SELECT * FROM tables", "there is no table tables"),
    ],
)
def test_a_wrong_query_is_one_sentence(seen, sql, sentence):
    with pytest.raises(QueryError, match=sentence) as caught:
        ask(sql, MAP, seen)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sql", ["EXPLAIN SELECT item FROM t.seen", "explain analyze select 1", "DESCRIBE t.seen"])
def test_what_only_looks_is_possible(seen, sql):
    assert ask(sql, MAP, seen).rows


ELSEWHERE = (
    "read_csv('{}')",
    "read_text('{}')",
    "read_blob('{}')",
    "parquet_metadata('{}')",
    "sniff_csv('{}')",
    "glob('{}')",
    "query_table('{}')",
    "'{}'",
)


@pytest.mark.parametrize("source", ELSEWHERE)
@pytest.mark.parametrize("place", ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/x", "s3://bucket/x.csv"])
def test_a_query_reads_the_published_tables_and_nothing_else(seen, source, place):
    append(seen, rows(("a", 1)))
    with pytest.raises(QueryError) as caught:
        ask(f"SELECT * FROM t.seen, {source.format(place)}", MAP, seen)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_query_cannot_name_other_files_of_the_lake(seen):
    append(seen, rows(("a", 1)))
    (path,) = files(seen, append(seen, rows(("b", 2))))[:1]
    for name in (path, path.removeprefix("file://"), "lake://7", "lake://../0", "lake://*"):
        with pytest.raises(QueryError):
            ask(f"SELECT * FROM read_parquet('{name}')", MAP, seen)


def test_a_query_cannot_write_over_what_it_reads_nor_anywhere_else(seen, tmp_path):
    """A COPY inside of a WITH counts as SELECT, and DuckDB itself lets it write to every file that may be read."""
    (path,) = files(seen, append(seen, rows(("a", 1))))
    before = Path(path.removeprefix("file://")).read_bytes()
    for target in ("lake://0", "lake://new", path, str(tmp_path / "stolen"), (tmp_path / "stolen").as_uri()):
        copy = f"COPY (SELECT 42 AS item) TO '{target}' (FORMAT parquet, USE_TMP_FILE false)"
        with pytest.raises(QueryError):
            ask(f"WITH written AS ({copy}) SELECT item FROM t.seen", MAP, seen)
    assert Path(path.removeprefix("file://")).read_bytes() == before
    assert not (tmp_path / "stolen").exists()


def test_what_a_query_could_switch_is_switched_off_and_locked():
    with open_duckdb(LakeFiles([])) as connection:
        wanted = {"enable_external_access": False, "lock_configuration": True, "allow_persistent_secrets": False}
        assert {name: connection.sql(f"SELECT current_setting('{name}')").fetchall()[0][0] for name in wanted} == wanted
        with pytest.raises(duckdb.InvalidInputException, match="locked"):
            connection.execute("SET enable_external_access = true")


@pytest.fixture
def bucket(seen) -> Iterator[list[str]]:
    """The files of a table in an object store; each has many row groups, so that several threads read it at once."""
    schema = seen.load(SEEN).schema().as_arrow()
    store = fsspec.filesystem("memory")
    names = [f"memory://bucket/day=2026-05-01/{n}.parquet" for n in range(2)]
    for part, name in enumerate(names):
        table = pa.Table.from_pylist(rows(*((f"i{n}", n) for n in range(part, 40_000, 2))), schema=schema)
        with store.open(name, "wb") as stream:
            pa.parquet.write_table(table, stream, row_group_size=2_000)
    yield names
    store.rm("/bucket", recursive=True)


def test_a_lake_in_an_object_store_is_read_through_fsspec(seen, bucket):
    files = LakeFiles(bucket)
    with open_duckdb(files) as connection:
        body = scan(files, seen.load(SEEN).schema(), bucket)
        for _ in range(5):
            (found,) = connection.execute(f"SELECT count(*), sum(n), max(day) FROM ({body})").fetchall()
            assert found == (40_000, 40_000 * 39_999 // 2, FIRST)
        with pytest.raises(duckdb.Error):
            connection.execute(f"SELECT * FROM read_parquet('{bucket[0]}')")


def test_rows_that_another_engine_deleted_are_named_with_the_restatement_that_heals_them(lake, ledger, tmp_path, spark):
    """By Spark's DELETE, merge on read: Feedmill's own readers would still show the rows."""
    start = datetime(2026, 5, 1, tzinfo=UTC)
    shop = Workshop(lake, ledger, tmp_path)
    tables = Map([shop.table])
    deployment = Deployment(tmp_path, tables, {}, ledger, shop.lake)
    span = Range(start, start + hours(3), HOUR)
    shop.publish(shop.build(span, each(span, 4), 1))
    name = f"feedmill.{shop.table.name}"
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('write.delete.mode'='merge-on-read')")
    spark.sql(f"DELETE FROM {name} WHERE item = 'i0' AND hour < '2026-05-01T02:00:00'")
    count = f"SELECT count(*) FROM {shop.table.name}"
    command = "`feedmill build demo.hourly --start 2026-05-01T00 --end 2026-05-01T02`"

    def ills():
        found = findings(examination.examine(deployment, list(tables), start + days(1)))
        return [one for one in found if one.table == shop.table.name]

    (finding,) = ills()
    assert (finding.ill, finding.names) == (RowsDeleted.ill, ("2026-05-01T00", "2026-05-01T01"))
    assert command in finding.mend
    with pytest.raises(RowLevelDeletesError, match=r"2026-05-01T00 to 2026-05-01T02") as refused:
        ask(count, tables, shop.lake)
    assert command in str(refused.value)
    third = Range.one(start + hours(2), HOUR)
    shop.publish(shop.build(third, each(third, 5), 2))
    assert [one.ill for one in ills()] == [RowsDeleted.ill], "a publish of another hour goes on, and heals nothing"
    two = Range(start, start + hours(2), HOUR)
    assert shop.publish(shop.build(two, each(two, 4), 1)).unchanged == list(two.partitions())
    assert ills() == []
    assert ask(count, tables, shop.lake).rows == [(13,)]
    assert spark.sql(count.replace("demo", "feedmill.demo")).collect()[0][0] == 13


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
    assert key_of(schema, "day", ("item", "gone")) == ("day", "item", "moment", "tags")
