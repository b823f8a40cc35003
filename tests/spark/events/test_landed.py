"""events.landed: well-formed rows as they came."""

from datetime import UTC, datetime

from include.spark.events.landed import transform

HOUR = datetime(2026, 5, 1, 13, tzinfo=UTC)


def test_good_rows_land_with_the_hour_of_their_event_and_bad_ones_do_not(event_records):
    records = event_records(
        [
            {
                "arrival_hour": HOUR,
                "line": 1,
                "event_id": "a",
                "event_time": datetime(2026, 5, 1, 11, 59, 59, tzinfo=UTC),
            },
            {"arrival_hour": HOUR, "line": 2, "event_id": "a", "event_time": datetime(2026, 5, 1, 13, tzinfo=UTC)},
            {"arrival_hour": HOUR, "line": 3, "reason": "event_id is missing"},
        ]
    )
    rows = transform(records).selectExpr("line", "event_id", "CAST(event_hour AS STRING) AS event_hour").collect()
    assert sorted(tuple(row) for row in rows) == [(1, "a", "2026-05-01 11:00:00"), (2, "a", "2026-05-01 13:00:00")]
