"""What ``events.clean`` must hold of a simulation, counted while it is generated."""

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


@dataclass
class Totals:
    """Sums over the first copies that landed before the end, by hour of event time, surface and model."""

    sums: npt.NDArray[np.int64]
    """Hour × cell × measure."""
    late: int = 0
    """First copies that landed in a later hour than they happened."""

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
        self._sum(happened[kept], cell[request][kept], _EVENTS, np.ones(int(kept.sum()), dtype=np.int64))
        self._add(
            happened[kept],
            cell[request][kept],
            records.bits[kept],
            records.duration_ms[kept],
            records.revenue_micros[kept],
        )

    def _add(self, hour: Ints, cell: Ints, bits: npt.NDArray[np.uint16], duration: Ints, revenue: Ints) -> None:
        for kind in range(len(TYPES)):
            self._sum(hour, cell, 1 + kind, (bits >> kind & 1).astype(np.int64))
        self._sum(hour, cell, _DURATION, np.maximum(duration, 0))
        self._sum(hour, cell, _REVENUE, np.maximum(revenue, 0))

    def _sum(self, hour: Ints, cell: Ints, measure: int, values: Ints) -> None:
        for moment in np.unique(hour):
            here = hour == moment
            # Sums of an hour stay below 2**53, where doubles are exact.
            found = np.bincount(cell[here], values[here], _CELLS)
            self.sums[moment, :, measure] += found.astype(np.int64)

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
