"""Events in Feedmill's own contract as JSON lines, one object per line: see docs/sources.md."""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame

from feedmill.spec import Source
from feedmill.timeline import HOUR
from include.spark.sources.contract import read_events, with_record
from include.spark.sources.rules import with_text

SOURCE = Source("events_jsonl", kind="events", suffixes=(".jsonl", ".json", ".jsonl.gz", ".json.gz"), layout="lines")

_EVENT_TIME = re.compile(rb'("event_time"\s*:\s*)("[^"\\]*"|-?\d+(?:\.0+)?)')
_ISO_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})([T ])(\d{2}:\d{2}(?::\d{2})?)(\.\d+)?(\s*(?:Z|[+-]\d{2}:?\d{2}))")


def read(rows: DataFrame) -> DataFrame:
    """The records of the lines, good and bad."""
    return read_events(with_record(with_text(rows)), SOURCE)


def span(path: Path) -> tuple[datetime, datetime]:
    """The first and the last event time of a file, in UTC.

    Raises:
        ValueError: no line of the file has a time that can be read.
    """
    times = [moment for line in _lines(path) if (moment := _time_of(line)) is not None]
    if not times:
        raise ValueError(f"{path} has no line with a readable event_time")
    return min(times), max(times)


def replay(path: Path, name: str, shift: timedelta) -> Iterator[tuple[datetime, str, bytes]]:
    """The file as it would have landed ``shift`` later: hour, file name and content for each event hour.

    Every byte but those of the time stays. A line without a readable time goes with the line before it, so
    that dirt lands too. The whole file is held in memory, since nothing says that its lines are in order.

    Raises:
        ValueError: ``shift`` is not made of whole seconds, or no line has a readable time.
    """
    _check_shift(shift)
    first, _ = span(path)
    hour = HOUR.floor(first + shift)
    lines: dict[datetime, list[bytes]] = defaultdict(list)
    for line in _lines(path):
        moment = _time_of(line)
        if moment is not None:
            hour = HOUR.floor(moment + shift)
            line = _moved(line, shift)
        lines[hour].append(line)
    yield from _files(lines, name)


def _files(lines: dict[datetime, list[bytes]], name: str) -> Iterator[tuple[datetime, str, bytes]]:
    for hour in sorted(lines):
        content = b"".join(lines[hour])
        yield hour, name, gzip.compress(content, mtime=0) if name.endswith(".gz") else content


def _check_shift(shift: timedelta) -> None:
    if shift % timedelta(seconds=1):
        raise ValueError(f"a file cannot be moved by {shift}: the shift must be whole seconds")


def _lines(path: Path) -> Iterable[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield from file


def _time_of(line: bytes) -> datetime | None:
    """The line's event time; null where the line is no JSON object or its time is not readable."""
    try:
        value = _object(line).get("event_time")
    except ValueError:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
        except (OverflowError, ValueError):
            return None
    if not isinstance(value, str) or not (parts := _ISO_TIME.fullmatch(value)):
        return None
    try:
        return datetime.fromisoformat(f"{parts[1]}T{parts[3]}{parts[5].strip()}").astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def _moved(line: bytes, shift: timedelta) -> bytes:
    """The line with its own event_time moved; a field of that name inside another object is left alone."""
    before = _object(line)
    for match in _EVENT_TIME.finditer(line):
        value = json.loads(match[2])
        moved = line[: match.start(2)] + json.dumps(_later(value, shift)).encode() + line[match.end(2) :]
        if _object(moved) == before | {"event_time": _later(value, shift)} and before["event_time"] == value:
            return moved
    return line


def _later(value: str | int | float, shift: timedelta) -> str | int | float:
    if not isinstance(value, str):
        return value + int(shift.total_seconds()) * 1000
    parts = _ISO_TIME.fullmatch(value)
    if parts is None:
        return value
    day, between, clock, fraction, zone = parts.groups(default="")
    moment = datetime.fromisoformat(f"{day}T{clock}") + shift
    return f"{moment:%Y-%m-%d}{between}{moment:%H:%M:%S}{fraction}{zone}"


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
