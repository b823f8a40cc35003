"""A block as Arrow columns of the contract of ``events_parquet`` (docs/sources.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feedmill.simulate.hour import SECONDS_APART_US, Block, Ints
from feedmill.simulate.product import COUNTRIES, DEVICES, EXPERIMENTS, MODELS, SURFACES, TYPES
from feedmill.simulate.world import World

SCHEMA = pa.schema(
    {
        "event_id": pa.string(),
        "event_time": pa.timestamp("us", tz="UTC"),
        "event_types": pa.list_(pa.string()),
        "user_id": pa.string(),
        "item_id": pa.string(),
        "request_id": pa.string(),
        "position": pa.int32(),
        "surface": pa.string(),
        "model_id": pa.string(),
        "experiment_id": pa.string(),
        "variant": pa.string(),
        "device_class": pa.string(),
        "country": pa.string(),
        "duration_ms": pa.int64(),
        "revenue_micros": pa.int64(),
    }
)
"""The rows as they are read."""

_REPEATED = ("user_id", "item_id", "request_id", "surface", "model_id", "experiment_id", "variant", "device_class")
DICTIONARIES = (*_REPEATED, "country")

ENCODED = pa.schema(
    [
        pa.field(field.name, pa.dictionary(pa.int32(), pa.string()))
        if field.name in DICTIONARIES
        else pa.field(field.name, pa.list_(pa.dictionary(pa.int8(), pa.string())))
        if field.name == "event_types"
        else field
        for field in SCHEMA
    ]
)
"""The rows as they are written. Repeated texts are dictionaries, which Parquet stores as they are."""

_HEX = np.frombuffer("".join(f"{number:04x}" for number in range(1 << 16)).encode(), dtype=np.uint32)
"""Four hexadecimal digits of each 16-bit number."""

_SURFACES = pa.array([surface.name for surface in SURFACES])
_MODELS = pa.array([model.name for model in MODELS])
_EXPERIMENTS = pa.array([experiment.name for experiment in EXPERIMENTS])
_VARIANTS = pa.array([variant for experiment in EXPERIMENTS for variant in experiment.variants])
_DEVICES = pa.array(DEVICES)
_COUNTRIES = pa.array([country.code for country in COUNTRIES])
_TYPES = pa.array(TYPES)
_POPCOUNT = np.array([bits.bit_count() for bits in range(1 << len(TYPES))], dtype=np.int32)


@dataclass(frozen=True)
class Strays:
    """Rows that belong into another file than that of their block's hour, by arrival hour; plain columns."""

    arrival: Ints
    """Hours from the simulation's start, ascending."""
    rows: pa.Table


@dataclass(frozen=True)
class Names:
    """The ids of users and items as text, in their order."""

    users: Any
    items: Any

    @classmethod
    def of(cls, world: World) -> Names:
        """``u0``, ``u1``, … and ``i0``, ``i1``, …"""
        return cls(_numbered("u", len(world.users)), _numbered("i", len(world.items)))


def columns(world: World, names: Names, block: Block) -> tuple[pa.Table, Strays]:
    """A block's rows: those that arrive in its hour, encoded, and all others."""
    requests, place = block.requests, block.request
    count = len(block)
    start = world.settings.start + timedelta(hours=block.hour)
    time = requests.time_us + _micros(start)
    serial = np.arange(count + len(block.records.row))
    ids = event_ids(block, serial)
    trial = requests.experiment >= 0
    repeated = place.astype(np.int32)
    main = pa.table(
        {
            "event_id": ids.slice(0, count),
            "event_time": pa.array(
                time.take(place) + block.position * SECONDS_APART_US, type=pa.timestamp("us", tz="UTC")
            ),
            "event_types": type_lists(block.bits),
            "user_id": _users(names, block),
            "item_id": _dictionary(block.item.astype(np.int32), names.items),
            "request_id": _dictionary(repeated, _request_ids(block)),
            "position": block.position.astype(np.int32),
            "surface": _by_request(requests.surface, place, _SURFACES),
            "model_id": _by_request(requests.model, place, _MODELS),
            "experiment_id": _by_request(requests.experiment, place, _EXPERIMENTS, trial),
            "variant": _by_request(requests.experiment * 2 + requests.arm, place, _VARIANTS, trial),
            "device_class": _by_request(requests.device, place, _DEVICES),
            "country": _by_request(requests.country, place, _COUNTRIES),
            "duration_ms": _values(block.duration_ms),
            "revenue_micros": _values(block.revenue_micros),
        },
        schema=ENCODED,
    )
    prompt = int(requests.shown[: np.searchsorted(requests.delay, 1)].sum())
    return main.slice(0, prompt), _strays(block, main, ids.slice(count), prompt)


def encoded(rows: pa.Table) -> pa.Table:
    """Plain rows as :data:`ENCODED`."""
    rows = rows.combine_chunks()
    values = {}
    for field in ENCODED:
        column = rows.column(field.name)
        chunk = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_dictionary(field.type):
            chunk = chunk.dictionary_encode()
        elif field.name == "event_types":
            chunk = pa.ListArray.from_arrays(
                chunk.offsets, chunk.values.dictionary_encode().cast(field.type.value_type)
            )
        values[field.name] = chunk
    return pa.table(values, schema=ENCODED)


def type_lists(bits: npt.NDArray[np.uint16]) -> Any:
    """The lists of types of rows' bits, in the order of the types."""
    lengths = _POPCOUNT.take(bits)
    offsets = np.zeros(len(bits) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    # Every list that is not written to below has the one type impression, which is 0.
    values = np.zeros(offsets[-1], dtype=np.int8)
    several = np.flatnonzero(bits != 1)
    rest, at = bits[several], offsets[:-1][several]
    for kind in range(len(TYPES)):
        has = rest & (1 << kind) > 0
        values[at[has]] = kind
        at = at + has
    return pa.ListArray.from_arrays(pa.array(offsets), pa.DictionaryArray.from_arrays(values, _TYPES, safe=False))


def event_ids(block: Block, serial: Ints) -> Any:
    """Twelve hexadecimal digits: hour, and the number within the hour."""
    number = serial + block.number * (1 << 19)
    words = np.empty((len(serial), 3), dtype=np.uint32)
    words[:, 0] = _HEX[block.hour]
    words[:, 1] = _HEX.take(number >> 16)
    words[:, 2] = _HEX.take(number & 0xFFFF)
    return _fixed(words)


def _request_ids(block: Block) -> Any:
    number = np.arange(len(block.requests)) + block.number * (1 << 14)
    words = np.empty((len(number), 3), dtype=np.uint32)
    words[:, 0] = _HEX[block.hour]
    words[:, 1] = _HEX.take(number >> 16)
    words[:, 2] = _HEX.take(number & 0xFFFF)
    return _fixed(words)


def _fixed(words: npt.NDArray[np.uint32]) -> Any:
    """Texts of equal length from their bytes."""
    width = words.shape[1] * 4
    offsets = np.arange(0, (len(words) + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(len(words), pa.py_buffer(offsets), pa.py_buffer(words))


def _users(names: Names, block: Block) -> Any:
    users, place = np.unique(block.requests.user, return_inverse=True)
    known = ~block.requests.anonymous
    return _by_request(place, block.request, names.users.take(pa.array(users)), known)


def _by_request(index: Ints, place: Ints, values: Any, valid: npt.NDArray[np.bool_] | None = None) -> Any:
    repeated = index.astype(np.int32).take(place)
    if valid is None:
        return _dictionary(repeated, values)
    return _dictionary(pa.array(repeated, mask=~valid.take(place)), values)


def _dictionary(index: Any, values: Any) -> Any:
    return pa.DictionaryArray.from_arrays(index, values, safe=False)


def _values(numbers: Ints) -> Any:
    return pa.array(numbers, mask=numbers < 0)


def _numbered(prefix: str, count: int) -> Any:
    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(np.arange(count)), pa.string()), "")


def _strays(block: Block, main: pa.Table, ids: Any, prompt: int) -> Strays:
    """Late impressions, engagement that is a record of its own, and second copies."""
    requests, records, copies = block.requests, block.records, block.copies
    own = block.hour + requests.delay
    followed = records.row
    happened = main.column("event_time").combine_chunks().cast(pa.int64()).to_numpy()
    time = happened[followed] + records.after_us
    start_us = int(happened[0] // 3_600_000_000) if len(happened) else 0
    passed = time // 3_600_000_000 - start_us
    follows = _plain(main.take(pa.array(followed)))
    for name, column in {
        "event_id": ids,
        "event_time": pa.array(time, type=SCHEMA.field("event_time").type),
        "event_types": type_lists(records.bits).cast(SCHEMA.field("event_types").type),
        "duration_ms": _values(records.duration_ms),
        "revenue_micros": _values(records.revenue_micros),
    }.items():
        follows = follows.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)
    again = _plain(main.take(pa.array(copies.row)))
    said = np.where(copies.disagrees, block.duration_ms[copies.row] + 1_000, block.duration_ms[copies.row])
    again = again.set_column(SCHEMA.get_field_index("duration_ms"), SCHEMA.field("duration_ms"), _values(said))
    arrival = np.concatenate(
        [
            own[block.request[prompt:]],
            np.maximum(own[block.request[followed]], block.hour + passed),
            own[block.request[copies.row]] + copies.delay,
        ]
    )
    order = np.argsort(arrival, kind="stable")
    rows = pa.concat_tables([_plain(main.slice(prompt)), follows, again]).combine_chunks()
    return Strays(arrival[order], rows.take(pa.array(order)))


def _plain(rows: pa.Table) -> pa.Table:
    return rows.cast(SCHEMA)


def _micros(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
