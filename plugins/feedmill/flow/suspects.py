"""Finding the files that make a build's read fail, so that they become defects and the rest is published (rule 6).

A file is to blame if it cannot be read alone, in a Spark session of its own, by the source's reader, while a good file
is read well in that session. Errors of memory, network, storage and server blame nobody
(:func:`feedmill.spark.failures.may_be_of_content`), and neither does a file that is gone or has changed.

**The good file** is written by Feedmill into the folder ``_feedmill`` of the landing zone, which discovery never looks
into. There it is read with the same credentials, from the same storage and by the same code as the file that is
suspected, so that whatever ails these ails the good file too. If Feedmill may not write there, rows that Spark makes
itself go through the source's reader instead: they prove that server and reader are well, and the bytes of the
suspected file, which are read again and compared with what was registered, prove that the storage is.

**How many reads.** A group of files that reads well is cleared at once. A group that fails is divided: first into the
file that Spark's message names, and the others; or else into halves. So one bad file among thousands costs a few reads.
:data:`READS` bounds them; if there are more bad files, those that were found become defects, and the next try goes on.
"""

from __future__ import annotations

import importlib
import logging
import re
import traceback
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import fsspec

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.flow.job import Job
from feedmill.flow.rows import frames
from feedmill.flow.rows.readers import Reader
from feedmill.freshness.identity import reader
from feedmill.landing.discover import verify
from feedmill.landing.shorten import WORK, Copies
from feedmill.ledger.models import File
from feedmill.ledger.quarantine import Defect
from feedmill.spark import session
from feedmill.spark.failures import may_be_of_content, root_cause
from feedmill.spark.pools import pool_of
from feedmill.spec import FileKind, Files, Source
from feedmill.timeline import HOUR

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

log = logging.getLogger(__name__)

READS = 300
"""Reads of one source's files in one try; a read of a small file takes about half a second."""

ALIKE = 3
"""So many files of a source that were read and that all fail in the same way accuse the reader."""

_DAMAGE = re.compile("compress|inflate|corrupt|checksum|frame|malformed|size is incorrect", re.IGNORECASE)
"""What codecs say of bytes that are not what they wrote."""

_SHOWN = 300
"""Characters of a reason."""


class ReaderSuspectedError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """All files of a source that were read fail in the same way: the reader is suspected, not the files."""


@dataclass
class Search:
    """A search for the files of one build that cannot be read."""

    job: Job
    read: Mapping[FileKind, Sequence[File]]
    """What the build read, by kind."""
    copies: Copies
    """From where it read them instead."""
    started: Callable[[str], None]
    """Called with the id of the Spark session, so that it can be interrupted."""

    def culprits(self, error: Exception) -> dict[str, Defect]:
        """The files that are to blame for the build's error, by path; none if it is not about a file.

        Raises:
            LandingError: a file is gone or has changed.
            ReaderSuspectedError: all files of a source fail alike.
            SparkUnavailableError: Spark died meanwhile.
        """
        intact = [file for files in self.read.values() for file in files if file.not_read is None]
        if not intact or not _about_reading(error) or not may_be_of_content(error):
            return {}
        log.warning("reading failed (%s): looking for the file that is to blame", root_cause(error))
        by_source: defaultdict[str, list[File]] = defaultdict(list)
        for file in intact:
            by_source[file.source].append(file)
        found: dict[str, Defect] = {}
        session_id = str(uuid.uuid4())
        self.started(session_id)
        with session.session_of(session_id, pool_of(self.job.table, self.job.span, datetime.now(UTC))) as spark:
            for name, files in sorted(by_source.items()):
                source = self.job.deployment.sources[name]
                identity = reader(name, self.job.deployment.project)
                found |= {path: Defect(why, identity) for path, why in self._of_source(spark, source, files).items()}
        return found

    def _of_source(self, spark: SparkSession, source: Source, files: list[File]) -> dict[str, str]:
        """Why files of a source cannot be read, by path.

        Raises:
            ReaderSuspectedError: all of them fail alike.
        """
        group = _Group(self.job, spark, source, files, self.copies)
        error = group.why(files)
        if error is None:
            return {}
        with _good_file(self.job, source) as good:
            if not group.reads_well(good):
                return {}
            group.divide(error)
            # The session must still be well after the last failure, too.
            if not group.reads_well(good):
                return {}
        if not group.bad:
            return {}
        # Bytes that are gone or changed meanwhile have a remedy of their own.
        verify(group.bad)
        reasons = {file.path: f"cannot be read by Spark: {reason}" for file, reason in group.bad.items()}
        if not group.cleared and len(group.bad) >= ALIKE and len({_shape(r) for r in group.bad.values()}) == 1:
            raise ReaderSuspectedError(
                f"the reader is suspected, not the files: all {len(group.bad)} files of {source.name} that were read "
                f"fail alike ({next(iter(group.bad.values()))})"
            )
        return reasons


@dataclass
class _Group:
    """Files of one source, and what reading them in one Spark session has shown."""

    job: Job
    spark: SparkSession
    source: Source
    files: list[File]
    copies: Copies
    bad: dict[File, str] = field(default_factory=dict)
    """Files that fail alone, with the reason."""
    cleared: int = 0
    """How many files were read well."""

    def why(self, files: list[File]) -> Exception | None:
        """The error of reading these files alone, if it may be due to what they hold; None if they can be read.

        Any other error is raised, so that nothing is concluded from it.
        """
        entry, as_it_arrived = Files(self.source.kind), Reader(self.job.table, self.job.span, "arrival_hour")
        sources = self.job.deployment.sources
        return _error_of(lambda: frames.records(self.spark, entry, as_it_arrived, files, sources, self.copies))

    def divide(self, first: Exception) -> None:
        """Find the files that fail alone, by dividing the groups that fail; ``first`` is the error of them all."""
        pending, reads = _divided(self.files, first), 0
        while pending and reads < READS:
            some, reads = pending.pop(), reads + 1
            error = self.why(some)
            if error is None:
                self.cleared += len(some)
            elif len(some) == 1:
                log.warning("%s cannot be read: %s", some[0].path, root_cause(error))
                self.bad[some[0]] = _plain(root_cause(error), some[0])
            else:
                pending += _divided(some, error)

    def reads_well(self, good: File | None) -> bool:
        """Whether the good file can be read, or if there is none, a row that comes from no file."""
        if good is not None:
            error = self.why([good])
        else:
            error = _error_of(lambda: _module(self.source).read(_row_of_nothing(self.spark, self.source)))
        if error is not None:
            log.warning("%s: a good file cannot be read either: %s", self.source.name, root_cause(error))
        return error is None


def _error_of(records: Callable[[], Any]) -> Exception | None:
    """The error of computing every column of every record, if it may be due to what a file holds."""
    try:
        records().write.format("noop").mode("overwrite").save()
    except Exception as error:
        if may_be_of_content(error):
            return error
        raise
    return None


def _about_reading(error: BaseException) -> bool:
    """Whether the error is Spark's, or came while the files' frames were made."""
    if any(kind.__module__.partition(".")[0] in ("pyspark", "py4j") for kind in type(error).__mro__):
        return True
    return any(frame.f_code is frames.records.__code__ for frame, _ in traceback.walk_tb(error.__traceback__))


def _divided(some: list[File], error: Exception) -> list[list[File]]:
    """The others, and last the file that the message names; if it names none, halves."""
    said = str(error)
    for place, file in enumerate(some):
        name = file.path.rpartition("/")[2]
        if name in said or quote(name) in said:
            return [part for part in (some[:place] + some[place + 1 :], [file]) if part]
    return [part for part in (some[len(some) // 2 :], some[: len(some) // 2]) if part]


def _plain(cause: str, file: File) -> str:
    """The cause as a reason in events.rejected shows it: without the file's own path, and not too long."""
    folder = file.path.rpartition("/")[0]
    text = cause.replace(file.path, "the file").replace(folder.replace(":///", ":/", 1), "").strip().rstrip(".")
    if _DAMAGE.search(text):
        text = f"its bytes are damaged ({text})"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _shape(reason: str) -> str:
    """A reason without what differs from file to file."""
    return re.sub(r"\d+|'[^']*'|[\w.%-]+\.(?:parquet|jsonl?|csv|gz)", "#", reason)


def _module(source: Source) -> Any:
    return importlib.import_module(f"include.spark.sources.{source.name}")


@contextmanager
def _good_file(job: Job, source: Source) -> Iterator[File | None]:
    """A small good file of the source in the landing zone; None if it cannot be written there."""
    fs, root = fsspec.core.url_to_fs(job.deployment.lake.landing)
    path = f"{root}/{WORK}/{uuid.uuid4().hex}{source.suffixes[0]}"
    try:
        fs.makedirs(f"{root}/{WORK}", exist_ok=True)
        fs.pipe_file(path, _good_bytes(source))
    except Exception as error:  # each storage has its own ways to say that it is read-only
        log.info("no good file can be written to %s (%s)", root, error)
        yield None
        return
    now = datetime.now(UTC)
    try:
        yield File(
            path=fs.unstrip_protocol(path),
            source=source.name,
            kind=source.kind,
            arrival_hour=HOUR.floor(now),
            size=0,
            etag="",
            received_at=now,
            number=0,
        )
    finally:
        with suppress(Exception):
            fs.rm_file(path)


def _good_bytes(source: Source) -> bytes:
    """One row that no source takes for a record: its reader must reject it, and must not fail on it."""
    if source.layout == "lines":
        text = b"{}\n"
        if not source.suffixes[0].endswith(".gz"):
            return text
        import gzip

        return gzip.compress(text)
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = BytesIO()
    pq.write_table(pa.table({"feedmill": ["a good file"]}), stream)
    return stream.getvalue()


def _row_of_nothing(spark: SparkSession, source: Source) -> Any:
    """One row as a source's reader receives it, from no file."""
    now = datetime.now(UTC)
    if source.layout == "lines":
        schema = "source_file string, file_name string, line bigint, received_at timestamp, arrival_hour timestamp"
        return spark.createDataFrame([("good", "good", 1, now, now, "{}")], f"{schema}, raw string")
    schema = "source_file string, file_name string, received_at timestamp, arrival_hour timestamp, line bigint"
    return spark.createDataFrame([("good", "good", now, now, 1)], schema)


def said_of(defects: Mapping[str, Defect]) -> str:
    """What a try that ended for these files leaves behind as its error."""
    first = next(iter(sorted(defects)))
    more = f" and {len(defects) - 1} more" if len(defects) > 1 else ""
    return f"the run began anew without {first}{more}: {defects[first].reason}"
