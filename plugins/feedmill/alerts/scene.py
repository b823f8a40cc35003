"""What incidents are computed from: everything that is known at one moment. Pure types, no arithmetic.

Each fact has an origin. An origin that says nothing, or only a part, is not among ``answered``: incidents on its
evidence neither open nor heal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from feedmill.alerts.incident import Incident, Outage, Remembered
from feedmill.freshness.states import Picture
from feedmill.spec import Maintainer, Service, Tier


class Origin(StrEnum):
    """Where evidence comes from."""

    LEDGER = "the ledger"
    AIRFLOW = "Airflow's API"
    COMPONENTS = "a look at the component itself"
    DELIVERIES = "the outbox"
    SERVICES = "the services' metrics"
    MAP = "the map"


class Component(StrEnum):
    """What the installation consists of, and may be down."""

    SCHEDULER = "scheduler"
    TRIGGERER = "triggerer"
    DAG_PROCESSOR = "DAG processor"
    API_SERVER = "API server"
    SPARK = "Spark"
    POSTGRES = "PostgreSQL"
    LANDING_ZONE = "landing zone"


_OF_AIRFLOW = (Component.SCHEDULER, Component.TRIGGERER, Component.DAG_PROCESSOR, Component.API_SERVER)
RESTS_ON: Mapping[Component, Component] = dict.fromkeys(_OF_AIRFLOW, Component.POSTGRES)
"""What stops with another component. That one's outage is the incident; what rests on it is looked at afterwards."""


@dataclass(frozen=True)
class Health:
    """How a component was found in this round."""

    is_well: bool
    detail: str = ""
    """What was seen where it is not well: the error, the last heartbeat."""


@dataclass(frozen=True)
class TaskFailure:
    """The newest run of a task that makes no partition has failed, and no retry is coming."""

    dag_id: str
    run_id: str
    task_id: str
    owner: str
    ended_at: datetime
    state: str = "failed"


@dataclass(frozen=True)
class BrokenFile:
    """A DAG file that Airflow cannot parse."""

    file: str
    message: str
    at: datetime


@dataclass(frozen=True)
class Dag:
    """A DAG that Airflow knows."""

    dag_id: str
    owners: tuple[str, ...]
    tags: tuple[str, ...]
    file: str


@dataclass(frozen=True)
class AirflowReport:
    """What Airflow's API says, read in full."""

    dags: Mapping[str, Dag] = field(default_factory=dict)
    task_failures: Sequence[TaskFailure] = ()
    import_errors: Sequence[BrokenFile] = ()


@dataclass(frozen=True)
class Disk:
    """The space on the disk of one folder, in bytes."""

    folder: str
    free: int
    size: int


@dataclass(frozen=True)
class Quarantine:
    """Files of one source that no build can read, and nobody has ruled out."""

    source: str
    files: int
    since: datetime
    example: str
    reason: str


@dataclass(frozen=True)
class Landed:
    """What one source landed lately."""

    by_hour: Mapping[datetime, int]
    """Bytes by arrival hour; an hour that is missing had none."""
    complete_until: datetime
    """The landing zone was looked through after the arrival hours before this moment had ended."""


@dataclass(frozen=True)
class Work:
    """A build that is at work, and how long builds of its table took lately."""

    owner: str
    started_at: datetime
    lately: Sequence[tuple[timedelta, int]]
    """How long each took, and for how many partitions."""


@dataclass(frozen=True)
class Warned:
    """An expectation of the severity *warning* that a published partition does not meet."""

    expectation: str
    message: str


@dataclass(frozen=True)
class Newest:
    """The newest published partition of a table, and what its check found."""

    table: str
    partition: datetime
    build_id: str
    owner: str
    judged_at: datetime
    warnings: Sequence[Warned]


@dataclass(frozen=True)
class Differing:
    """Two builds of one partition that read the same with the same code, and gave other rows."""

    table: str
    partition: datetime
    identity: str
    builds: tuple[str, str]
    """The earlier one first."""
    owner: str
    """Who made the later one."""
    found_at: datetime


@dataclass(frozen=True)
class Requests:
    """The requests of a service in one length of time. Prometheus extrapolates, so they are no whole numbers."""

    good: float
    total: float


@dataclass(frozen=True)
class Served:
    """What a service's metrics say."""

    service: Service
    requests: Mapping[timedelta, Requests] | None
    """By the length of time that ends now; None: nothing is known."""


@dataclass(frozen=True)
class RedFlag:
    """A metric of a model that is far from what was expected in an hour."""

    model_id: str
    metric: str
    direction: Literal["above", "below"]
    hour: datetime
    observed: float
    expected: float
    suspect: str = ""
    """The table whose data explains it; empty: none is known."""


@dataclass(frozen=True)
class Undeliverable:
    """A channel that takes nothing."""

    channel: str
    since: datetime
    error: str
    waiting: int
    """Messages that wait for it, or went to another channel instead."""


@dataclass(frozen=True)
class Owners:
    """Who is told about what is no table."""

    known: Mapping[str, Maintainer]
    """Every maintainer by name."""
    default: Maintainer
    infrastructure: Maintainer
    sources: Mapping[str, tuple[Maintainer, Tier]] = field(default_factory=dict)
    """Maintainer and tier of each landing source."""
    expected: frozenset[str] = frozenset()
    """Those of the sources that land something in every hour."""
    models: Mapping[str, tuple[Maintainer, Tier]] = field(default_factory=dict)
    """Maintainer and tier of each model, by its id."""


@dataclass(frozen=True)
class Scene:
    """Everything that is known in one round."""

    now: datetime
    owners: Owners
    answered: frozenset[Origin]
    open: Sequence[Incident] = ()
    """The incidents that are not closed, pending ones included: some kinds heal later than they open."""
    picture: Picture | None = None
    """The state of every partition; None: the ledger does not answer."""
    airflow: AirflowReport | None = None
    components: Mapping[Component, Health] = field(default_factory=dict)
    """Those that could be looked at in this round."""
    outages: Sequence[Outage] = ()
    remembered: Mapping[str, Remembered] = field(default_factory=dict)
    """By table: what is being caught up."""
    disks: Sequence[Disk] = ()
    quarantines: Sequence[Quarantine] = ()
    landed: Mapping[str, Landed] = field(default_factory=dict)
    """By source, of those that have landed anything lately."""
    work: Mapping[str, Work] = field(default_factory=dict)
    """By build id: the builds that have been at work for an hour at least."""
    newest: Mapping[str, Newest] = field(default_factory=dict)
    """By table, of those with a partition that ended lately and was checked."""
    differing: Mapping[str, Differing] = field(default_factory=dict)
    """By table, the newest one."""
    services: Sequence[Served] = ()
    red_flags: Sequence[RedFlag] = ()
    """Those of the newest hour of each model."""
    undeliverable: Sequence[Undeliverable] = ()
    map_error: str = ""
    """Why the map cannot be imported; empty: it can."""
    map_error_since: datetime | None = None

    def is_open(self, kind: str, subject: str) -> bool:
        """Whether such an incident is open, or pending, already."""
        return any(one.kind == kind and one.condition.subject == subject for one in self.open)
