"""events.rejected: malformed rows of events and items, and files that could not be read."""

from include.spark.events.rejected import transform


def test_malformed_rows_of_both_kinds_are_kept_and_good_ones_are_not(event_records, item_records):
    events = event_records(
        [
            {"source_file": "e", "line": 1, "raw": "x", "reason": "event_id is missing"},
            {"source_file": "e", "line": 2, "raw": "y", "event_id": "a"},
        ]
    )
    items = item_records([{"source_file": "i", "line": 7, "raw": "z", "reason": "item_id is missing"}])
    rows = transform(events, items).select("kind", "source_file", "line", "raw", "reason").collect()
    assert sorted(tuple(row) for row in rows) == [
        ("events", "e", 1, "x", "event_id is missing"),
        ("items", "i", 7, "z", "item_id is missing"),
    ]


def test_of_a_long_row_the_beginning_is_kept(event_records, item_records):
    rows = [{"source_file": "e", "line": n, "raw": "ü" * (1999 + n), "reason": "wrong"} for n in (1, 2)]
    found = {row["line"]: row["raw"] for row in transform(event_records(rows), item_records([])).collect()}
    assert found == {1: "ü" * 2000, 2: "ü" * 2000 + "…"}


def test_a_file_that_cannot_be_read_is_one_row_without_line_and_text(event_records, item_records):
    events = event_records([{"source_file": "e.gz", "reason": "the gzip stream ends early"}])
    (row,) = transform(events, item_records([])).collect()
    assert (row["source_file"], row["line"], row["raw"]) == ("e.gz", None, None)
    assert row["reason"] == "the gzip stream ends early"
