"""The Trino query that shows the rows which fail an expectation, on the branch that their build kept."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from feedmill.checks.suite import Expectation
from feedmill.timeline import DAY, Period

_AGGREGATES = {
    "expect_column_max_to_be_between": "max({})",
    "expect_column_mean_to_be_between": "avg({})",
    "expect_column_min_to_be_between": "min({})",
    "expect_column_stdev_to_be_between": "stddev_samp({})",
    "expect_column_sum_to_be_between": "sum({})",
    "expect_column_unique_value_count_to_be_between": "count(DISTINCT {})",
    "expect_column_proportion_of_unique_values_to_be_between": "CAST(count(DISTINCT {0}) AS double) / count({0})",
}


def failing_rows(
    expectation: Expectation,
    table: str,
    build: str,
    partition: datetime,
    partition_column: str,
    period: Period,
    catalog: str = "feedmill",
) -> str:
    """A Trino query of the rows that fail it in that partition, or of the number that fails.

    Where there is nothing to select by (the columns of a table), the query shows rows as they are.
    """
    source = _source(table, build, catalog)
    within = f"{_name(partition_column)} = {_moment(partition, period)}"
    kwargs, columns = expectation.kwargs, [_name(column) for column in expectation.columns]
    listed = ", ".join(columns)
    if expectation.type in {"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"}:
        some = " OR ".join(f"{column} IS NOT NULL" for column in columns)
        return (
            f"SELECT {listed}, count(*) AS row_count\nFROM {source}\nWHERE {within}\n  AND ({some})\n"
            f"GROUP BY {listed}\nHAVING count(*) > 1\nORDER BY row_count DESC\nLIMIT 100"
        )
    if expectation.type in _AGGREGATES:
        return f"SELECT {_AGGREGATES[expectation.type].format(columns[0])}\nFROM {source}\nWHERE {within}"
    if expectation.type.startswith("expect_table_row_count"):
        return f"SELECT count(*) AS row_count\nFROM {source}\nWHERE {within}"
    if expectation.type.startswith("expect_column_distinct_values"):
        return (
            f"SELECT {listed}, count(*) AS row_count\nFROM {source}\nWHERE {within}\n"
            f"GROUP BY {listed}\nORDER BY row_count DESC\nLIMIT 100"
        )
    condition = _condition(expectation.type, kwargs, columns)
    extra = f"\n  AND {condition}" if condition else ""
    return f"SELECT *\nFROM {source}\nWHERE {within}{extra}\nLIMIT 100"


def on_command_line(sql: str, table: str, build: str, catalog: str = "feedmill") -> str:
    """The same question for ``feedmill sql``, for where no Trino runs: DuckDB over the build's branch."""
    asked = sql.replace(_source(table, build, catalog), table)
    asked = re.sub(r"TIMESTAMP '([^']+) UTC'", r"TIMESTAMPTZ '\1+00'", asked)
    return f"feedmill sql --as-of-build {build} {shlex.quote(' '.join(asked.split()))}"


def _condition(type_: str, kwargs: Mapping[str, Any], columns: Sequence[str]) -> str:
    """What a failing row meets; empty for the shape of a table. Nulls fail none but the expectation on nulls."""
    column = columns[0] if columns else ""
    match type_:
        case "expect_column_values_to_not_be_null":
            return f"{column} IS NULL"
        case "expect_column_values_to_be_null":
            return f"{column} IS NOT NULL"
        case "expect_column_values_to_be_between":
            return _outside(column, kwargs)
        case "expect_column_values_to_be_in_set":
            return f"{column} NOT IN ({', '.join(map(_literal, kwargs['value_set']))})"
        case "expect_column_values_to_not_be_in_set":
            return f"{column} IN ({', '.join(map(_literal, kwargs['value_set']))})"
        case "expect_column_values_to_match_regex":
            return f"NOT regexp_like({column}, {_text(kwargs['regex'])})"
        case "expect_column_values_to_not_match_regex":
            return f"regexp_like({column}, {_text(kwargs['regex'])})"
        case "expect_column_value_lengths_to_be_between":
            return _outside(f"length({column})", kwargs)
        case "expect_column_value_lengths_to_equal":
            return f"length({column}) <> {_literal(kwargs['value'])}"
        case "expect_column_pair_values_a_to_be_greater_than_b":
            return f"{column} {'<' if kwargs.get('or_equal') else '<='} {columns[1]}"
        case "expect_column_pair_values_to_be_equal":
            return f"{column} <> {columns[1]}"
        case "expect_select_column_values_to_be_unique_within_record":
            pairs = [(a, b) for i, a in enumerate(columns) for b in columns[i + 1 :]]
            return "(" + " OR ".join(f"{a} = {b}" for a, b in pairs) + ")"
        case "expect_multicolumn_sum_to_equal":
            return f"{' + '.join(columns)} <> {_literal(kwargs['sum_total'])}"
        case _:
            return ""


def _outside(value: str, kwargs: Mapping[str, Any]) -> str:
    terms = []
    if kwargs.get("min_value") is not None:
        terms.append(f"{value} {'<=' if kwargs.get('strict_min') else '<'} {_literal(kwargs['min_value'])}")
    if kwargs.get("max_value") is not None:
        terms.append(f"{value} {'>=' if kwargs.get('strict_max') else '>'} {_literal(kwargs['max_value'])}")
    return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"


def _source(table: str, build: str, catalog: str) -> str:
    parts = ".".join(_name(part) for part in [catalog, *table.split(".")])
    return f"{parts} FOR VERSION AS OF {_text(f'build_{build}')}"


def _moment(partition: datetime, period: Period) -> str:
    if period is DAY:
        return f"DATE '{partition.astimezone(UTC):%Y-%m-%d}'"
    return f"TIMESTAMP '{partition.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC'"


def _literal(value: Any) -> str:
    """A literal; a text that is a time is taken as one, since suites write times as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"DOUBLE '{value!r}'"
    text = str(value)
    if len(text) >= 10 and text[4:5] == "-":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return _text(text)
        if len(text) == 10:
            return f"DATE {_text(text)}"
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f} UTC'"
    return _text(text)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(name: str) -> str:
    """A name, quoted where Trino would not take it bare."""
    plain = name.isascii() and name.isidentifier() and name == name.lower() and name not in _RESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'


_WORDS = """
    alter and as between by case cast constraint create cross cube current_date current_time delete describe distinct
    drop else end escape except execute exists extract false for from full group grouping having in inner insert
    intersect into is join left like listagg localtime localtimestamp natural normalize not null on or order outer
    prepare recursive right rollup select skip table then trim true uescape union unnest using values when where with
"""
_RESERVED = frozenset(_WORDS.split())
