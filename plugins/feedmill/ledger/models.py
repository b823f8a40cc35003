"""The ledger's tables: files, builds, claims, verdicts and publishes.

Numbers come from one counter (:class:`Counter`). A number becomes visible when its transaction commits. The counter's
row stays locked until then, so numbers become visible in the order in which they were given (rule 1).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, ForeignKey, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables of the ledger."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        str: Text,
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
    }


def _change() -> Mapped[int]:
    """The number of the transaction that wrote the row last, set by a trigger: a state depends on the row."""
    return mapped_column(BigInteger, server_default="0")


class Counter(Base):
    """One row: the last number given, and the epoch, which changes when a ledger is rebuilt (rule 10)."""

    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer)
    value: Mapped[int] = mapped_column(BigInteger)
    forgotten: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Raised when facts are deleted, which no change number shows: whoever keeps facts reads them all anew."""


class File(Base):
    """A landed file, registered once. A build reads what is registered and neither a defect nor disowned (rule 6)."""

    __tablename__ = "files"
    __table_args__ = (
        Index("files_by_hour", "kind", "arrival_hour"),
        Index("files_by_change", "change"),
        Index(
            "files_not_read",
            "kind",
            "arrival_hour",
            postgresql_where=text("defect IS NOT NULL OR disowned_by IS NOT NULL"),
        ),
    )
    path: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    kind: Mapped[str]
    arrival_hour: Mapped[datetime]
    size: Mapped[int] = mapped_column(BigInteger)
    etag: Mapped[str]
    defect: Mapped[str | None]
    """Why the whole file cannot be read; it is then one row of events.rejected."""
    reader: Mapped[str | None]
    """The identity of the reader code that could not read it; None if discovery found the defect by itself."""
    disowned_by: Mapped[str | None]
    """Who has ruled the file out, and in the next column, why."""
    disowned_because: Mapped[str | None]
    long_lines: Mapped[int] = mapped_column(Integer, server_default="0", default=0)
    """How many of its lines are longer than Spark may see: it is read from a copy in which they are cut."""
    received_at: Mapped[datetime]
    """The modification time in the storage when the file was found."""
    number: Mapped[int] = mapped_column(BigInteger)
    """Taken when it was registered, and anew whenever it became a defect, was disowned, or was readmitted."""
    registered_at: Mapped[datetime] = mapped_column(server_default=func.now())
    change: Mapped[int] = _change()

    @property
    def not_read(self) -> str | None:
        """Why no build reads the file, as events.rejected says it; None if builds read it."""
        return self.defect if self.disowned_by is None else f"disowned: {self.disowned_because}"


class FileDecision(Base):
    """What happened to a file after it was registered. Nothing is computed from these rows: people read them."""

    __tablename__ = "file_decisions"
    __table_args__ = (Index("file_decisions_by_path", "path"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    path: Mapped[str]
    etag: Mapped[str]
    """Of the bytes that were decided about."""
    what: Mapped[str]
    """``defect``, ``disowned`` or ``readmitted``."""
    name: Mapped[str]
    """The person; or ``Feedmill``, which declares defects, and readmits them when the reader code has changed."""
    reason: Mapped[str]
    number: Mapped[int] = mapped_column(BigInteger)
    decided_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Folder(Base):
    """A folder of the landing zone as discovery saw it last: it is listed again once it has changed."""

    __tablename__ = "folders"
    url: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    stamp: Mapped[str | None]
    """What the disk says of its last change; null for a source's own folder."""
    seen_at: Mapped[datetime]
    """When this stamp was seen first; for a source's own folder, when everything in it was listed last."""
    complete: Mapped[bool] = mapped_column(Boolean)
    """Whether all that lay there with this stamp is registered."""


class SealedHour(Base):
    """An arrival hour whose build has begun: files found later go to the open hour. Old ones are merged to ranges."""

    __tablename__ = "sealed_hours"
    kind: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    until: Mapped[datetime]
    """The end of the sealed time, exclusive."""
    sealed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Build(Base):
    """One try of a table's job for a range. ``begin`` is the number that it took before it pinned its inputs."""

    __tablename__ = "builds"
    __table_args__ = (
        Index("builds_by_table", "table_name", "range_start", "range_end"),
        Index("builds_by_owner", "owner"),
        Index("builds_by_change", "change"),
        Index("builds_undone", "table_name", postgresql_where=text("state IN ('failed', 'interrupted', 'running')")),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    table_name: Mapped[str]
    range_start: Mapped[datetime]
    range_end: Mapped[datetime]
    begin: Mapped[int] = mapped_column(BigInteger)
    epoch: Mapped[int] = mapped_column(Integer)
    identity: Mapped[str]
    owner: Mapped[str]
    """Who builds: ``<dag_id>/<run_id>`` in Airflow, ``cli/<user>`` on the command line."""
    state: Mapped[str]
    """running, built, failed, interrupted, or discarded (built only to look at it)."""
    session_id: Mapped[str]
    """The Spark session of this try, so that a retry can interrupt it."""
    pins: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The pinned snapshot of each input table (null if it has none), and what :mod:`feedmill.ledger.pins` adds."""
    snapshot_id: Mapped[int | None] = mapped_column(BigInteger)
    """The head of the build's branch when it is built. The check judges it and the publish replays it."""
    error: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    change: Mapped[int] = _change()


class Code(Base):
    """What a code identity of a table was made of: a digest of each part, by name."""

    __tablename__ = "codes"
    table_name: Mapped[str] = mapped_column(primary_key=True)
    identity: Mapped[str] = mapped_column(primary_key=True)
    parts: Mapped[dict[str, Any]]


class BuiltPartition(Base):
    """What a build wrote for one partition."""

    __tablename__ = "built_partitions"
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    partition: Mapped[datetime] = mapped_column(primary_key=True)
    rows: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str]
    touches: Mapped[dict[str, Any] | None]
    """Rows by touched hour (ISO), for tables that are read ``by=touches``."""


class Claim(Base):
    """A running build's claim on its partitions, kept alive by a heartbeat (rule 9)."""

    __tablename__ = "claims"
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    table_name: Mapped[str] = mapped_column(index=True)
    range_start: Mapped[datetime]
    range_end: Mapped[datetime]
    owner: Mapped[str]
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Verdict(Base):
    """The check's judgement of one partition of one build, for exactly the snapshot that it read."""

    __tablename__ = "verdicts"
    __table_args__ = (
        Index("verdicts_by_change", "change"),
        Index("verdicts_failed", "build_id", postgresql_where=text("NOT passed")),
    )
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    partition: Mapped[datetime] = mapped_column(primary_key=True)
    snapshot_id: Mapped[int] = mapped_column(BigInteger)
    passed: Mapped[bool] = mapped_column(Boolean)
    findings: Mapped[list[Any]]
    suite_digest: Mapped[str]
    judged_at: Mapped[datetime] = mapped_column(server_default=func.now())
    change: Mapped[int] = _change()


class Acceptance(Base):
    """A person's decision that a held partition may be published as it is."""

    __tablename__ = "acceptances"
    __table_args__ = (Index("acceptances_by_change", "change"),)
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    partition: Mapped[datetime] = mapped_column(primary_key=True)
    snapshot_id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str]
    reason: Mapped[str]
    accepted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    change: Mapped[int] = _change()


class Intent(Base):
    """Written before an Iceberg commit and finished with the ledger rows. A crash in between leaves it open."""

    __tablename__ = "intents"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), index=True)
    table_name: Mapped[str] = mapped_column(index=True)
    partitions: Mapped[list[Any]]
    written_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class Publish(Base):
    """The history: one row for each time a partition was moved to ``main``."""

    __tablename__ = "publishes"
    __table_args__ = (
        Index("publishes_by_number", "table_name", "number"),
        Index("publishes_by_build", "build_id"),
    )
    table_name: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[datetime] = mapped_column(primary_key=True)
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    changed: Mapped[bool] = mapped_column(Boolean)
    """False if the rows equalled the current ones, so that the partition kept its old number (rule 5)."""
    snapshot_id: Mapped[int] = mapped_column(BigInteger)
    """The commit on ``main`` that moved it."""
    published_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Partition(Base):
    """The current state of a published partition."""

    __tablename__ = "partitions"
    __table_args__ = (Index("partitions_by_change", "change"), Index("partitions_by_build", "build_id"))
    table_name: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[datetime] = mapped_column(primary_key=True)
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id"))
    begin: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int] = mapped_column(BigInteger)
    identity: Mapped[str]
    rows: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str]
    published_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expired_at: Mapped[datetime | None]
    """When retention expired it (rule 8). Set before its rows are deleted; null again when it is published again."""
    change: Mapped[int] = _change()


class Touch(Base):
    """Which hour of a reader an arrival partition has rows for, and the number of the publish that said so.

    If a later publish no longer has a touch, it stays, with 0 rows and that publish's number: the reader lost rows.
    """

    __tablename__ = "touches"
    __table_args__ = (Index("touches_by_touched", "table_name", "touched"),)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[datetime] = mapped_column(primary_key=True)
    touched: Mapped[datetime] = mapped_column(primary_key=True)
    rows: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int] = mapped_column(BigInteger)


class AlertIncident(Base):
    """An incident of the alerts, and what is known of it. ``body`` has everything; the columns are for people's SQL."""

    __tablename__ = "alert_incidents"
    __table_args__ = (
        Index("alert_incidents_not_closed", "seen_at", postgresql_where=text("closed_at IS NULL")),
        Index("alert_incidents_by_close", "closed_at"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str]
    """The key that receivers know it by."""
    kind: Mapped[str]
    subject: Mapped[str]
    maintainer: Mapped[str]
    tier: Mapped[int] = mapped_column(Integer)
    since: Mapped[datetime]
    seen_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    """Null: its condition has not held for long enough."""
    closed_at: Mapped[datetime | None]
    times: Mapped[int] = mapped_column(Integer)
    body: Mapped[dict[str, Any]]


class AlertDelivery(Base):
    """One message to one channel: decided, tried, answered."""

    __tablename__ = "alert_deliveries"
    __table_args__ = (Index("alert_deliveries_by_incident", "incident_id"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    incident_id: Mapped[str]
    purpose: Mapped[str]
    channel: Mapped[str]
    maintainer: Mapped[str]
    stage: Mapped[str]
    attempts: Mapped[int] = mapped_column(Integer)
    decided_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    error: Mapped[str]
    body: Mapped[dict[str, Any]]


class AlertSilence(Base):
    """Nobody is told about these incidents until it ends; a maintenance window is one for every subject."""

    __tablename__ = "alert_silences"
    id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    kinds: Mapped[list[Any]]
    ticket: Mapped[str]
    author: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]


class Outage(Base):
    """A time in which a component was down: what failed in it belongs to its incident."""

    __tablename__ = "outages"
    id: Mapped[str] = mapped_column(primary_key=True)
    component: Mapped[str]
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    detail: Mapped[str]


class AlertTable(Base):
    """A table as the last round of ``watch`` saw it."""

    __tablename__ = "alert_tables"
    name: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[dict[str, Any]]


class AlertKind(Base):
    """A kind of incident that this installation has met, and until when its incidents are only shown."""

    __tablename__ = "alert_kinds"
    name: Mapped[str] = mapped_column(primary_key=True)
    shown_until: Mapped[datetime | None]


class Lease(Base):
    """Who does a job of which there must be one: ``watch``. The others stand by until the lease runs out."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    until: Mapped[datetime]
