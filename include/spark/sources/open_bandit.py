"""Events of the Open Bandit data set (ZOZOTOWN; Saito et al. 2020), a wide log: one row per impression.

A file is one policy's log of one campaign, ``<policy>-<campaign>.csv``. A row that was clicked is one event
of two types. There are no user ids, only hashed features of users, which are not read.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feedmill.spec import Source
from feedmill.timeline import HOUR
from include.spark.sources.contract import iso_time
from include.spark.sources.rules import checked, first, unless, with_text

HEADER = ",timestamp,item_id"
SOURCE = Source("open_bandit", kind="events", suffixes=(".csv", ".csv.gz"), layout="lines", header=HEADER)

FILE_NAME = r"^([A-Za-z0-9]+)-([A-Za-z0-9]+)\.csv(\.gz)?$"
ITEMS = {"all": 80, "men": 34, "women": 46}
"""Items of each campaign. A row has 10 columns of its own, then one user-item affinity for each item."""

_TIME = re.compile(rb"(\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2})(\.\d+)?\+00:00")


def read(rows: DataFrame) -> DataFrame:
    """The records of the lines, good and bad; a header in line 1 is no row."""
    columns = F.split("raw", ",", -1)
    named = F.col("file_name").rlike(FILE_NAME)
    split = with_text(rows.where(~((F.col("line") == 1) & F.col("raw").startswith(HEADER)))).select(
        "*",
        columns.alias("columns"),
        F.when(named, F.regexp_extract("file_name", FILE_NAME, 1)).alias("policy"),
        F.when(named, F.regexp_extract("file_name", FILE_NAME, 2)).alias("campaign"),
    )
    index, moment, item, position, click = (F.get(F.col("columns"), number) for number in range(5))
    fields = split.select(
        "source_file",
        "line",
        "received_at",
        "arrival_hour",
        "raw",
        first(
            [
                F.col("reason"),
                _unreadable_name(),
                _wrong_count(),
                unless(_is_number(index), "the first column", index, "a row number"),
                unless(iso_time(moment).isNotNull(), "timestamp", moment, "an ISO 8601 time with a zone"),
                unless(_is_number(item), "item_id", item, "an item's number"),
                unless(position.try_cast("int").isNotNull(), "position", position, "a whole number"),
                unless(click.isin("0", "1"), "click", click, "0 or 1"),
            ]
        ).alias("reason"),
        F.concat_ws("-", "policy", "campaign", index).alias("event_id"),
        iso_time(moment).alias("event_time"),
        F.when(click == "1", F.array(F.lit("impression"), F.lit("click")))
        .otherwise(F.array(F.lit("impression")))
        .alias("event_types"),
        F.concat_ws(":", "campaign", item).alias("item_id"),
        position.try_cast("int").alias("position"),
        F.col("campaign").alias("surface"),
        F.col("policy").alias("model_id"),
        F.lit("open_bandit").alias("experiment_id"),
        F.col("policy").alias("variant"),
    )
    return checked(fields, SOURCE)


def _is_number(value: Column) -> Column:
    return value.rlike(r"^\d+$")


def _unreadable_name() -> Column:
    known = F.col("campaign").isin(*ITEMS)
    return unless(known, "file name", F.col("file_name"), f"<policy>-<campaign>.csv with one of {', '.join(ITEMS)}")


def _wrong_count() -> Column:
    expected = F.element_at(F.create_map(*(F.lit(v) for pair in ITEMS.items() for v in pair)), F.col("campaign")) + 10
    return F.when(
        F.size("columns") != expected,
        F.concat(
            F.lit("raw: the row has "),
            F.size("columns").cast("string"),
            F.lit(" columns, not "),
            expected.cast("string"),
        ),
    )


def wanted(path: PurePath) -> bool:
    """Whether a file of a folder or an archive is a log: ``<campaign>/<campaign>.csv``, or named as it lands."""
    return bool(re.match(FILE_NAME, path.name)) or (path.stem == path.parent.name and path.stem in ITEMS)


def landed_name(path: Path) -> str:
    """The name that a published file lands under: ``random-all.csv`` for ``…/random/all/all.csv``.

    Raises:
        ValueError: neither the file's name nor its folders say policy and campaign.
    """
    if re.match(FILE_NAME, path.name):
        return path.name
    folders = path.resolve().parent.parts
    if len(folders) < 2 or folders[-1] not in ITEMS or path.name.startswith("item_context"):
        raise ValueError(f"{path} says no policy and campaign; expected …/<policy>/<campaign>/{path.name}")
    return f"{folders[-2]}-{folders[-1]}.csv"


def span(path: Path) -> tuple[datetime, datetime]:
    """The first and the last event time of a published file, in UTC.

    Raises:
        ValueError: no row of the file has a time that can be read.
    """
    first_time = last_time = None
    with path.open("rb") as file:
        for line in file:
            if (moment := _time_of(line)) is not None:
                first_time = moment if first_time is None else min(first_time, moment)
                last_time = moment if last_time is None else max(last_time, moment)
    if first_time is None or last_time is None:
        raise ValueError(f"{path} has no row with a readable timestamp")
    return first_time, last_time


def replay(path: Path, name: str, shift: timedelta) -> Iterator[tuple[datetime, str, bytes]]:
    """The file as it would have landed ``shift`` later: hour, file name and content for each event hour.

    ``name`` is the landed name; where it does not say policy and campaign (``all.csv``), the path's folders
    do. Each content starts with the published header; every byte of a row but those of its timestamp stays. A
    row without a readable timestamp goes with the row before it, so that dirt lands too. The whole file is
    held in memory.

    Raises:
        ValueError: ``shift`` is not made of whole seconds, no row has a readable timestamp, or nothing says
            policy and campaign.
    """
    if shift % timedelta(seconds=1):
        raise ValueError(f"a file cannot be moved by {shift}: the shift must be whole seconds")
    landed = name if re.match(FILE_NAME, name) else landed_name(path)
    hour = HOUR.floor(span(path)[0] + shift)
    lines: dict[datetime, list[bytes]] = defaultdict(list)
    header = b""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 and line.startswith(HEADER.encode()):
                header = line
                continue
            moment = _time_of(line)
            if moment is not None:
                hour = HOUR.floor(moment + shift)
                line = _TIME.sub(f"{moment + shift:%Y-%m-%d %H:%M:%S}\\2+00:00".encode(), line, count=1)
            lines[hour].append(line)
    for hour in sorted(lines):
        yield hour, landed, header + b"".join(lines[hour])


def _time_of(line: bytes) -> datetime | None:
    """The row's time to the second; null if its second column is not a time."""
    columns = line.split(b",", 2)
    if len(columns) < 3 or not (match := _TIME.fullmatch(columns[1])):
        return None
    try:
        return datetime.fromisoformat(match[1].decode()).replace(tzinfo=UTC)
    except ValueError:
        return None
