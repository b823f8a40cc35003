"""Writing a simulation: events and items in the layout of the landing zone, and the truth beside them.

Everything is written to a folder of another name, which is renamed at the end. So a reader finds the whole or nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.simulate import VERSION, truth
from feedmill.simulate.columns import DICTIONARIES, ENCODED, Names, Strays, columns, encoded
from feedmill.simulate.hour import Hour
from feedmill.simulate.settings import Settings
from feedmill.simulate.totals import Totals
from feedmill.simulate.world import World
from feedmill.timeline import HOUR

EVENTS = "events_parquet"
ITEMS = "items_jsonl"

ROWS_PER_FILE = 4_000_000
BUFFER = 1 << 20
"""How many bytes are written at once. Arrow writes even a small file in a hundred pieces, each a system call."""

STRAYS_HELD = 1_000_000
"""How many rows of later hours are held in memory. Further rows are written to files of their own."""

RELANDED = 60
"""Every item that is still live lands again after this many days, because catalog.items forgets items after 90 days."""

_DICTIONARY_COLUMNS = [*DICTIONARIES, "event_types.list.element", "position"]

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with the number of hours done, their total, and the next hour."""


class SimulationError(FeedmillError, code=Exit.USAGE, retry=False, turn=Turn.CALLER):
    """The simulation cannot be written to this folder. Nothing was written."""


@dataclass
class Counts:
    """How many rows the event files have."""

    landed: int = 0
    """All rows."""
    duplicates: int = 0
    """Rows that are second copies."""
    disagreeing: int = 0
    """Second copies that differ from the first."""
    not_arrived: int = 0
    """Rows that would have arrived after the end. They are in no file."""
    files: int = 0


def simulate(settings: Settings, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Write a simulation to ``folder``, and return its manifest.

    Raises:
        SimulationError: the folder is not empty, or the path is not a folder.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SimulationError(f"{folder} is not an empty folder: name another, or delete it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        made = _Writing(settings, partial).run(progress)
        partial.chmod(0o755)
        # Replaces an empty folder, and fails if somebody has filled it meanwhile.
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return made


@dataclass
class _Writing:
    settings: Settings
    folder: Path
    counts: Counts = field(default_factory=Counts)
    held: dict[int, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    held_rows: int = 0

    def run(self, progress: Progress | None) -> dict[str, Any]:
        world = World.of(self.settings)
        names = Names.of(world)
        totals = Totals.of(world)
        beside = self.folder / truth.FOLDER
        beside.mkdir()
        knots = set(truth.knots(world))
        with (
            # Floats that are all different: neither dictionaries nor compression make them smaller.
            pq.ParquetWriter(
                beside / "affinity.parquet",
                truth.AFFINITY,
                compression="none",
                use_dictionary=False,
                write_statistics=False,
            ) as affinities,
            pq.ParquetWriter(beside / "item_days.parquet", truth.ITEM_DAYS) as item_days,
        ):
            for hour in range(self.settings.hours):
                if progress is not None:
                    progress(hour, self.settings.hours, HOUR.name_of(self._moment(hour)))
                if hour % 24 == 0:
                    self._items(world, names, hour)
                    item_days.write_table(truth.item_day_rows(world, names.items, hour // 24))
                    if hour // 24 in knots:
                        for rows in truth.affinity_rows(world, names.users, hour // 24):
                            affinities.write_table(rows)
                self._hour(world, names, totals, hour)
        tables = {
            "users": truth.user_rows(world, names.users),
            "items": truth.item_rows(world, names.items),
            "trends": truth.trend_rows(world),
            "positions": truth.position_rows(),
            "models": truth.model_rows(),
            "experiments": truth.experiment_rows(),
            "totals": totals.table(world),
        }
        for name, rows in tables.items():
            pq.write_table(rows, beside / f"{name}.parquet")
        made = self._manifest(totals)
        (beside / "manifest.json").write_text(json.dumps(made, indent=2) + "\n")
        return made

    def _manifest(self, totals: Totals) -> dict[str, Any]:
        return {
            "simulator": VERSION,
            "numpy": np.__version__,
            **{name: value for name, value in asdict(self.settings).items() if name != "start"},
            "start": self.settings.start.isoformat(),
            "end": self.settings.end.isoformat(),
            "rows": {**asdict(self.counts), "events": totals.events, "late": totals.late},
            "types": totals.by_type(),
        }

    def _hour(self, world: World, names: Names, totals: Totals, hour: int) -> None:
        writer = _HourFile(self.folder / EVENTS, self._moment(hour), self.counts)
        for block in Hour(world, hour).blocks():
            main, strays = columns(world, names, block)
            writer.write(main)
            totals.add(block)
            arrival = hour + block.requests.delay[block.request[block.copies.row]] + block.copies.delay
            landed = arrival < self.settings.hours
            self.counts.duplicates += int(landed.sum())
            self.counts.disagreeing += int((landed & block.copies.disagrees).sum())
            self._hold(strays)
            if self.held_rows > STRAYS_HELD:
                self._spill(hour, block.number)
        here = self.held.pop(hour, [])
        if here:
            writer.write(encoded(pa.concat_tables(here)))
        writer.close()

    def _hold(self, strays: Strays) -> None:
        arrivals, firsts, counts = np.unique(strays.arrival, return_index=True, return_counts=True)
        for arrival, first, count in zip(arrivals.tolist(), firsts.tolist(), counts.tolist(), strict=True):
            if arrival < self.settings.hours:
                self.held[arrival].append(strays.rows.slice(first, count))
            else:
                self.counts.not_arrived += count
        # A slice keeps its whole table in memory: only a spill takes them off.
        self.held_rows += strays.rows.num_rows

    def _spill(self, hour: int, block: int) -> None:
        for arrival in sorted(self.held):
            name = f"late-{hour:05d}-{block:04d}"
            writer = _HourFile(self.folder / EVENTS, self._moment(arrival), self.counts, name)
            writer.write(encoded(pa.concat_tables(self.held.pop(arrival))))
            writer.close()
        self.held_rows = 0

    def _items(self, world: World, names: Names, hour: int) -> None:
        """Land the day's items at its beginning. On the first day, land also all items published before."""
        items, day = world.items, hour // 24
        first, end = (-np.inf if day == 0 else hour), hour + 24
        landing = (items.published >= first) & (items.published < end) & (items.ends > hour)
        if day and day % RELANDED == 0:
            landing |= (items.published < hour) & (items.ends > hour)
        chosen = np.flatnonzero(landing)
        if not len(chosen):
            return
        ids = names.items.take(pa.array(chosen)).to_pylist()
        lines = [
            json.dumps(
                {
                    "item_id": name,
                    "categories": truth.item_categories(items, number),
                    "author_id": f"a{items.author[number]}",
                    "duration_ms": int(items.duration_ms[number]),
                    "published_at": (self.settings.start + timedelta(hours=float(items.published[number]))).isoformat(
                        timespec="seconds"
                    ),
                }
            )
            for name, number in zip(ids, chosen.tolist(), strict=True)
        ]
        moment = self._moment(hour)
        path = self.folder / ITEMS / HOUR.name_of(moment) / "items.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(f"{line}\n" for line in lines))
        _date(path, moment)

    def _moment(self, hour: int) -> datetime:
        return self.settings.start + timedelta(hours=hour)


class _HourFile:
    """The rows of one arrival hour, in as few files as :data:`ROWS_PER_FILE` allows."""

    def __init__(self, folder: Path, hour: datetime, counts: Counts, name: str = "part"):
        self._folder, self._hour, self._counts, self._name = folder / HOUR.name_of(hour), hour, counts, name
        self._writer: Any = None
        self._stream: Any = None
        self._path = self._folder
        self._files = self._rows = 0

    def write(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        if self._rows >= ROWS_PER_FILE:
            self.close()
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path = self._folder / f"{self._name}-{self._files:04d}.parquet"
            self._stream = pa.BufferedOutputStream(pa.OSFile(str(self._path), "wb"), BUFFER)
            self._writer = pq.ParquetWriter(
                self._stream,
                ENCODED,
                compression="none",
                use_dictionary=_DICTIONARY_COLUMNS,
                write_statistics=False,
                store_schema=False,
            )
            self._files += 1
            self._counts.files += 1
        self._writer.write_table(rows)
        self._rows += rows.num_rows
        self._counts.landed += rows.num_rows

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._stream.close()
            self._writer, self._rows = None, 0
            _date(self._path, self._hour)


def _date(path: Path, hour: datetime) -> None:
    # A file's time decides which copy of an event counts. So it is the end of its hour, whenever this ran.
    moment = (hour + timedelta(minutes=59)).timestamp()
    os.utime(path, (moment, moment))
