"""Rule 6: files are found once, judged as a whole, and never read after they changed."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import logging
import os
import socket
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from feedmill.landing import discover as landing
from feedmill.landing.discover import LandingError, discover, landed, verify
from feedmill.landing.listing import LandingUnavailableError
from feedmill.ledger.models import File
from feedmill.ledger.store import Ledger
from feedmill.spec import Source
from feedmill.timeline import HOUR as HOURS

pytestmark = pytest.mark.rule(6)

LINES = Source("lines", kind="events", suffixes=(".jsonl", ".jsonl.gz"), layout="lines")
TABLES = Source("tables", kind="events", suffixes=(".parquet",), layout="parquet")
ITEMS = Source("items", kind="items", suffixes=(".jsonl",), layout="lines")
SOURCES = {source.name: source for source in (LINES, TABLES, ITEMS)}
NOW = datetime(2026, 5, 2, 9, tzinfo=UTC)
HOUR = "2026-05-01T13"
TEXT = b'{"a": 1}\n' * 1000


class Bucket(LocalFileSystem):
    """A storage that tells digests as GCS does, an etag of the upload and one of the content, and has its faults."""

    protocol = "bucket"
    fault: ClassVar[OSError | None] = None

    def info(self, path: Any, **options: Any) -> dict[str, Any]:
        told: dict[str, Any] = super().info(path, **options)
        if told["type"] == "file":
            content = hashlib.md5(Path(told["name"]).read_bytes()).hexdigest()
            told |= {"etag": f"uploaded {told['mtime']}", "md5Hash": content}
        return told

    def _open(self, *where: Any, **options: Any) -> Any:
        if self.fault is not None:
            raise self.fault
        return super()._open(*where, **options)


class Store(MemoryFileSystem):
    """An object store: keys may be anything, and no folder exists."""

    protocol = "store"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("store://").strip("/")

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        told: dict[str, Any] = super().info(path, **options)
        return told | {"updated": "2026-05-01T13:00:00Z"}

    def find(self, path: str, **_: Any) -> dict[str, Any]:
        below = self._strip_protocol(path)
        return {key: self.info(key) for key in sorted(self.store) if key.startswith(f"{below}/")}


fsspec.register_implementation("bucket", Bucket, clobber=True)
fsspec.register_implementation("store", Store, clobber=True)


def in_bucket(root: Path, ledger: Ledger) -> list[File]:
    return discover(f"bucket://{root}", SOURCES, ["events"], ledger, NOW)


def put(root: Path, content: bytes, name: str = "a.jsonl", source: str = "lines", hour: str = HOUR) -> Path:
    path = root / source / hour / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def found(root: Path, ledger: Ledger, *kinds: str) -> list[File]:
    return discover(root.as_uri(), SOURCES, kinds or ("events",), ledger, NOW)  # type: ignore[arg-type]


def defect(root: Path, ledger: Ledger, content: bytes, name: str, source: str = "lines") -> str | None:
    put(root, content, name, source)
    (file,) = found(root, ledger)
    return file.defect


def test_a_file_is_registered_once_with_what_the_storage_says(tmp_path: Path, ledger: Ledger) -> None:
    path = put(tmp_path, TEXT)
    os.utime(path, (1_777_000_000, 1_777_000_000))
    (file,) = found(tmp_path, ledger)
    assert (file.path, file.source, file.kind, file.size, file.defect) == (
        f"file://{path}",
        "lines",
        "events",
        len(TEXT),
        None,
    )
    assert file.arrival_hour == datetime(2026, 5, 1, 13, tzinfo=UTC)
    assert file.received_at == datetime.fromtimestamp(1_777_000_000, UTC)
    assert found(tmp_path, ledger) == []
    verify([file])


def test_only_the_kinds_that_are_asked_for_are_found(tmp_path: Path, ledger: Ledger) -> None:
    put(tmp_path, TEXT)
    put(tmp_path, TEXT, source="items")
    assert [file.source for file in found(tmp_path, ledger, "items")] == ["items"]
    assert [file.source for file in found(tmp_path, ledger, "events", "items")] == ["lines"]


def test_names_that_start_with_a_dot_or_an_underscore_are_not_there_yet(tmp_path: Path, ledger: Ledger) -> None:
    put(tmp_path, TEXT, ".a.jsonl.tmp")
    put(tmp_path, TEXT, "_SUCCESS")
    put(tmp_path, TEXT, hour="_temporary")
    put(tmp_path, TEXT, hour=".staging")
    assert found(tmp_path, ledger) == []
    (tmp_path / "lines" / HOUR / ".a.jsonl.tmp").rename(tmp_path / "lines" / HOUR / "a.jsonl")
    assert [Path(file.path).name for file in found(tmp_path, ledger)] == ["a.jsonl"]


def test_a_landing_zone_that_is_not_there_has_no_files(tmp_path: Path, ledger: Ledger) -> None:
    assert found(tmp_path / "nothing", ledger) == []


def test_a_zone_that_went_after_files_were_registered_is_not_an_empty_one(tmp_path: Path, ledger: Ledger) -> None:
    put(tmp_path, TEXT)
    assert len(found(tmp_path, ledger)) == 1
    (tmp_path / "lines").rename(tmp_path / "unmounted")
    with pytest.raises(LandingUnavailableError, match=r"/lines is gone, but files were registered from it\. Is"):
        found(tmp_path, ledger)
    (tmp_path / "lines").mkdir()
    assert found(tmp_path, ledger) == []


@pytest.mark.parametrize("fault", [errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    closed = put(tmp_path, TEXT).parent
    put(tmp_path, TEXT, hour="2026-05-01T14")
    scandir = os.scandir

    def listed(path: Any) -> Any:
        if str(path) == str(closed):  # root, whom the tests may run as, lists other users' folders
            raise OSError(fault, os.strerror(fault), str(path))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", listed)
        with pytest.raises(LandingUnavailableError, match=f"{HOUR} cannot be listed: {os.strerror(fault)}"):
            found(tmp_path, ledger)
        with pytest.raises(LandingUnavailableError):
            landed(tmp_path.as_uri(), SOURCES.values())
    assert len(found(tmp_path, ledger)) == 2


def test_a_hidden_folder_is_not_even_listed(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, TEXT)
    closed = put(tmp_path, TEXT, hour=".snapshot").parent
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: 1 / 0 if str(path) == str(closed) else scandir(path))
    assert len(found(tmp_path, ledger)) == 1


def test_another_zone_and_a_bucket_may_be_empty(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "old", TEXT)
    assert len(found(tmp_path / "old", ledger)) == 1
    assert found(tmp_path / "new", ledger) == []
    assert len(in_bucket(tmp_path / "old", ledger)) == 1
    path.unlink()
    monkeypatch.setattr(Bucket, "find", lambda *_, **__: {})
    assert in_bucket(tmp_path / "old", ledger) == [], "where its last object went, a bucket has no folder"


def test_a_folder_s_own_object_in_a_bucket_is_no_file(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, TEXT)

    def flat(bucket: Bucket, path: str, **_: Any) -> dict[str, Any]:
        own = {"type": "file", "size": 0, "mtime": 0.0}
        found = {str(file): bucket.info(str(file)) for file in Path(path).rglob("*.jsonl")}
        return {f"{path}/": own, f"{path}/{HOUR}/": own, **found}

    monkeypatch.setattr(Bucket, "find", flat)
    assert [Path(file.path).name for file in in_bucket(tmp_path, ledger)] == ["a.jsonl"]


def test_a_file_that_is_replaced_while_it_is_looked_at_is_registered_as_what_it_became(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, TEXT)
    look = landing.look

    def replaced(*arguments: Any) -> Any:
        path.with_name(".new").write_bytes(TEXT * 2)
        path.with_name(".new").rename(path)
        return look(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(landing, "look", replaced)
        assert found(tmp_path, ledger) == []
    (file,) = found(tmp_path, ledger)
    assert file.size == 2 * len(TEXT)
    verify([file])


NO_HOURS = ["2026-05-01", "2026-05-01T13:00", "2026-05-01T13+02:00", "today", "2026-05-01T25"]
NO_HOURS += ["9999-12-31T23", "2200-01-01T00", "1999-12-31T23", "1000-01-01T00", "0001-01-01T00"]


@pytest.mark.parametrize("hour", NO_HOURS)
def test_a_folder_that_names_no_hour_costs_no_build_and_its_files_are_defects_of_the_open_hour(
    tmp_path: Path, ledger: Ledger, hour: str
) -> None:
    put(tmp_path, TEXT, hour=hour)
    put(tmp_path, TEXT, "b.jsonl")
    placed, misplaced = found(tmp_path, ledger)
    assert (placed.defect, HOURS.name_of(placed.arrival_hour)) == (None, HOUR)
    assert misplaced.arrival_hour == NOW
    assert misplaced.defect == (
        f"not read: the folder 'lines/{hour}' is not named by an arrival hour, such as lines/2026-05-01T13; "
        "move the file, or land it with feedmill land --source lines"
    )


def test_a_file_beside_the_folders_or_below_one_is_a_defect_too(tmp_path: Path, ledger: Ledger) -> None:
    put(tmp_path, TEXT, hour=f"{HOUR}/part")
    put(tmp_path, TEXT, hour=".")
    put(tmp_path, TEXT, hour=f"part/{HOUR}")
    said = [str(file.defect).partition(" is not ")[0] for file in found(tmp_path, ledger)]
    folders = ("lines", f"lines/{HOUR}/part", f"lines/part/{HOUR}")
    assert sorted(said) == [f"not read: the folder {name!r}" for name in folders]


def test_a_misplaced_file_that_is_moved_is_landed_and_nobody_misses_it_where_it_was(
    tmp_path: Path, ledger: Ledger
) -> None:
    path = put(tmp_path, TEXT, hour="today")
    (misplaced,) = found(tmp_path, ledger)
    moved = put(tmp_path, b"")
    path.replace(moved)
    verify([misplaced])
    (file,) = found(tmp_path, ledger)
    assert (file.path, file.defect, HOURS.name_of(file.arrival_hour)) == (f"file://{moved}", None, HOUR)


def test_only_regular_files_are_read_whatever_else_lies_there(
    tmp_path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    zone, outside = tmp_path / "zone", tmp_path / "outside"
    hour = put(zone, TEXT).parent
    put(outside, TEXT, "secret.jsonl")
    (hour / "inside.jsonl").symlink_to(hour / "a.jsonl")
    (hour / "nowhere.jsonl").symlink_to(hour / "later.jsonl")
    (hour / "out.jsonl").symlink_to(outside / "lines" / HOUR / "secret.jsonl")
    (hour / "round.jsonl").symlink_to(hour / "round.jsonl")
    (hour / "folder.jsonl").symlink_to(outside)
    (hour.parent / "2026-05-01T14").symlink_to(outside / "lines" / HOUR)
    (hour.parent / "2026-05-01T15").symlink_to(hour.parent)
    (zone / "tables").symlink_to(outside / "lines")
    os.mkfifo(hour / "pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(hour)  # the path of a socket may be 107 bytes long
        try:
            listening.bind("socket.jsonl")
        finally:
            os.chdir(here)
    with caplog.at_level(logging.WARNING, "feedmill.landing.discover"):
        assert [Path(file.path).name for file in found(zone, ledger)] == ["a.jsonl"]
    links = ["inside.jsonl", "nowhere.jsonl", "out.jsonl", "round.jsonl", "folder.jsonl"]
    expected = {f"file://{hour}/{name}": "a link" for name in links}
    expected |= {f"file://{hour.parent}/2026-05-01T{number}": "a link" for number in (14, 15)}
    expected |= {f"file://{hour}/pipe.jsonl": "a pipe", f"file://{hour}/socket.jsonl": "a socket"}
    expected |= {f"file://{zone}/tables": "a link"}
    assert landing.odd(zone.as_uri(), [LINES, TABLES]) == expected
    assert {record.getMessage() for record in caplog.records} == {
        f"{url} is {what}. Nothing of it is read" for url, what in expected.items()
    }


def test_what_becomes_a_link_or_a_pipe_after_it_was_listed_is_not_opened(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = put(tmp_path, TEXT)
    (tmp_path / "secret").write_bytes(TEXT)
    told = landing._told
    makers: list[Callable[[], None]] = [lambda: path.symlink_to(tmp_path / "secret"), lambda: os.mkfifo(path)]
    for make in makers:

        def replaced(info: dict[str, Any], make: Callable[[], None] = make) -> list[str]:
            path.unlink()
            make()
            return told(info)

        with monkeypatch.context() as patch:
            patch.setattr(landing, "_told", replaced)
            assert found(tmp_path, ledger) == []
        path.unlink()
        put(tmp_path, TEXT)
    assert [record.getMessage().partition("(")[2] for record in caplog.records] == [
        "it is a link). It is not registered until it can",
        "it is a pipe). It is not registered until it can",
    ]
    (file,) = found(tmp_path, ledger)
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(LandingError, match="changed after it was registered"):
        verify([file])


def test_the_landing_zone_itself_may_be_reached_by_a_link(tmp_path: Path, ledger: Ledger) -> None:
    put(tmp_path / "zone", TEXT)
    (tmp_path / "by-link").symlink_to(tmp_path / "zone")
    assert len(found(tmp_path / "by-link", ledger)) == 1


def test_a_folder_below_an_hour_may_be_as_deep_and_as_closed_as_it_likes(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = put(tmp_path, TEXT).parent
    here = Path.cwd()
    try:
        os.chdir(hour)
        for _ in range(1400):  # far longer than a path may be
            Path("dd").mkdir()
            os.chdir("dd")
        Path("deep.jsonl").write_bytes(TEXT)
    finally:
        os.chdir(here)
    closed = put(tmp_path, TEXT, hour="lost+found").parent
    scandir = os.scandir

    def listed(path: Any) -> Any:
        if str(path) == str(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", listed)
    assert [Path(file.path).name for file in found(tmp_path, ledger)] == ["a.jsonl"]
    said = landing.odd(tmp_path.as_uri(), [LINES])
    assert sorted(said.values()) == [
        "a folder that cannot be listed (File name too long)",
        "a folder that cannot be listed (Permission denied)",
    ]
    subprocess.run(["rm", "-rf", hour / "dd"], check=True)


def test_a_time_that_no_calendar_has_fails_no_discovery(tmp_path: Path, ledger: Ledger) -> None:
    ages = {"a.jsonl": -(2**62), "b.jsonl": 2**62, "c.jsonl": 1_777_000_000}
    for name in ages:
        put(tmp_path, TEXT, name)
    listed = LocalFileSystem.info

    def info(fs: LocalFileSystem, path: Any, **options: Any) -> dict[str, Any]:
        told: dict[str, Any] = listed(fs, path, **options)
        return told | {"mtime": ages.get(Path(told["name"]).name, told["mtime"])}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalFileSystem, "info", info)
        years = [file.received_at.year for file in found(tmp_path, ledger)]
    assert years == [1970, 2199, 2026]


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied"), FileNotFoundError("a.parquet")])
def test_a_file_of_another_user_or_one_that_went_after_it_was_listed_fails_no_discovery(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    put(tmp_path, b"not read", "a.parquet", "tables")
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "fault", fault)  # root, whom the tests may run as, reads other users' files
        assert in_bucket(tmp_path, ledger) == []
    assert len(in_bucket(tmp_path, ledger)) == 1


@pytest.mark.parametrize("fault", [ConnectionError("reset"), TimeoutError("silence"), OSError("Forbidden")])
@pytest.mark.parametrize(("name", "source"), [("a.parquet", "tables"), ("a.jsonl.gz", "lines")])
def test_a_fault_of_the_storage_fails_the_discovery_and_is_no_defect_of_the_file(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, name: str, source: str, fault: OSError
) -> None:
    table = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), table)
    put(tmp_path, table.getvalue() if source == "tables" else gzip.compress(TEXT), name, source)
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "fault", fault)
        with pytest.raises(type(fault), match=str(fault)):
            in_bucket(tmp_path, ledger)
    (file,) = in_bucket(tmp_path, ledger)
    assert file.defect is None


def test_a_suffix_that_the_source_does_not_take_is_a_defect_and_not_a_silence(tmp_path: Path, ledger: Ledger) -> None:
    reason = defect(tmp_path, ledger, TEXT, "a.csv")
    assert reason == "lines takes .jsonl, .jsonl.gz files; this is a.csv"


def test_a_file_that_changed_after_it_was_registered_is_named_with_the_way_out(tmp_path: Path, ledger: Ledger) -> None:
    path = put(tmp_path, TEXT)
    (file,) = found(tmp_path, ledger)
    path.write_bytes(TEXT[:-3] + b"2}\n")
    with pytest.raises(LandingError, match=r"a\.jsonl changed after it was registered at .*Put the old file back"):
        verify([file])
    path.write_bytes(TEXT + b"\n")
    with pytest.raises(LandingError, match="changed after it was registered"):
        verify([file])
    path.write_bytes(TEXT)
    verify([file])  # the same bytes, another time: nothing has changed
    path.unlink()
    with pytest.raises(LandingError, match=r"a\.jsonl was registered at .* and is gone; put it back"):
        verify([file])


def test_a_file_that_was_put_back_is_unchanged_although_the_storage_gives_it_another_etag(
    tmp_path: Path, ledger: Ledger
) -> None:
    path = put(tmp_path, TEXT)
    (file,) = in_bucket(tmp_path, ledger)
    path.unlink()
    put(tmp_path, TEXT)
    os.utime(path, (1_777_000_000, 1_777_000_000))
    verify([file])
    path.write_bytes(TEXT[:-3] + b"2}\n")
    with pytest.raises(LandingError, match="changed after it was registered"):
        verify([file])


def test_a_file_whose_etag_was_registered_is_unchanged_as_long_as_it_has_it(tmp_path: Path, ledger: Ledger) -> None:
    path = put(tmp_path, TEXT)
    (file,) = in_bucket(tmp_path, ledger)
    file.etag = Bucket().info(str(path))["etag"]
    verify([file])
    os.utime(path, (1_777_000_000, 1_777_000_000))
    with pytest.raises(LandingError, match="changed after it was registered"):
        verify([file])


NAMES = (
    *("two words.jsonl", " a ", "100%20.jsonl", "für.jsonl", "fu\u0308r.jsonl", "a[1].jsonl", "a#b?.jsonl"),
    *("a::b.jsonl", "2026-05-01T13:00:00.jsonl", "new\nline.jsonl", "back\\slash.jsonl", "{a,b}*.jsonl", "~.jsonl"),
    *("\u202egnp.jsonl", "x" * 249 + ".jsonl", "memory:a.jsonl", "\x01\x7f.jsonl", "$HOME.jsonl", "a=b.jsonl"),
)


def test_any_name_is_registered_as_it_is_and_found_again(tmp_path: Path, ledger: Ledger) -> None:
    for name in NAMES:
        put(tmp_path, TEXT, name)
    files = found(tmp_path, ledger)
    assert sorted(file.path for file in files) == sorted(f"file://{tmp_path}/lines/{HOUR}/{name}" for name in NAMES)
    assert [file.path for file in files if file.defect] == [f"file://{tmp_path}/lines/{HOUR}/ a "]
    verify(files)
    assert found(tmp_path, ledger) == []
    assert {file.url for file in landed(tmp_path.as_uri(), [LINES])} == {file.path for file in files}


def test_a_name_that_is_not_utf8_is_rejected_by_name_and_all_others_land(tmp_path: Path, ledger: Ledger) -> None:
    hour = put(tmp_path, TEXT).parent
    put(tmp_path, TEXT, "caf\\xe9.jsonl")
    for name in (b"caf\xe9.jsonl", b"caf\xff.jsonl"):
        Path(os.fsdecode(os.fsencode(hour) + b"/" + name)).write_bytes(TEXT)
    folder = Path(os.fsdecode(os.fsencode(hour.parent) + b"/h\xe9ure"))
    folder.mkdir()
    (folder / "b.jsonl").write_bytes(TEXT)
    defects = {file.path: file.defect for file in found(tmp_path, ledger)}
    assert defects == {
        f"file://{hour}/a.jsonl": None,
        f"file://{hour}/caf\\xe9.jsonl": None,
        f"file://{hour}//caf\\xe9.jsonl": "the name is not UTF-8: 'caf\\xe9.jsonl'; rename the file",
        f"file://{hour}//caf\\xff.jsonl": "the name is not UTF-8: 'caf\\xff.jsonl'; rename the file",
        f"file://{hour.parent}/h\\xe9ure//b.jsonl": "the name is not UTF-8: 'b.jsonl'; rename the file",
    }
    assert found(tmp_path, ledger) == []
    assert {file.url for file in landed(tmp_path.as_uri(), [LINES])} == defects.keys()


def test_a_name_that_spark_cannot_find_is_rejected_by_name(tmp_path: Path, ledger: Ledger) -> None:
    for name in ("a:[b].jsonl", "13:00:00*.jsonl"):
        put(tmp_path, TEXT, name)
    assert [file.defect for file in found(tmp_path, ledger)] == [
        "Spark cannot find a name with a colon and one of *?[]{}\\; rename the file"
    ] * 2


def test_a_path_longer_than_the_ledger_can_hold_is_rejected_and_all_others_land(tmp_path: Path, ledger: Ledger) -> None:
    put(tmp_path, TEXT)
    folder = tmp_path / "lines"
    for _ in range(12):
        folder = folder / os.urandom(120).hex()
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name * 240}.jsonl").write_bytes(TEXT)
    files = found(tmp_path, ledger)
    assert [file.defect for file in files if file.defect] == [
        "the path is longer than 2000 bytes; move or rename the file"
    ] * 2
    assert len({file.path for file in files}) == 3
    assert found(tmp_path, ledger) == []


def test_in_a_bucket_any_name_but_one_with_two_slashes_is_read(ledger: Ledger) -> None:
    fs = Store()
    names = [name for name in NAMES if name != " a "]
    for name in (*names, "/two.jsonl"):
        key = f"/names/lines/{HOUR}/{name}"
        fs.store[key] = MemoryFile(fs, key, TEXT)
    files = discover("store://names", SOURCES, ["events"], ledger, NOW)
    by_name = {file.path.partition(f"{HOUR}/")[2]: file.defect for file in files}
    assert by_name == dict.fromkeys(names) | {
        "/two.jsonl": "Spark cannot find a name with two slashes in a row; rename the object"
    }
    verify(files)
    fs.store.clear()
