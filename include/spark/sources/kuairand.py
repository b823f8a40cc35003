"""Events of the KuaiRand data set (Kuaishou; Gao et al. 2022), a wide log: one row per impression of a video.

KuaiRand numbers its users, videos, authors and categories from 0, and its scenarios and policies have names as common
as ``random``. So every id is written as ``kuairand:<id>``: it must not meet the same number of another log.
"""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feedmill.spec import Source
from feedmill.timeline import HOUR
from include.spark.sources.contract import LAST_EPOCH_MILLISECOND
from include.spark.sources.rules import checked, first, unless, with_whole_numbers

FILE_NAME = r"^log_[A-Za-z0-9._-]+\.parquet$"

FLAGS = {
    "is_click": "click",
    "is_like": "like",
    "is_follow": "follow",
    "is_comment": "comment",
    "is_forward": "share",
    "is_hate": "hide",
}
"""The log's 0 and 1, and the event type that each reports beside the impression."""

STANDARD, RANDOM = "kuairand:standard", "kuairand:random"
"""The models of ``is_rand`` 0 and 1: the product's own recommender, and a video put into its feed at random."""

NUMBERS = ("user_id", "video_id", "time_ms", "tab", "play_time_ms")

READ = (*NUMBERS, *FLAGS, "is_rand")
"""Every column that is read. Each row of KuaiRand has all of them, so one that is missing is an error of the row."""

SOURCE = Source("kuairand", kind="events", suffixes=(".parquet",), layout="parquet", columns=READ)

TIMES = ("date", "hourmin")
"""Times beside ``time_ms``, which a replay drops: they would still tell the old time."""


def read(rows: DataFrame) -> DataFrame:
    """The records of a file's rows, good and bad; a row is one event, named by user, video and ``time_ms``.

    There is no row id. Rows that agree in these three are one event logged twice, even if they differ elsewhere.
    """
    present = [name for name in READ if name in rows.columns]
    texts = rows.select(
        "source_file",
        "line",
        "received_at",
        "arrival_hour",
        (F.make_valid_utf8(F.to_json(F.struct(*present))) if present else F.lit("{}")).alias("raw"),
        # As text, since nothing says that each file has them in one type; null where a file does not have one.
        *((F.col(name) if name in present else F.lit(None)).cast("string").alias(f"text_of_{name}") for name in READ),
    )
    # Also from 12.0, as pandas writes integers beside nulls.
    whole = with_whole_numbers(texts, {name: f"text_of_{name}" for name in READ})
    numbers = whole.withColumns({name: F.col(name).try_cast("bigint") for name in READ})
    readable = F.col("time_ms").between(0, LAST_EPOCH_MILLISECOND)
    reported = (F.when(F.col(flag) == 1, F.lit(event_type)) for flag, event_type in FLAGS.items())
    fields = numbers.select(
        "source_file",
        "line",
        "received_at",
        "arrival_hour",
        "raw",
        first(
            [
                *(F.when(_text(name).isNull(), F.lit(f"{name} is missing")) for name in READ),
                *(unless(F.col(name) >= 0, name, _text(name), "a whole number from 0") for name in NUMBERS),
                unless(readable, "time_ms", _text("time_ms"), "a number of milliseconds"),
                *(unless(F.col(name).isin(0, 1), name, _text(name), "0 or 1") for name in (*FLAGS, "is_rand")),
            ]
        ).alias("reason"),
        own_id("user_id", "video_id", "time_ms").alias("event_id"),
        F.when(readable, F.timestamp_millis("time_ms")).alias("event_time"),
        F.array_compact(F.array(F.lit("impression"), *reported)).alias("event_types"),
        own_id("user_id").alias("user_id"),
        own_id("video_id").alias("item_id"),
        own_id("tab").alias("surface"),
        F.when(F.col("is_rand") == 1, F.lit(RANDOM)).otherwise(F.lit(STANDARD)).alias("model_id"),
        F.col("play_time_ms").alias("duration_ms"),
    )
    return checked(fields, SOURCE)


def own_id(*numbers: Column | str) -> Column:
    """``kuairand:1`` or ``kuairand:1-2-3``; null where a number is."""
    columns = [F.col(number) if isinstance(number, str) else number for number in numbers]
    parts = [part for column in columns for part in (F.lit("-"), column.cast("string"))]
    return F.concat(F.lit("kuairand:"), *parts[1:])


def _text(name: str) -> Column:
    return F.col(f"text_of_{name}")


def wanted(path: PurePath) -> bool:
    """Whether a file of a folder or an archive is a log, ``log_….parquet``."""
    return bool(re.match(FILE_NAME, path.name))


def span(path: Path) -> tuple[datetime, datetime]:
    """The first and the last event time of a file, in UTC.

    Raises:
        ValueError: the file is no Parquet, has no column ``time_ms``, or no row with a readable one.
    """
    import pyarrow.compute as pc

    times = pc.min_max(_milliseconds(_table(path), path)).as_py()
    return _moment(times["min"]), _moment(times["max"])


def replay(path: Path, name: str, shift: timedelta) -> Iterator[tuple[datetime, str, bytes]]:
    """The file as it would have landed ``shift`` later: hour, file name and content for each event hour.

    In a row only ``time_ms`` changes. ``date`` and ``hourmin``, which are not read, are left out. A row without a
    readable time goes with the row before it, so that dirt lands too. The whole file is held in memory.

    Raises:
        ValueError: ``shift`` is not made of whole milliseconds, or :func:`span` raises it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if shift % timedelta(milliseconds=1):
        raise ValueError(f"a file cannot be moved by {shift}: the shift must be whole milliseconds")
    table = _table(path)
    moved = pc.add(_milliseconds(table, path), shift // timedelta(milliseconds=1))
    times = pc.coalesce(moved, pc.cast(table.column("time_ms"), pa.int64()))
    table = table.set_column(table.column_names.index("time_ms"), "time_ms", times)
    table = table.drop_columns([column for column in TIMES if column in table.column_names])
    length = HOUR.length // timedelta(milliseconds=1)
    # A first row without a time has none before it.
    hours = pc.fill_null(pc.fill_null_forward(pc.divide(moved, length)), pc.divide(pc.min(moved), length))
    for hour in sorted(pc.unique(hours).to_pylist()):
        piece = io.BytesIO()
        pq.write_table(table.filter(pc.equal(hours, hour)), piece)
        yield _moment(hour * length), name, piece.getvalue()


def _table(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path)


def _milliseconds(table: Any, path: Path) -> Any:
    """The column ``time_ms``, but null if the reader would not accept the time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "time_ms" not in table.column_names or not pa.types.is_integer(table.schema.field("time_ms").type):
        raise ValueError(f"{path} has no column time_ms of whole numbers; it is no log of KuaiRand")
    written = pc.cast(table.column("time_ms"), pa.int64())
    readable = pc.and_(pc.greater_equal(written, 0), pc.less_equal(written, LAST_EPOCH_MILLISECOND))
    times = pc.if_else(readable, written, pa.scalar(None, pa.int64()))
    if times.null_count == len(times):
        raise ValueError(f"{path} has no row with a readable time_ms")
    return times


def _moment(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
