"""rollups.item_evidence_daily: the hours of a day, added up."""

from datetime import date
from decimal import Decimal

from include.spark.rollups.item_evidence_daily import transform
from include.spark.rollups.item_evidence_hourly import SUMS

SCHEMA = """
    day date, item_id string, surface string, impressions bigint, engaged bigint, observed bigint,
    expected decimal(28,10), variance decimal(28,10), own_residuals decimal(28,10), own_expected decimal(28,10)
"""


def test_a_day_is_the_exact_sum_of_its_hours_by_item_and_surface(frame):
    def hour(day, surface, count, expected):
        values = dict.fromkeys(("impressions", "engaged", "observed"), count)
        sums = dict.fromkeys(SUMS, Decimal(expected))
        return {"day": date(2026, 5, day), "item_id": "i", "surface": surface} | values | sums

    tenth = "0.1000000001"
    hourly = frame(SCHEMA, [hour(1, "a", 2, tenth), hour(1, "a", 3, tenth), hour(1, "b", 5, "1"), hour(2, "a", 7, "1")])
    rows = {(row["day"].day, row["surface"]): list(row)[3:] for row in transform(hourly).collect()}
    double = Decimal("0.2000000002")
    assert rows == {
        (1, "a"): [5, 5, 5, *[double] * 4],
        (1, "b"): [5, 5, 5, 1, 1, 1, 1],
        (2, "a"): [7, 7, 7, 1, 1, 1, 1],
    }
