"""Items of the Open Bandit data set: ``item_context.csv`` of a campaign, landed as ``<campaign>.csv``.

The features are hashed, and differently in each policy's folder: land one policy's file per campaign. The
item's one category is ``item_feature_1``.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePath

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feedmill.spec import Source
from include.spark.sources.open_bandit import ITEMS
from include.spark.sources.rules import checked, first, shown, with_text

HEADER = ",item_id,item_feature_0"
SOURCE = Source("open_bandit_items", kind="items", suffixes=(".csv", ".csv.gz"), layout="lines", header=HEADER)

FILE_NAME = r"^([A-Za-z0-9]+)\.csv(\.gz)?$"
COLUMNS = 6
PUBLISHED = "item_context.csv"
POLICY = "random"
"""Whose file is taken where both policies' are found: their items are the same, hashed differently."""


def read(rows: DataFrame) -> DataFrame:
    """The records of the lines, good and bad; a header in line 1 is no row."""
    split = with_text(rows.where(~((F.col("line") == 1) & F.col("raw").startswith(HEADER)))).select(
        "*",
        F.split("raw", ",", -1).alias("columns"),
        F.regexp_extract("file_name", FILE_NAME, 1).alias("campaign"),
    )
    item, category = F.get(F.col("columns"), 1), F.get(F.col("columns"), 3)
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
                    ~F.col("campaign").isin(*ITEMS),
                    F.concat(
                        F.lit("file name: "),
                        shown(F.col("file_name")),
                        F.lit(f" is not <campaign>.csv with one of {', '.join(ITEMS)}"),
                    ),
                ),
                F.when(
                    F.size("columns") != COLUMNS,
                    F.concat(
                        F.lit("raw: the row has "),
                        F.size("columns").cast("string"),
                        F.lit(f" columns, not {COLUMNS}"),
                    ),
                ),
                F.when(
                    ~item.rlike(r"^\d+$"),
                    F.concat(F.lit("item_id: "), shown(item), F.lit(" is not a number")),
                ),
                F.when(F.trim(category) == "", F.lit("item_feature_1 is missing")),
            ]
        ).alias("reason"),
        F.concat_ws(":", "campaign", item).alias("item_id"),
        F.array(F.struct(category.alias("category"), F.lit(1.0).alias("weight"))).alias("categories"),
    )
    return checked(fields, SOURCE)


def wanted(path: PurePath) -> bool:
    """Whether a file of a folder or an archive is one to land: the random policy's, one per campaign."""
    return path.name == PUBLISHED and path.parent.name in ITEMS and path.parent.parent.name == POLICY


def landed_name(path: Path) -> str:
    """The name that a published file lands under: ``all.csv`` for ``…/random/all/item_context.csv``.

    Raises:
        ValueError: neither the file's name nor its folder is a campaign.
    """
    if path.name != PUBLISHED and path.name.partition(".")[0] in ITEMS:
        return path.name
    campaign = path.resolve().parent.name
    if campaign not in ITEMS:
        raise ValueError(f"{path} does not say its campaign; expected …/<policy>/<campaign>/{path.name}")
    return f"{campaign}.csv"


def replay(path: Path, hour: datetime) -> Iterator[tuple[datetime, str, bytes]]:
    """The published file as it lands in ``hour``: arrival hour, file name and content, byte for byte.

    Raises:
        ValueError: neither the file's name nor its folder is a campaign.
    """
    yield hour, landed_name(path), path.read_bytes()
