"""Queries over the rows that a check judged: Trino's SQL over the branch that the build kept, or DuckDB's."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from feedmill.timeline import DAY, Period, Range, runs

_RANGES = 6
"""At most this many ranges stand in a query; of more it takes the whole time from the first to the last."""


@dataclass(frozen=True)
class Rows:
    """The rows that a query is about, and the queries that can be asked of them."""

    source: str
    within: str
    """The condition that selects the partitions."""
    by: str = ""
    """The partition column, where the rows are of several partitions; what is counted is counted for each."""

    def failing(self, condition: str) -> str:
        """Rows that meet the condition; any rows where the condition is empty."""
        extra = f"\n  AND {condition}" if condition else ""
        return f"SELECT *\nFROM {self.source}\nWHERE {self.within}{extra}\nLIMIT 100"

    def aggregate(self, expression: str) -> str:
        """One value of all rows, or of each partition."""
        if not self.by:
            return f"SELECT {expression}\nFROM {self.source}\nWHERE {self.within}"
        return (
            f"SELECT {self.by}, {expression}\nFROM {self.source}\nWHERE {self.within}\n"
            f"GROUP BY {self.by}\nORDER BY {self.by}"
        )

    def counted(self, columns: Sequence[str], *, repeated: bool = False) -> str:
        """How many rows have each combination of the columns; ``repeated``: only those that several rows have."""
        listed = ", ".join(dict.fromkeys([*([self.by] if self.by else []), *columns]))
        some = " OR ".join(f"{column} IS NOT NULL" for column in columns)
        where = f"{self.within}\n  AND ({some})" if repeated else self.within
        having = "\nHAVING count(*) > 1" if repeated else ""
        return (
            f"SELECT {listed}, count(*) AS row_count\nFROM {self.source}\nWHERE {where}\n"
            f"GROUP BY {listed}{having}\nORDER BY row_count DESC\nLIMIT 100"
        )


@dataclass(frozen=True)
class Branch:
    """The branch of a build: what its check judged."""

    table: str
    build: str
    """The build's id, without ``build_``."""
    partition_column: str
    period: Period
    catalog: str = "feedmill"

    def rows(self, partitions: Sequence[datetime]) -> Rows:
        """The rows of these partitions, as Trino reads them."""
        ranges = runs(list(partitions), self.period)
        if len(ranges) > _RANGES:
            ranges = [Range(ranges[0].start, ranges[-1].end, self.period)]
        terms = [self._within(span) for span in ranges]
        within = terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"
        return Rows(self._source, within, name(self.partition_column) if len(partitions) > 1 else "")

    def on_command_line(self, sql: str) -> str:
        """The same query for ``feedmill sql``, where there is no Trino: DuckDB over the build's branch."""
        asked = sql.replace(self._source, self.table)
        asked = re.sub(r"TIMESTAMP '([^']+) UTC'", r"TIMESTAMPTZ '\1+00'", asked)
        return f"feedmill sql --as-of-build {self.build} {_shell_quoted(' '.join(asked.split()))}"

    @property
    def _source(self) -> str:
        parts = ".".join(name(part) for part in [self.catalog, *self.table.split(".")])
        return f"{parts} FOR VERSION AS OF {text(f'build_{self.build}')}"

    def _within(self, span: Range) -> str:
        column = name(self.partition_column)
        if len(span) == 1:
            return f"{column} = {self._moment(span.start)}"
        return f"({column} >= {self._moment(span.start)} AND {column} < {self._moment(span.end)})"

    def _moment(self, partition: datetime) -> str:
        if self.period is DAY:
            return f"DATE '{partition.astimezone(UTC):%Y-%m-%d}'"
        return f"TIMESTAMP '{partition.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC'"


def _shell_quoted(query: str) -> str:
    """The query as one word of a shell: in double quotes, so that SQL's own quotes stay readable, if these are safe."""
    return shlex.quote(query) if set(query) & set('"$`\\!') else f'"{query}"'


def outside(value: str, low: Any, high: Any, above_low: bool = False, below_high: bool = False) -> str:
    """The condition that a value is not between the bounds."""
    terms = []
    if low is not None:
        terms.append(f"{value} {'<=' if above_low else '<'} {literal(low)}")
    if high is not None:
        terms.append(f"{value} {'>=' if below_high else '>'} {literal(high)}")
    return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"


def literals(values: Sequence[Any]) -> str:
    """The values with commas between them."""
    return ", ".join(map(literal, values))


def literal(value: Any) -> str:
    """A value of a suite in SQL; a text that is a time becomes one, since suites write times as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"DOUBLE '{value!r}'"
    as_text = str(value)
    if len(as_text) >= 10 and as_text[4:5] == "-":
        try:
            moment = datetime.fromisoformat(as_text)
        except ValueError:
            return text(as_text)
        if len(as_text) == 10:
            return f"DATE {text(as_text)}"
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f} UTC'"
    return text(as_text)


def text(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"


def name(column: str) -> str:
    """A name in SQL, quoted if Trino does not take it without quotes."""
    plain = column.isascii() and column.isidentifier() and column == column.lower() and column not in _RESERVED
    return column if plain else '"' + column.replace('"', '""') + '"'


_WORDS = """
    alter and as between by case cast constraint create cross cube current_date current_time delete describe distinct
    drop else end escape except execute exists extract false for from full group grouping having in inner insert
    intersect into is join left like listagg localtime localtimestamp natural normalize not null on or order outer
    prepare recursive right rollup select skip table then trim true uescape union unnest using values when where with
"""
_RESERVED = frozenset(_WORDS.split())
