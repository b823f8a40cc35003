"""The same roll-up of 10 million events in DuckDB and Polars: what the machine can do.

All read the Parquet files of `events.clean` that the build's question reads, group by the same seven columns, count the
same ten types, sum the same two values and estimate distinct users. Spark writes the Iceberg table with a sketch in
each row, by the job by hand of the build's question; DuckDB (`approx_count_distinct`) and Polars (`approx_n_unique`)
write one Parquet file, compressed with zstd, with the estimate itself, which cannot be merged. Spark's server is warm;
DuckDB's and Polars' engines run in this process, with the threads that they choose.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import data, measure
from benchmarks.build import BY_HAND, END, EVENTS, HOURS, by_hand, twin
from benchmarks.ground import ground
from benchmarks.measure import Result, Row
from include.events import EVENT_TYPES

KEYS = ("hour", "item_id", "surface", "model_id", "variant", "device_class", "country")


def main(small: bool) -> Result:
    """The three, interleaved, with the same number of rows each."""
    from include.tables import clean, item_engagement_hourly

    events = 48_000 if small else EVENTS
    span = data.hours_before(END, HOURS)
    with ground() as deployment, tempfile.TemporaryDirectory(prefix="feedmill-bench-") as name:
        data.fill(deployment, clean, span, events // HOURS)
        twin(deployment, item_engagement_hourly)
        files = data.files(deployment, clean)
        rows: dict[str, int] = {}
        arms = {
            "Spark": lambda: by_hand(span),
            "DuckDB": lambda: rows.update(DuckDB=in_duckdb(files, Path(name) / "duckdb.parquet")),
            "Polars": lambda: rows.update(Polars=in_polars(files, Path(name) / "polars.parquet")),
        }
        samples = measure.interleaved(arms, 2 if small else measure.RUNS, warm=1)
        rows["Spark"] = deployment.lake.catalog.load_table(BY_HAND).scan().count()
        assert len(set(rows.values())) == 1, f"the engines wrote different numbers of rows: {rows}"
    return Result("yardstick", samples, {"events": events, "rows": rows["Spark"]}, small)


def in_duckdb(files: list[str], out: Path) -> int:
    """The rows that DuckDB wrote."""
    import duckdb

    counts = ", ".join(f"count_if(list_contains(event_types, '{kind}')) AS {kind}s" for kind in EVENT_TYPES)
    query = (
        f"SELECT {', '.join(KEYS)}, {counts}, sum(coalesce(duration_ms, 0)) AS duration_ms, "
        "sum(coalesce(revenue_micros, 0)) AS revenue_micros, approx_count_distinct(user_id) AS users "
        f"FROM read_parquet($files) GROUP BY {', '.join(KEYS)}"
    )
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({query}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)", {"files": files})
        found = connection.execute(f"SELECT count(*) FROM read_parquet('{out}')").fetchone()
    assert found is not None
    return int(found[0])


def in_polars(files: list[str], out: Path) -> int:
    """The rows that Polars wrote."""
    import polars as pl

    counts = [pl.col("event_types").list.contains(kind).sum().alias(f"{kind}s") for kind in EVENT_TYPES]
    sums = [pl.col(name).fill_null(0).sum() for name in ("duration_ms", "revenue_micros")]
    users = pl.col("user_id").approx_n_unique().alias("users")
    pl.scan_parquet(files).group_by(KEYS).agg(*counts, *sums, users).sink_parquet(out, compression="zstd")
    return int(pl.scan_parquet(out).select(pl.len()).collect().item())


def rows(result: Result) -> list[Row]:
    """No goal: a yardstick."""
    spark = result.samples["Spark"]
    found = [Row(f"Spark, {result.facts['events']:,} events to {result.facts['rows']:,} rows", measure.shown(spark))]
    for engine in ("DuckDB", "Polars"):
        found.append(Row(engine, measure.shown(result.samples[engine])))
        ratio = measure.shown(measure.ratios(spark, result.samples[engine]), "")
        found.append(Row(f"the same roll-up, Spark ÷ {engine}", ratio, headline=True))
    return found


if __name__ == "__main__":
    measure.command("yardstick", main, rows)
