"""The schedule of a table's DAG: one run for each partition since its history began; any run before, by hand.

Airflow takes a DAG's ``start_date`` for both. It makes no task instance for a run before the start: a run that somebody
triggered for an earlier hour had no task, and was green.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from airflow.timetables.interval import CronDataIntervalTimetable

from feedmill.timeline import parse

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction

FIRST = datetime(2020, 1, 1, tzinfo=UTC)
"""The ``start_date`` of every DAG: older than any history."""


class SinceTimetable(CronDataIntervalTimetable):
    """A cron schedule in UTC that begins at ``since``."""

    def __init__(self, cron: str, since: datetime | None):
        """``since``: the start of the first scheduled interval; None if Airflow does not catch up."""
        super().__init__(cron, timezone="UTC")
        self.since = since

    def serialize(self) -> dict[str, Any]:
        """What Airflow stores."""
        return {"cron": self._expression, "since": self.since.isoformat() if self.since else None}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        """The timetable that was stored."""
        return cls(data["cron"], parse(data["since"]) if data["since"] else None)

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next scheduled run. A backfill brings a beginning of its own, which may be earlier."""
        if self.since is not None and restriction.earliest == FIRST:
            import pendulum

            restriction = restriction._replace(earliest=pendulum.instance(self.since))
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
