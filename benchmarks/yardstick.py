"""The roll-up of the build's question in DuckDB and Polars; measured there, in turn with Spark."""

from __future__ import annotations

from pathlib import Path

from include.events import EVENT_TYPES

KEYS = ("hour", "item_id", "surface", "model_id", "variant", "device_class", "country")


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
