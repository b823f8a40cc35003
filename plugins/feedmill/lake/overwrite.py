"""PyIceberg's overwrite with two faults corrected: empty manifests go, and threads do not share state."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _OverwriteFiles


class Overwrite(_OverwriteFiles):
    """An overwrite of ``main`` whose cost does not grow with each publish, and which finds all files that it deletes.

    PyIceberg 0.12 carries the manifests with the deleted entries of all earlier overwrites along. Iceberg needs such
    an entry only in the snapshot that deleted the file. A publish took 0.09 s at first and 0.79 s after 120 publishes.

    PyIceberg's threads look for the deleted files in several manifests at once, but share one evaluator, which keeps
    the manifest that it looks at. With a long filter (720 hours) one thread reads another's bounds and skips a
    manifest, and the overwrite fails with "Missing required files to delete".
    """

    def __init__(self, transaction: Transaction, properties: dict[str, str]):
        """``properties`` are the snapshot's."""
        main = transaction.table_metadata.snapshot_by_name("main")
        super().__init__(
            operation=Operation.APPEND if main is None else Operation.OVERWRITE,
            transaction=transaction,
            io=transaction._table.io,
            branch="main",
            snapshot_properties=properties,
        )
        self._one = threading.Lock()

    def _build_manifest_evaluator(self, spec_id: int) -> Callable[[ManifestFile], bool]:
        shared = super()._build_manifest_evaluator(spec_id)

        def alone(manifest: ManifestFile) -> bool:
            with self._one:
                return shared(manifest)

        return alone

    def _existing_manifests(self) -> list[ManifestFile]:
        return [m for m in super()._existing_manifests() if m.has_added_files() or m.has_existing_files()]
