"""The totals that ``events.clean`` must have after a simulation, counted while it is generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feedmill.simulate.hour import Block, Ints
from feedmill.simulate.product import MODELS, SURFACES, TYPES
from feedmill.simulate.world import World

_CELLS = len(SURFACES) * len(MODELS)
_MEASURES = ("events", *TYPES, "duration_ms", "revenue_micros")
_EVENTS, _DURATION, _REVENUE = 0, len(TYPES) + 1, len(TYPES) + 2
_TYPES = slice(1, len(TYPES) + 1)
_REPORTED = (np.arange(1 << len(TYPES))[:, None] >> np.arange(len(TYPES))) & 1
"""For each row's bits, which types it reports."""


@dataclass
class Totals:
    """Sums over the first copies that landed before the end, by hour of event time, surface and model."""

    sums: npt.NDArray[np.int64]
    """Hour × cell × measure."""
    late: int = 0
    """First copies that landed in a later hour than their own."""

    @classmethod
    def of(cls, world: World) -> Totals:
        """Nothing yet."""
        return cls(np.zeros((world.settings.hours, _CELLS, len(_MEASURES)), dtype=np.int64))

    def add(self, block: Block) -> None:
        """Count a block."""
        hours = len(self.sums)
        requests, records = block.requests, block.records
        cell = requests.surface * len(MODELS) + requests.model
        landed = block.hour + requests.delay < hours
        here = self.sums[block.hour]
        shown = np.bincount(cell, requests.shown * landed, _CELLS).astype(np.int64)
        here[:, _EVENTS] += shown
        here[:, 1] += shown
        self.late += int((requests.shown * (landed & (requests.delay > 0))).sum())
        said = np.flatnonzero(block.bits != 1)
        said = said[landed[block.request[said]]]
        # Their impressions are counted above.
        self._add(
            np.full(len(said), block.hour),
            cell[block.request[said]],
            block.bits[said] & ~np.uint16(1),
            block.duration_ms[said],
            block.revenue_micros[said],
        )
        request = block.request[records.row]
        time = requests.time_us[request] + block.position[records.row] * 2_000_000 + records.after_us
        happened = block.hour + time // 3_600_000_000
        arrived = np.maximum(happened, block.hour + requests.delay[request])
        kept = arrived < hours
        self.late += int((kept & (arrived > happened)).sum())
        np.add.at(self.sums, (happened[kept], cell[request[kept]], np.full(int(kept.sum()), _EVENTS)), 1)
        self._add(
            happened[kept],
            cell[request[kept]],
            records.bits[kept],
            records.duration_ms[kept],
            records.revenue_micros[kept],
        )

    def _add(self, hour: Ints, cell: Ints, bits: npt.NDArray[np.uint16], duration: Ints, revenue: Ints) -> None:
        if not len(hour):
            return
        first = int(hour.min())
        hours = int(hour.max()) - first + 1
        place = (hour - first) * _CELLS + cell
        here = self.sums[first : first + hours]
        said = np.bincount(place << len(TYPES) | bits, minlength=hours * _CELLS << len(TYPES))
        here[:, :, _TYPES] += (said.reshape(hours, _CELLS, -1) @ _REPORTED).astype(np.int64)
        for measure, values in ((_DURATION, duration), (_REVENUE, revenue)):
            # Sums of a block stay below 2**53, where doubles are exact.
            found = np.bincount(place, np.maximum(values, 0), hours * _CELLS)
            here[:, :, measure] += found.astype(np.int64).reshape(hours, _CELLS)

    @property
    def events(self) -> int:
        """First copies that landed."""
        return int(self.sums[:, :, _EVENTS].sum())

    def by_type(self) -> dict[str, int]:
        """How many of them report each type."""
        return {kind: int(self.sums[:, :, 1 + number].sum()) for number, kind in enumerate(TYPES)}

    def table(self, world: World) -> pa.Table:
        """One row per hour, surface and model that has events."""
        hour, cell = np.nonzero(self.sums[:, :, _EVENTS])
        start = int(world.settings.start.timestamp())
        return pa.table(
            {
                "hour": pa.array((start + hour * 3600) * 1_000_000, pa.timestamp("us", tz="UTC")),
                "surface": pa.array([SURFACES[number // len(MODELS)].name for number in cell]),
                "model_id": pa.array([MODELS[number % len(MODELS)].name for number in cell]),
                **{name: _of(self.sums[hour, cell, number]) for number, name in enumerate(_MEASURES)},
            }
        )


def _of(numbers: Ints) -> Any:
    return pa.array(numbers, pa.int64())
