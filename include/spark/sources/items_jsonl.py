"""Items in Feedmill's own contract as JSON lines, one object per line: see docs/sources.md."""

from pyspark.sql import DataFrame

from feedmill.spec import Source
from include.spark.sources.contract import read_items, with_record
from include.spark.sources.rules import with_text

SOURCE = Source("items_jsonl", kind="items", suffixes=(".jsonl", ".json", ".jsonl.gz", ".json.gz"), layout="lines")


def read(rows: DataFrame) -> DataFrame:
    """The records of the lines, good and bad."""
    return read_items(with_record(with_text(rows)), SOURCE)
