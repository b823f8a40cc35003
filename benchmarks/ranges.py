"""30 days of an hourly table as one range, against hour by hour.

Both ways make `rollups.item_engagement_hourly` from `events.clean` with 360 events an hour, as in the demo's week. Both
build, check and publish, in one process that has imported everything: what Airflow adds to each of 720 runs is not
counted. A sample of one way is the range of 720 hours. A sample of the other way is 12 of these hours, built one after
the other, times 60. Nothing else is scaled. While we measure, the table has few snapshots; 720 publishes would make
many. So the ratio is a lower bound.
"""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks import data, flow, measure
from benchmarks.ground import ground
from benchmarks.measure import Result, Row
from feedmill.timeline import HOUR, Range

END = datetime(2026, 5, 31, tzinfo=UTC)
HOURS, EVENTS, SAMPLED = 720, 360, 12


def main(small: bool) -> Result:
    """Both ways, interleaved; each sample's hours are others than the last one's."""
    from include.tables import clean, item_engagement_hourly

    hours, sampled = (4, 1) if small else (HOURS, SAMPLED)
    span = data.hours_before(END, hours)
    moments = list(span.partitions())
    turn = iter(range(1000))
    with ground() as deployment:
        data.fill(deployment, clean, span, EVENTS)

        def one_by_one() -> float:
            first = next(turn) * sampled % hours
            seconds = 0.0
            for moment in moments[first : first + sampled]:
                seconds += sum(flow.run(deployment, item_engagement_hourly, Range.one(moment, HOUR)).values())
            return seconds

        arms = {"range": lambda: sum(flow.run(deployment, item_engagement_hourly, span).values()), "hours": one_by_one}
        samples = measure.interleaved(arms, small)
        rows = deployment.lake.load(item_engagement_hourly).scan().count()
    facts = {"hours": hours, "sampled": sampled, "events": EVENTS * hours, "rows": rows}
    return Result("ranges", samples, facts, small)


def rows(result: Result) -> list[Row]:
    """Ten times is the goal."""
    hours, sampled = result.facts["hours"], result.facts["sampled"]
    scaled = [seconds * hours / sampled for seconds in result.samples["hours"]]
    ratio = measure.ratios(scaled, result.samples["range"])
    return [
        Row(f"{hours} hours as one range, {result.facts['events']:,} events", measure.shown(result.samples["range"])),
        Row("one hour by itself", measure.shown(result.samples["hours"], "s", 1 / sampled)),
        Row(f"{hours} hours by themselves, from samples of {sampled}", measure.shown(scaled)),
        Row(
            f"{hours // 24} days of an hourly table: hour by hour ÷ as one range",
            measure.shown(ratio, ""),
            "at least 10",
            measure.median(ratio) >= 10,
            headline=True,
        ),
    ]


if __name__ == "__main__":
    measure.command("ranges", main, rows)
