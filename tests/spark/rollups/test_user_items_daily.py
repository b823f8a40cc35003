"""rollups.user_items_daily: what each user was shown or engaged with."""

from datetime import UTC, date, datetime, timedelta

from include.spark.rollups.user_items_daily import transform

DAY = date(2026, 5, 1)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

CLEAN = """
    day date, event_id string, event_time timestamp, event_types array<string>, user_id string, item_id string,
    request_id string, position int, surface string, country string
"""


def event(event_id, user, item, types="impression", minutes=0, **changes):
    said = {"event_types": types.split(), "event_time": NOON + timedelta(minutes=minutes), "surface": "home"}
    return {"day": DAY, "event_id": event_id, "user_id": user, "item_id": item, "request_id": event_id} | said | changes


def test_a_user_s_item_is_counted_however_it_was_met_and_nobody_s_is_left_out(frame):
    events = [
        event("1", "u", "i", "impression click", minutes=2),
        event("2", "u", "i", minutes=5),
        event("3", "u", "clicked only", "click"),
        event("4", "u", "hidden only", "hide"),
        event("5", "v", "i"),
        event("6", None, "i"),
    ]
    rows = {
        (r["user_id"], r["item_id"]): (r["impressions"], r["engaged"])
        for r in transform(frame(CLEAN, events)).collect()
    }
    assert rows == {("u", "i"): (2, 1), ("u", "clicked only"): (0, 1), ("v", "i"): (1, 0)}


def test_what_the_user_engaged_with_last_was_seen_last_whenever_its_list_was_shown(frame):
    events = [
        *[event(f"shown {item}", "u", item, request_id="r", country="DE") for item in ("a", "b", "c")],
        event("click a", "u", "a", "click", minutes=1, request_id="r", country="DE"),
        event("click b", "u", "b", "click", minutes=9, request_id="r", country="FR"),
        event("again", "u", "c", minutes=5, country="IT"),
    ]
    rows = {r["item_id"]: (r["last_seen"].minute, r["segment"]) for r in transform(frame(CLEAN, events)).collect()}
    assert rows == {"a": (1, "DE"), "b": (9, "FR"), "c": (5, "IT")}
