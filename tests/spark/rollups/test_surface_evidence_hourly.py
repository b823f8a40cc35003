"""rollups.surface_evidence_hourly: the items of a surface, added up."""

from datetime import UTC, datetime
from decimal import Decimal

from include.spark.rollups.surface_evidence_hourly import transform

SCHEMA = """
    hour timestamp, item_id string, surface string, impressions bigint, engaged bigint, observed bigint,
    expected decimal(28,10)
"""


def test_a_surface_s_hour_is_the_sum_of_its_items(frame):
    def item(name, surface, count):
        hour = {"hour": datetime(2026, 5, 1, 12, tzinfo=UTC), "item_id": name, "surface": surface}
        return hour | dict.fromkeys(("impressions", "engaged", "observed"), count) | {"expected": Decimal(count) / 4}

    rows = {
        r["surface"]: list(r)[2:]
        for r in transform(frame(SCHEMA, [item("i", "a", 1), item("j", "a", 2), item("i", "b", 4)])).collect()
    }
    assert rows == {"a": [2, 3, 3, 3, Decimal("0.75")], "b": [1, 4, 4, 4, 1]}
