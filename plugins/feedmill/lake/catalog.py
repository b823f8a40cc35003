"""The lake: its catalog, its tables as their DDL says, and reads that are pinned to a snapshot."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.table import Table as IcebergTable
from pyiceberg.transforms import IdentityTransform
from sqlalchemy.exc import IntegrityError, ProgrammingError

from feedmill import connections
from feedmill.connections import CATALOG
from feedmill.lake import ddl as ddl_module
from feedmill.lake.schema import Ddl, DdlError
from feedmill.spec import Table
from feedmill.timeline import DAY, Period, Range, runs

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    # Builds of other ranges commit to their branches at any time, so Spark's default of 4 retries is too few.
    "commit.retry.num-retries": "20",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def branch_name(build_id: str) -> str:
    """The name of the branch that a build writes to."""
    return f"build_{build_id}"


@dataclass(frozen=True)
class Lake:
    """An Iceberg catalog, with the landing zone and the check pages beside it, and the project's DDL."""

    properties: dict[str, str]
    """PyIceberg's catalog properties."""
    landing: str
    """URL of the landing zone."""
    pages: str
    """URL of the folder of check pages."""
    project: Path

    @cached_property
    def catalog(self) -> Catalog:
        """PyIceberg's catalog, opened once per process."""
        # Otherwise a SQL catalog's pool hands out dead connections after a restart of the database server.
        properties = {"pool_pre_ping": "true", **self.properties}
        try:
            return load_catalog(CATALOG, **properties)
        except (IntegrityError, ProgrammingError) as error:
            # PyIceberg checks for the catalog's own tables before it makes them; another process made them in between.
            log.info("opening the catalog once more: %s", error)
            return load_catalog(CATALOG, **properties)

    def ddl(self, table: Table) -> Ddl:
        """The table's DDL.

        Raises:
            DdlError: the file cannot be used, or creates a different table.
        """
        ddl = ddl_module.read(self.project / table.ddl_path)
        if ddl.name != table.name:
            raise DdlError(f"{self.project / table.ddl_path} creates {ddl.name}, but it must create {table.name}")
        return ddl

    def load(self, table: Table) -> IcebergTable:
        """The table with its newest metadata.

        Raises:
            NoSuchTableError: the table does not exist yet; its first build creates it.
        """
        return self.catalog.load_table(table.name)

    def load_if_exists(self, table: Table) -> IcebergTable | None:
        """The table, or None before its first build."""
        try:
            return self.load(table)
        except NoSuchTableError:
            return None

    def ensure(self, table: Table) -> IcebergTable:
        """Create the table, or change it to match its DDL: new columns, changed comments.

        Raises:
            IncompatibleError: the DDL asks for a change that could lose rows; the message has the statement.
        """
        ddl = self.ddl(table)
        for _ in range(5):
            iceberg = self.load_if_exists(table)
            try:
                if iceberg is None:
                    return self._create(ddl)
                return self._evolve(iceberg, ddl)
            except (TableAlreadyExistsError, CommitFailedException):
                continue  # another build did it at the same moment; look again
        raise CommitFailedException(f"{table.name}: other commits came first each time its DDL was applied; try again")

    def drop_if_unused(self, table: Table) -> None:
        """Drop a table that was never published and has no branch. Call it under the table's publish lock."""
        iceberg = self.load_if_exists(table)
        if iceberg is not None and not iceberg.metadata.refs:
            log.info("dropping %s, which was never published", table.name)
            self.catalog.drop_table(table.name)

    def _create(self, ddl: Ddl) -> IcebergTable:
        with suppress(IntegrityError):  # PyIceberg checks first, too; another build made it in between
            self.catalog.create_namespace_if_not_exists(ddl.name.partition(".")[0])
        schema = ddl.schema
        fields = [
            PartitionField(schema.find_field(name).field_id, 1000 + i, IdentityTransform(), name)
            for i, name in enumerate(ddl.partitioned_by)
        ]
        log.info("creating %s", ddl.name)
        return self.catalog.create_table(
            ddl.name,
            schema,
            partition_spec=PartitionSpec(*fields),
            properties={**_PROPERTIES, "comment": ddl.comment},
        )

    def _evolve(self, iceberg: IcebergTable, ddl: Ddl) -> IcebergTable:
        spec = tuple(field.name for field in iceberg.spec().fields)
        change = ddl_module.evolution(ddl, iceberg.schema(), spec, iceberg.properties.get("comment", ""))
        if not change:
            return iceberg
        with iceberg.transaction() as transaction:
            with transaction.update_schema() as update:
                for column in change.add:
                    log.info("%s: adding column %s %s", ddl.name, column.name, column.sql_type)
                    update.add_column(column.name, column.type, doc=column.comment)
                for name, comment in change.comments:
                    update.update_column(name, doc=comment)
            if change.table_comment is not None:
                transaction.set_properties({"comment": change.table_comment})
        return self.catalog.load_table(ddl.name)

    def current_snapshot(self, table: Table) -> int | None:
        """The head of ``main``, or None if nothing was published yet."""
        iceberg = self.load_if_exists(table)
        head = iceberg.metadata.snapshot_by_name("main") if iceberg else None
        return head.snapshot_id if head else None

    def branch_head(self, table: Table, build_id: str) -> int | None:
        """The newest snapshot of a build's branch, or None if the branch is gone or empty."""
        reference = self.load(table).metadata.refs.get(branch_name(build_id))
        return reference.snapshot_id if reference else None

    def read(self, table: Table, snapshot_id: int, span: Range) -> pa.Table:
        """The rows of a range as of a snapshot."""
        scan = self.load(table).scan(row_filter=self.within(table, [span]), snapshot_id=snapshot_id)
        return scan.to_arrow()

    def files(
        self, table: Table, iceberg: IcebergTable, snapshot_id: int | None, partitions: Iterable[datetime]
    ) -> dict[str, DataFile]:
        """The data files of these partitions as of a snapshot, by path."""
        wanted = set(partitions)
        if snapshot_id is None or not wanted:
            return {}
        scan = iceberg.scan(row_filter=self.within(table, runs(list(wanted), table.every)), snapshot_id=snapshot_id)
        found = {task.file.file_path: task.file for task in scan.plan_files()}
        return {path: file for path, file in found.items() if self.partition_of(table, file) in wanted}

    def partition_of(self, table: Table, file: DataFile) -> datetime:
        """The partition that a data file belongs to."""
        return moment_of(file.partition[0], table.every)

    def within(self, table: Table, spans: Iterable[Range]) -> str:
        """A row filter for these ranges, in PyIceberg's syntax."""
        column = self.ddl(table).partition_column
        parts = [f"({column} >= '{_bound(s, s.start)}' and {column} < '{_bound(s, s.end)}')" for s in spans]
        return " or ".join(parts)


def moment_of(value: object, period: Period) -> datetime:
    """The UTC time of a partition value as Iceberg's manifests hold it: days, or microseconds, since 1970."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if not isinstance(value, int):
        raise TypeError(f"partition value {value!r} is neither a time nor a date")
    return _EPOCH + (timedelta(days=value) if period is DAY else timedelta(microseconds=value))


def open_lake(project: Path) -> Lake:
    """The lake of the ``iceberg_default`` connection, with the DDL of ``project``."""
    connection = connections.get(connections.ICEBERG)
    return Lake(connection.catalog_properties, connection.landing, connection.pages, project)


def _bound(span: Range, moment: datetime) -> str:
    return moment.date().isoformat() if span.period is DAY else moment.isoformat()
