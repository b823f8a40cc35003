"""Items of the KuaiRand data set: ``video_features_basic_….csv``, one line per video."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePath

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feedmill.spec import Source
from include.spark.sources.contract import iso_time
from include.spark.sources.kuairand import own_id
from include.spark.sources.rules import checked, first, unless, with_text, with_whole_numbers

HEADER = "video_id,author_id,video_type"
SOURCE = Source("kuairand_items", kind="items", suffixes=(".csv", ".csv.gz"), layout="lines", header=HEADER)

FILE_NAME = r"^video_features_basic_[A-Za-z0-9]+\.csv(\.gz)?$"
COLUMNS = 12

UNKNOWN_TAG = ("", "unknown")
"""How the published file and its re-encodings write that a video has no tag."""


def read(rows: DataFrame) -> DataFrame:
    """The records of the lines, good and bad; a header in line 1 is no row.

    A video without a tag has no category, which is not the same as being alike to all the others without one.
    """
    # The tags stand last and are the only column that holds commas, in quotes: what follows the eleventh is theirs.
    lines = with_text(rows.where(~((F.col("line") == 1) & F.col("raw").startswith(HEADER)))).withColumn(
        "columns", F.split("raw", ",", COLUMNS)
    )
    split = with_whole_numbers(
        lines.withColumn("length", F.get("columns", 6)),
        {"milliseconds": "length"},
    ).withColumn("milliseconds", F.col("milliseconds").try_cast("bigint"))
    video, author, uploaded, duration, written = (F.get(F.col("columns"), number) for number in (0, 1, 3, 6, 11))
    tags = F.split(F.trim(written, F.lit('"')), ",", -1)
    published = iso_time(F.concat(uploaded, F.lit("T00:00:00+08:00")))
    fields = split.select(
        "source_file",
        "line",
        "received_at",
        "arrival_hour",
        "raw",
        first(
            [
                F.col("reason"),
                F.when(
                    F.size("columns") != COLUMNS,
                    F.concat(
                        F.lit("raw: the row has "),
                        F.size("columns").cast("string"),
                        F.lit(f" columns, not {COLUMNS}"),
                    ),
                ),
                unless(_is_number(video), "video_id", video, "a number"),
                unless((author == "") | _is_number(author), "author_id", author, "a number"),
                unless((uploaded == "") | published.isNotNull(), "upload_dt", uploaded, "a day"),
                unless(
                    (duration == "") | F.col("milliseconds").isNotNull(), "video_duration", duration, "a whole number"
                ),
                unless(
                    written.isin(*UNKNOWN_TAG) | (written.rlike('^([^",]*|"[^"]*")$') & F.forall(tags, _is_number)),
                    "tag",
                    written,
                    "numbers of categories, in quotes where there are several",
                ),
            ]
        ).alias("reason"),
        own_id(video).alias("item_id"),
        F.when(
            ~written.isin(*UNKNOWN_TAG),
            F.transform(tags, lambda tag: F.struct(own_id(tag).alias("category"), F.lit(1.0).alias("weight"))),
        ).alias("categories"),
        F.when(author != "", own_id(author)).alias("author_id"),
        F.col("milliseconds").alias("duration_ms"),
        published.alias("published_at"),
    )
    return checked(fields, SOURCE)


def _is_number(value: Column) -> Column:
    return value.rlike(r"^\d+$")


def wanted(path: PurePath) -> bool:
    """Whether a file of a folder or an archive is the videos' own, ``video_features_basic_….csv``."""
    return bool(re.match(FILE_NAME, path.name))


def replay(path: Path, hour: datetime) -> Iterator[tuple[datetime, str, bytes]]:
    """The published file as it lands in ``hour``: arrival hour, file name and content, byte for byte."""
    yield hour, path.name, path.read_bytes()
