"""Open Bandit's wide log: one event per row, header or not, dirt by name, and its replay hour by hour."""

from datetime import UTC, datetime, timedelta

import pytest

from include.spark.sources import open_bandit

HEADER = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1\n"


def row(index="7", time="2026-05-01 13:05:00.250000+00:00", item="14", position="3", click="0", columns=44):
    """A line of the men's campaign, which has 34 items and so 44 columns."""
    return ",".join([index, time, item, position, click] + ["0.5"] * (columns - 5))


BAD = {
    "a header that is not the first line": (HEADER.strip(), "raw: the row has 8 columns, not 44"),
    "a column too few": (row(columns=43), "raw: the row has 43 columns, not 44"),
    "a time without zone": (
        row(time="2026-05-01 13:05:00"),
        "timestamp: '2026-05-01 13:05:00' is not an ISO 8601 time with a zone",
    ),
    "no index": (row(index=""), "the first column: '' is not a row number"),
    "an item that is no number": (row(item="x"), "item_id: 'x' is not an item's number"),
    "a position that is no number": (row(position="top"), "position: 'top' is not a whole number"),
    "a negative position": (row(position="-1"), "position: -1 is negative"),
    "a click of two": (row(click="2"), "click: '2' is not 0 or 1"),
    "bytes that are not UTF-8": (row().encode() + b"\xff", "raw: the bytes are not valid UTF-8"),
    "an unset clock": (
        row(time="1970-01-01 00:00:00+00:00"),
        "event_time: 1970-01-01T00:00:00Z is before 2000-01-01; epoch times are in milliseconds",
    ),
}


@pytest.fixture(scope="module")
def records(text_rows):
    """What becomes of a file's lines, by line number; one Spark job."""
    lines = [HEADER.strip(), row(), row(index="8", click="1"), *(case[0] for case in BAD.values())]
    return {r["line"]: r for r in open_bandit.read(text_rows("bts-men.csv", lines)).collect()}


def test_the_header_is_no_row(records):
    assert 1 not in records
    assert len(records) == 2 + len(BAD)


def test_an_impression_is_one_event_named_by_policy_campaign_and_row(records):
    event = records[2]
    assert event["reason"] is None
    assert event["event_id"] == "bts-men-7"
    assert event["event_types"] == ["impression"]
    assert event["item_id"] == "men:14"
    assert (event["position"], event["surface"], event["model_id"]) == (3, "men", "bts")
    assert (event["experiment_id"], event["variant"], event["source"]) == ("open_bandit", "bts", "open_bandit")
    nulls = ("user_id", "request_id", "country", "device_class", "duration_ms", "revenue_micros")
    assert [event[name] for name in nulls] == [None] * 6


def test_a_clicked_impression_is_one_event_of_two_types(records):
    assert records[3]["event_types"] == ["impression", "click"]


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_row_is_rejected_with_field_and_value(records, name):
    assert records[4 + list(BAD).index(name)]["reason"] == BAD[name][1]


def test_a_file_whose_name_says_no_policy_rejects_its_rows_by_name(text_rows):
    reasons = [r["reason"] for r in open_bandit.read(text_rows("all.csv", [HEADER.strip(), row()])).collect()]
    assert reasons == ["file name: 'all.csv' is not <policy>-<campaign>.csv with one of all, men, women"]


def published(tmp_path, lines):
    path = tmp_path / "random" / "men" / "men.csv"
    path.parent.mkdir(parents=True)
    path.write_text("".join(lines))
    return path


LINES = [
    HEADER,
    "0,2019-11-24 00:59:59.900000+00:00,14,3,0,tail\n",
    "broken\n",
    "1,2019-11-24 01:00:00+00:00,15,1,1,tail\n",
]


def test_a_replay_moves_the_timestamp_and_keeps_every_other_byte(tmp_path):
    replayed = list(open_bandit.replay(published(tmp_path, LINES), "men.csv", timedelta(days=7, seconds=1)))
    assert replayed == [
        (
            datetime(2019, 12, 1, 1, tzinfo=UTC),
            "random-men.csv",
            (
                HEADER
                + "0,2019-12-01 01:00:00.900000+00:00,14,3,0,tail\nbroken\n"
                + "1,2019-12-01 01:00:01+00:00,15,1,1,tail\n"
            ).encode(),
        )
    ]


def test_a_replay_lands_each_event_hour_apart_with_its_header(tmp_path):
    replayed = list(open_bandit.replay(published(tmp_path, LINES), "bts-all.csv", timedelta(0)))
    assert [(hour.hour, name) for hour, name, _ in replayed] == [(0, "bts-all.csv"), (1, "bts-all.csv")]
    assert all(content.startswith(HEADER.encode()) for _, _, content in replayed)
    assert b"".join(content.removeprefix(HEADER.encode()) for _, _, content in replayed) == "".join(LINES[1:]).encode()


def test_a_path_that_says_no_campaign_cannot_be_replayed(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("".join(LINES))
    with pytest.raises(ValueError, match="says no policy and campaign"):
        list(open_bandit.replay(path, "all.csv", timedelta(0)))


def test_a_span_is_the_first_and_the_last_event_time(tmp_path):
    assert open_bandit.span(published(tmp_path, LINES)) == (
        datetime(2019, 11, 24, 0, 59, 59, tzinfo=UTC),
        datetime(2019, 11, 24, 1, tzinfo=UTC),
    )


def test_a_file_without_rows_has_no_span(tmp_path):
    with pytest.raises(ValueError, match="no row with a readable timestamp"):
        open_bandit.span(published(tmp_path, [HEADER]))
