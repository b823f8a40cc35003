"""The hash of a row: equal for equal rows, and for no others, whatever is in them."""

from __future__ import annotations

import functools
import operator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import functions as F

from feedmill.flow.rows.digest import digest_of, row_hash, sums
from feedmill.lake.ddl import read

TABLE = """CREATE TABLE a.b (day DATE NOT NULL COMMENT 'Partition.', v {kind} COMMENT 'A value.')
USING iceberg PARTITIONED BY (day) COMMENT 'One row.'"""


@pytest.fixture
def hashes(spark: Any, tmp_path: Path) -> Any:
    """The hashes of rows of a table with one column of that type, given as SQL expressions."""

    def of(kind: str, *values: str) -> list[int]:
        path = tmp_path / "b.sql"
        path.write_text(TABLE.format(kind=kind))
        rows = ", ".join(f"({number}, cast({value} AS {kind}))" for number, value in enumerate(values))
        frame = spark.sql(f"SELECT * FROM VALUES {rows} AS t(number, v)").selectExpr("*", "DATE '2026-05-01' AS day")
        return [row[0] for row in frame.orderBy("number").select(row_hash(read(path))).collect()]

    return of


@pytest.fixture
def sketches(spark: Any, tmp_path: Path) -> Any:
    """The hash and the estimate of the sketch of numbers, made of parts, each in its order."""
    path = tmp_path / "b.sql"
    path.write_text(TABLE.format(kind="BINARY"))

    def of(*parts: range) -> tuple[int, int]:
        # One task a part, so that its numbers come in this order.
        made = [spark.range(p.start, p.stop, p.step, 1).agg(F.hll_sketch_agg("id").alias("s")) for p in parts]
        union = made[0]
        for one in made[1:]:
            union = union.unionAll(one)
        whole = union.coalesce(1).agg(F.hll_union_agg("s").alias("v")) if len(made) > 1 else union.toDF("v")
        row = (
            whole.selectExpr("*", "DATE '2026-05-01' AS day")
            .select(row_hash(read(path)), F.hll_sketch_estimate("v"))
            .first()
        )
        return row[0], row[1]

    return of


@pytest.mark.parametrize("size", [1, 7, 8, 9, 24, 200, 400, 3_000, 40_000])
def test_a_sketch_counts_by_what_was_counted_in_whatever_order_it_came(sketches: Any, size: int) -> None:
    straight = sketches(range(size))
    cut = size // 3 + 1
    assert sketches(range(size - 1, -1, -1))[0] == straight[0], "the other way round"
    assert sketches(range(cut), range(cut - 1, size))[0] == straight[0], "in parts that overlap"
    assert sketches(range(cut - 1, size), range(cut))[0] == straight[0], "and in the other order"
    assert sketches(range(size, 2 * size))[0] != straight[0], "as many others"


def test_two_sketches_of_one_value_have_one_estimate_and_two_hashes(sketches: Any) -> None:
    (first, one), (second, other) = sketches(range(1)), sketches(range(1, 2))
    assert (one, other) == (1, 1)
    assert first != second


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("STRING", ["''", "NULL", "'a'"]),
        (
            "BINARY",
            [
                "X''",
                "NULL",
                "X'01'",
                "X'0201'",
                "X'0102030405060708090A'",
                "X'01020304050607080A09'",
                "X'030107'",
                "X'0A0107'",
                "X'0A010700'",
            ],
        ),
        ("ARRAY<STRING>", ["NULL", "array()", "array(NULL)", "array('')", "array('a', NULL)", "array(NULL, 'a')"]),
        (
            "STRUCT<x: INT, y: INT>",
            [
                "NULL",
                "named_struct('x', 1, 'y', NULL)",
                "named_struct('x', NULL, 'y', 1)",
                "named_struct('x', 1, 'y', 1)",
            ],
        ),
        (
            "ARRAY<STRUCT<x: INT, y: INT>>",
            [
                "array(named_struct('x', 1, 'y', NULL))",
                "array(named_struct('x', NULL, 'y', 1))",
                "array(NULL)",
                "array()",
            ],
        ),
        ("MAP<STRING, INT>", ["NULL", "map()", "map('a', 1)", "map('a', NULL)", "map('b', 1)", "map('a', 1, 'b', 1)"]),
    ],
)
def test_values_that_differ_have_hashes_that_differ(hashes: Any, kind: str, values: list[str]) -> None:
    found = hashes(kind, *values)
    assert len(set(found)) == len(values), dict(zip(values, found, strict=True))
    assert hashes(kind, *values) == found


def test_the_sum_of_a_partition_s_hashes_is_exact(spark: Any) -> None:
    hashes = [-(2**63), -(2**63), -1, 0, 1, 2**42 + 5, 2**63 - 1, -8491031344537731787]
    frame = spark.sql(f"SELECT explode(array({', '.join(f'cast({h} AS BIGINT)' for h in hashes)})) AS h")
    row = frame.agg(F.count("*").alias("rows"), *sums(F.col("h"))).first().asDict()
    xor = functools.reduce(operator.xor, hashes)
    assert digest_of(row) == f"{len(hashes)}:{sum(hashes)}:{xor}"


def test_the_entries_of_a_map_have_no_order(hashes: Any) -> None:
    one, other = hashes("MAP<STRING, INT>", "map('a', 1, 'b', 2)", "map('b', 2, 'a', 1)")
    assert one == other
