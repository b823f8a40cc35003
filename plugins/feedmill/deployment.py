"""One place that holds what every command and operator needs: the project, its map, the ledger and the lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from feedmill.lake.catalog import Lake, open_lake
from feedmill.ledger.store import Ledger, open_ledger
from feedmill.project import project_path
from feedmill.spec import Map, Source


@dataclass(frozen=True)
class Deployment:
    """A project with its ledger and its lake."""

    project: Path
    tables: Map
    sources: Mapping[str, Source]
    ledger: Ledger
    lake: Lake


@cache
def open_deployment() -> Deployment:
    """The deployment that the connections describe; opened once a process."""
    # First: without a project, its error says what to set.
    project = project_path()
    from include.spark.sources import SOURCES
    from include.tables import TABLES

    return Deployment(project, TABLES, SOURCES, open_ledger(), open_lake(project))
