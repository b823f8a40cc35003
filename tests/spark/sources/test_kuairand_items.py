"""KuaiRand's videos: categories from tags, a day of Beijing as time, dirt by name."""

from datetime import UTC, datetime
from pathlib import PurePath

import pytest
from pyspark.sql import functions as F

from include.spark.sources import kuairand, kuairand_items

HEADER = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,"
    "server_width,server_height,music_id,music_type,tag"
)


def video(number="5", author="8367059", day="2022-04-10", duration="358016.0", tag='"20,43"'):
    return f"{number},{author},NORMAL,{day},Web,0.0,{duration},960.0,720.0,9148581891,9.0,{tag}"


TAG = "is not numbers of categories, in quotes where there are several"

CASES = {
    "several tags": (video(), None),
    "one tag": (video(tag="39"), None),
    "no tag": (video(tag=""), None),
    "an unknown tag": (video(tag="unknown"), None),
    "no author, no day, no duration": (video(author="", day="", duration=""), None),
    "a header that is not the first line": (HEADER, "video_id: 'video_id' is not a number"),
    "a column too few": ("5,8367059,NORMAL", "raw: the row has 3 columns, not 12"),
    "a column too many": (video(tag="20,43"), f"tag: '20,43' {TAG}"),
    "a quote that is not closed": (video(tag='"20,43'), f"tag: '\"20,43' {TAG}"),
    "an empty tag among others": (video(tag='"20,,43"'), f"tag: '\"20,,43\"' {TAG}"),
    "a tag in words": (video(tag="sport"), f"tag: 'sport' {TAG}"),
    "no video": (video(number=""), "video_id: '' is not a number"),
    "an author in words": (video(author="x"), "author_id: 'x' is not a number"),
    "a day that is none": (video(day="2022-02-30"), "upload_dt: '2022-02-30' is not a day"),
    "half a millisecond": (video(duration="0.5"), "video_duration: '0.5' is not a whole number"),
    "a negative duration": (video(duration="-1.0"), "duration_ms: -1 is negative"),
    "bytes that are not UTF-8": (video().encode() + b"\xff", "raw: the bytes are not valid UTF-8"),
}


@pytest.fixture(scope="module")
def records(text_rows):
    """What becomes of each line but the header, by its case; one Spark job."""
    lines = [HEADER, *(line for line, _ in CASES.values())]
    read = kuairand_items.read(text_rows("video_features_basic_pure.csv", lines))
    rows = read.withColumn("seconds", F.unix_seconds("published_at")).collect()
    assert len(rows) == len(CASES), "the header of line 1 is no row"
    return {list(CASES)[row["line"] - 2]: row for row in rows}


@pytest.mark.parametrize("name", CASES)
def test_a_row_is_read_or_rejected_with_column_and_value(records, name):
    assert records[name]["reason"] == CASES[name][1]


def categories(row):
    return None if row["categories"] is None else [(c["category"], c["weight"]) for c in row["categories"]]


def test_tags_are_categories_of_equal_weight(records):
    assert categories(records["several tags"]) == [("kuairand:20", 1.0), ("kuairand:43", 1.0)]
    assert categories(records["one tag"]) == [("kuairand:39", 1.0)]


@pytest.mark.parametrize("name", ["no tag", "an unknown tag"])
def test_a_video_without_a_tag_has_no_category(records, name):
    assert categories(records[name]) is None


def test_ids_are_those_of_the_events(records):
    item = records["several tags"]
    assert (item["item_id"], item["author_id"], item["source"]) == (
        "kuairand:5",
        "kuairand:8367059",
        "kuairand_items",
    )


def test_a_day_of_upload_begins_in_beijing(records):
    item = records["several tags"]
    assert (item["seconds"], item["duration_ms"]) == (datetime(2022, 4, 9, 16, tzinfo=UTC).timestamp(), 358016)


def test_what_a_line_leaves_out_is_null(records):
    item = records["no author, no day, no duration"]
    assert [item[name] for name in ("author_id", "published_at", "duration_ms")] == [None] * 3


def test_a_folder_of_the_data_set_holds_logs_and_videos():
    names = [
        "log_standard_4_22_to_5_08_pure.parquet",
        "video_features_basic_pure.csv",
        "README.md",
        "user_features.csv",
    ]
    assert [name for name in names if kuairand.wanted(PurePath(name))] == names[:1]
    assert [name for name in names if kuairand_items.wanted(PurePath(name))] == names[1:2]


def test_a_file_lands_whole_in_the_hour_that_the_caller_says(tmp_path):
    path = tmp_path / "video_features_basic_pure.csv"
    path.write_bytes(b"any\n")
    hour = datetime(2026, 5, 1, tzinfo=UTC)
    assert list(kuairand_items.replay(path, hour)) == [(hour, path.name, b"any\n")]
