"""The same computations in DuckDB, and the roll-up in Polars too: the yardstick of what the machine can do.

Sums are of doubles and sketches are estimates, where Feedmill's sums are exact and its sketches can be merged.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from include.events import ENGAGED, EVENT_TYPES, LAST_BUCKET, POSITION_BUCKETS, SEGMENT, UNKNOWN

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEYS = ("hour", "item_id", "surface", "model_id", "variant", "device_class", "country")


def in_duckdb(clean: list[str], out: Path) -> int:
    """The rows of ``rollups.item_engagement_hourly`` that DuckDB wrote."""
    counts = ", ".join(f"count_if(list_contains(event_types, '{kind}')) AS {kind}s" for kind in EVENT_TYPES)
    query = (
        f"SELECT {', '.join(KEYS)}, {counts}, sum(coalesce(duration_ms, 0)) AS duration_ms, "
        "sum(coalesce(revenue_micros, 0)) AS revenue_micros, approx_count_distinct(user_id) AS users "
        f"FROM read_parquet($clean) GROUP BY {', '.join(KEYS)}"
    )
    return _written(query, {"clean": clean}, out)


def item_evidence(clean: list[str], baseline: list[str], out: Path) -> int:
    """The rows of ``rollups.item_evidence_hourly`` that DuckDB wrote.

    The hour's baseline is that of the newest day which had ended six hours before the hour's end, as in the map.
    """
    query = f"""
        WITH units AS ({_units("hour")}),
        rates AS (
            SELECT day, surface, position_bucket, position_rate FROM read_parquet($baseline) WHERE category = '*'
        ),
        rated AS (
            SELECT units.hour, item_id, units.surface, shown, engaged, coalesce(
                of_bucket.position_rate, of_surface.position_rate, of_all.position_rate) AS rate
            FROM units
            {_rates("of_bucket", "(units.hour::TIMESTAMP - INTERVAL 29 HOUR)::DATE", ("surface", "position_bucket"))}
            {_rates("of_surface", "(units.hour::TIMESTAMP - INTERVAL 29 HOUR)::DATE", ("surface",))}
            {_rates("of_all", "(units.hour::TIMESTAMP - INTERVAL 29 HOUR)::DATE", ())}
        ),
        terms AS (SELECT *, coalesce(shown * rate, 0) AS e, if(rate IS NULL, 0, engaged) AS o FROM rated)
        SELECT hour, item_id, surface, sum(shown) AS impressions, sum(engaged) AS engaged, sum(o) AS observed,
            sum(e) AS expected, sum(e * (1 - e)) AS variance, sum((o - e) * (o - e)) AS own_residuals,
            sum(e * e) AS own_expected
        FROM terms GROUP BY ALL"""
    return _written(query, {"clean": clean, "baseline": baseline}, out)


def user_category(clean: list[str], items: list[str], baseline: list[str], out: Path) -> int:
    """The rows of ``rollups.user_category_daily`` that DuckDB wrote."""
    query = f"""
        WITH units AS ({_units("hour::DATE", "WHERE user_id IS NOT NULL")}),
        rates AS (SELECT day, surface, position_bucket, category, rate FROM read_parquet($baseline)),
        listed AS (SELECT day, item_id, unnest(categories) AS entry FROM read_parquet($items)),
        parts AS (
            SELECT units.*, coalesce(entry.category, '{UNKNOWN}') AS category, coalesce(entry.weight, 1) AS weight
            FROM units LEFT JOIN listed USING (day, item_id)
        ),
        rated AS (
            SELECT parts.*, coalesce(of_cell.rate, of_bucket.rate, of_surface.rate, of_all.rate) AS rate
            FROM parts
            {_rates("of_cell", "parts.day", ("surface", "position_bucket", "category"), "parts")}
            {_rates("of_bucket", "parts.day", ("surface", "position_bucket"), "parts", ("category",))}
            {_rates("of_surface", "parts.day", ("surface",), "parts", ("category",))}
            {_rates("of_all", "parts.day", (), "parts", ("category",))}
        ),
        terms AS (SELECT *, engaged * weight + 0 * rate AS o, shown * weight * rate AS e FROM rated),
        whole AS (SELECT *, sum(o) OVER impression AS all_o, sum(e) OVER impression AS all_e FROM terms
            WINDOW impression AS (PARTITION BY day, user_id, event_time, event_id, item_id)),
        summed AS (
            SELECT day, user_id, category, arg_max(segment, (event_time, event_id)) AS segment,
                max((event_time, event_id)) AS last_at, sum(shown * weight) AS impressions,
                sum(engaged * weight) AS engaged, sum(o) AS observed, sum(e) AS expected,
                sum(weight * weight * greatest(all_e * (1 - all_e), 0)) AS variance,
                sum((o - e) * (o - e)) AS own_residuals, sum(e * e) AS own_expected,
                sum((o - e) * ((all_o - all_e) - (o - e))) AS shared_residuals, sum(e * (all_e - e)) AS shared_expected
            FROM whole GROUP BY ALL
        ),
        latest AS (
            SELECT * EXCLUDE (last_at), arg_max(segment, last_at) OVER (PARTITION BY day, user_id) AS newest FROM summed
        )
        SELECT * EXCLUDE (newest) REPLACE (newest AS segment) FROM latest WHERE category <> '{UNKNOWN}'"""
    return _written(query, {"clean": clean, "items": items, "baseline": baseline}, out)


def _units(partition: str, where: str = "") -> str:
    """What :func:`include.spark.impressions.impressions` does: an impression and its clicks as one row."""
    name = "hour" if partition == "hour" else "day"
    buckets = " ".join(f"WHEN position <= {last} THEN '{bucket}'" for bucket, last in POSITION_BUCKETS)
    engaged = ", ".join(f"'{kind}'" for kind in ENGAGED)
    return f"""
        SELECT {name}, user_id, item_id, unnest(arg_min(said, (NOT shown, event_time, event_id))),
            max(shown::INT) AS shown, max(engaged::INT) AS engaged
        FROM (
            SELECT {partition} AS {name}, user_id, item_id, request_id, event_time, event_id,
                CASE WHEN request_id IS NULL THEN event_id END AS alone,
                list_contains(event_types, 'impression') AS shown,
                list_has_any(event_types, [{engaged}]) AS engaged,
                struct_pack(surface := surface, segment := coalesce({SEGMENT}, '{UNKNOWN}'),
                    position_bucket := CASE WHEN position IS NULL THEN '{UNKNOWN}' {buckets} ELSE '{LAST_BUCKET}' END,
                    event_time := event_time, event_id := event_id) AS said
            FROM read_parquet($clean) {where}
        ) WHERE shown OR engaged GROUP BY {name}, user_id, item_id, request_id, alone"""


def _rates(name: str, day: str, known: tuple[str, ...], of: str = "units", more: tuple[str, ...] = ()) -> str:
    """The join with the rates of a level of the baseline; "*" stands for what the level does not tell apart."""
    columns = ("surface", "position_bucket", *more)
    conditions = [f"{name}.{c} = {of}.{c}" if c in known else f"{name}.{c} = '*'" for c in dict.fromkeys(columns)]
    conditions += [f"{name}.{c} = {of}.{c}" for c in known if c not in columns]
    return f"LEFT JOIN rates AS {name} ON {name}.day = {day} AND {' AND '.join(conditions)}"


def _written(query: str, parameters: dict[str, list[str]], out: Path) -> int:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({query}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)", parameters)
        return _count(connection, out)


def _count(connection: DuckDBPyConnection, out: Path) -> int:
    found = connection.execute(f"SELECT count(*) FROM read_parquet('{out}')").fetchone()
    assert found is not None
    return int(found[0])


def in_polars(files: list[str], out: Path) -> int:
    """The same of Polars."""
    import polars as pl

    counts = [pl.col("event_types").list.contains(kind).sum().alias(f"{kind}s") for kind in EVENT_TYPES]
    sums = [pl.col(name).fill_null(0).sum() for name in ("duration_ms", "revenue_micros")]
    users = pl.col("user_id").approx_n_unique().alias("users")
    pl.scan_parquet(files).group_by(KEYS).agg(*counts, *sums, users).sink_parquet(out, compression="zstd")
    return int(pl.scan_parquet(out).select(pl.len()).collect().item())
