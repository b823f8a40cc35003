"""What every step of the flow works on: a range of a table, in a deployment, for an owner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from feedmill.deployment import Deployment
from feedmill.lake.schema import Ddl
from feedmill.spec import Input, Table
from feedmill.timeline import Range


@dataclass(frozen=True)
class Job:
    """A range of a table that is to be built, or was."""

    table: Table
    span: Range
    deployment: Deployment
    owner: str
    """Who builds: ``<dag_id>/<run_id>`` in Airflow. A retry of the same owner takes over from the try before it."""

    @cached_property
    def ddl(self) -> Ddl:
        """The table's DDL, read once: an edit in the middle of a build changes nothing of it."""
        return self.deployment.lake.ddl(self.table)

    @cached_property
    def partitioned_by(self) -> dict[str, tuple[str, ...]]:
        """The partition columns of each input table, by its name."""
        lake = self.deployment.lake
        return {e.table.name: lake.ddl(e.table).partitioned_by for e in self.table.inputs if isinstance(e, Input)}
