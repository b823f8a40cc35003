"""The DDL: read errors name file and column; tables follow it where no row can be lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builds import DDL, Workshop
from pyiceberg.types import DoubleType, ListType, StringType, StructType, TimestamptzType

from feedmill.lake.catalog import Lake
from feedmill.lake.ddl import IncompatibleError, read
from feedmill.lake.schema import DdlError
from feedmill.ledger.store import Ledger

GOOD = DDL.format(name="demo.hourly")


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hourly.sql"
    path.write_text(text)
    return path


def test_columns_types_comments_and_partitioning_are_read(tmp_path: Path) -> None:
    nested = "tags ARRAY<STRUCT<name: STRING, weight: DOUBLE>> COMMENT 'It\\'s a \"list\".',\n    item STRING"
    ddl = read(file(tmp_path, GOOD.replace("item STRING", nested)))
    assert ddl.name == "demo.hourly"
    assert ddl.partitioned_by == ("hour",)
    assert ddl.comment == "One row per item and hour."
    assert [(c.name, c.required) for c in ddl.columns] == [
        ("hour", True),
        ("tags", False),
        ("item", False),
        ("version", False),
    ]
    assert ddl.columns[0].type == TimestamptzType(), "Spark's TIMESTAMP is an instant"
    assert ddl.columns[1].comment == 'It\'s a "list".'
    tags = ddl.schema.find_field("tags").field_type
    assert isinstance(tags, ListType)
    assert isinstance(tags.element_type, StructType)
    assert [f.field_type for f in tags.element_type.fields] == [StringType(), DoubleType()]
    ids = [ddl.schema.find_field(name).field_id for name in ddl.schema.column_names]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (" COMMENT 'What it is.'", "", r"hourly\.sql: column item has no COMMENT"),
        ("COMMENT 'What it is.'", "COMMENT ' '", r"hourly\.sql: column item has no COMMENT"),
        (
            "COMMENT 'One row per item and hour.'",
            "",
            r"hourly\.sql has no COMMENT on the table; add one that says what one row is",
        ),
        ("PARTITIONED BY (hour)", "", r"hourly\.sql needs PARTITIONED BY"),
        ("PARTITIONED BY (hour)", "PARTITIONED BY (day)", r"hourly\.sql needs PARTITIONED BY"),
        ("item STRING", "item INTERVAL", r"hourly\.sql: column item has the type INTERVAL"),
        ("item STRING", "item SMALLINT", r"hourly\.sql: column item has the type SMALLINT, which is not supported"),
        ("item STRING", "item TIMESTAMP_NTZ", r"hourly\.sql: column item has the type"),
        ("item STRING", "item DECIMAL", r"hourly\.sql: column item has the type DECIMAL"),
        ("item STRING", "item ARRAY", r"hourly\.sql: column item has the type ARRAY"),
        ("CREATE TABLE demo.hourly (", "CREATE TABLE (", r"hourly\.sql"),
        ("CREATE TABLE", "CREATE VIEW", r"hourly\.sql"),
        ("USING iceberg", "USING iceberg; DROP TABLE demo.hourly;", r"hourly\.sql"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_and_column(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(DdlError, match=words):
        read(file(tmp_path, GOOD.replace(old, new)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DdlError, match=r"hourly\.sql is missing; every table needs a DDL file there"):
        read(tmp_path / "hourly.sql")


def test_a_file_that_is_edited_is_read_again(tmp_path: Path) -> None:
    assert len(read(file(tmp_path, GOOD)).columns) == 3
    added = GOOD.replace("'Which build wrote it.'", "'Which build wrote it.',\n    more STRING COMMENT 'More.'")
    assert len(read(file(tmp_path, added)).columns) == 4


@pytest.fixture
def shop(lake: Lake, ledger: Ledger, tmp_path: Path) -> Workshop:
    """A table made from the DDL above."""
    return Workshop(lake, ledger, tmp_path / "first")


def follow(shop: Workshop, tmp_path: Path, old: str, new: str) -> Workshop:
    """The same table in a project whose DDL has changed."""
    path = tmp_path / "changed" / shop.table.ddl_path
    path.parent.mkdir(parents=True, exist_ok=True)
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    shop.lake = replace(shop.lake, project=tmp_path / "changed")
    shop.lake.ensure(shop.table)
    return shop


def test_a_table_is_created_with_comments_and_partitioning_and_left_alone_afterwards(shop: Workshop) -> None:
    iceberg = shop.lake.load(shop.table)
    assert [f.name for f in iceberg.spec().fields] == ["hour"]
    assert {f.name: f.doc for f in iceberg.schema().fields} == {
        "hour": "Partition.",
        "item": "What it is.",
        "version": "Which build wrote it.",
    }
    assert iceberg.properties["comment"] == "One row per item and hour."
    before = iceberg.metadata_location
    assert shop.lake.ensure(shop.table).metadata_location == before


def test_an_added_column_and_changed_comments_are_applied_at_once(shop: Workshop, tmp_path: Path) -> None:
    added = "item STRING COMMENT 'New words.',\n    price DECIMAL(10,2) COMMENT 'In micros.',\n    old_item STRING"
    iceberg = follow(shop, tmp_path, "item STRING", added).lake.load(shop.table)
    fields = {f.name: f for f in iceberg.schema().fields}
    assert fields.keys() == {"hour", "item", "version", "price", "old_item"}
    assert fields["item"].doc == "New words."
    assert str(fields["price"].field_type) == "decimal(10, 2)"
    assert fields["price"].doc == "In micros."
    assert not fields["price"].required
    before = iceberg.metadata_location
    assert shop.lake.ensure(shop.table).metadata_location == before, "nothing is left to do"


def test_a_changed_grain_is_applied(shop: Workshop, tmp_path: Path) -> None:
    iceberg = follow(shop, tmp_path, "One row per item and hour.", "One row.").lake.load(shop.table)
    assert iceberg.properties["comment"] == "One row."


@pytest.mark.parametrize(
    ("old", "new", "statement"),
    [
        ("    item STRING COMMENT 'What it is.',\n", "", "ALTER TABLE demo.hourly DROP COLUMN item"),
        ("version BIGINT", "version STRING", "ALTER TABLE demo.hourly ALTER COLUMN version TYPE STRING"),
        ("version BIGINT", "version INT", "ALTER TABLE demo.hourly ALTER COLUMN version TYPE INT"),
        ("item STRING", "item STRING NOT NULL", "ALTER TABLE demo.hourly ALTER COLUMN item SET NOT NULL"),
        ("hour TIMESTAMP NOT NULL", "hour TIMESTAMP", "ALTER TABLE demo.hourly ALTER COLUMN hour DROP NOT NULL"),
        (
            "item STRING",
            "more STRING NOT NULL COMMENT 'More.',\n    item STRING",
            "ALTER TABLE demo.hourly ADD COLUMN more STRING",
        ),
        ("PARTITIONED BY (hour)", "PARTITIONED BY (hour, item)", "DROP TABLE demo.hourly"),
    ],
)
def test_what_could_lose_rows_is_refused_with_the_statement_that_a_person_must_decide_on(
    shop: Workshop, tmp_path: Path, old: str, new: str, statement: str
) -> None:
    before = shop.lake.load(shop.table).metadata_location
    with pytest.raises(IncompatibleError) as raised:
        follow(shop, tmp_path, old, new)
    assert str(raised.value).startswith("demo.hourly cannot be changed automatically to match its DDL: ")
    assert str(raised.value).endswith(f"the statement would be: {statement}")
    assert shop.lake.load(shop.table).metadata_location == before, "nothing of it was applied"


def test_a_ddl_that_creates_another_table_is_refused(shop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(DdlError, match=r"hourly\.sql creates demo\.other, but it must create demo\.hourly"):
        follow(shop, tmp_path, "demo.hourly", "demo.other")
