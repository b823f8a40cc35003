"""Rule 6: files are found once, judged as a whole, and never read after they changed."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import logging
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from feedmill.landing import discover as landing
from feedmill.landing.discover import LandingError, LandingUnavailableError, discover, landed, verify
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


fsspec.register_implementation("bucket", Bucket, clobber=True)


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
    look = landing._defect

    def replaced(*arguments: Any) -> str | None:
        path.with_name(".new").write_bytes(TEXT * 2)
        path.with_name(".new").rename(path)
        return look(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(landing, "_defect", replaced)
        assert found(tmp_path, ledger) == []
    (file,) = found(tmp_path, ledger)
    assert file.size == 2 * len(TEXT)
    verify([file])


@pytest.mark.parametrize("hour", ["2026-05-01", "2026-05-01T13:00", "2026-05-01T13+02:00", "today", "2026-05-01T25"])
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


def test_a_truncated_gzip_tells_after_which_line_it_ends(tmp_path: Path, ledger: Ledger) -> None:
    whole = gzip.compress(TEXT)
    reason = defect(tmp_path, ledger, whole[:-4], "a.jsonl.gz")
    assert reason == "truncated gzip: it ends after line 1000 without the closing checksum"


def test_a_gzip_cut_in_its_data_is_truncated(tmp_path: Path, ledger: Ledger) -> None:
    whole = gzip.compress(os.urandom(4000), compresslevel=0)
    reason = defect(tmp_path, ledger, whole[:2000], "a.jsonl.gz")
    assert reason is not None
    assert re.fullmatch(r"truncated gzip: it ends after line \d+ without the closing checksum", reason)


def test_a_gzip_with_a_wrong_checksum_or_rubbish_behind_it_is_broken(tmp_path: Path, ledger: Ledger) -> None:
    whole = bytearray(gzip.compress(TEXT))
    whole[-6] ^= 0xFF
    reason = defect(tmp_path, ledger, bytes(whole), "a.jsonl.gz")
    assert reason is not None
    assert reason.startswith("broken gzip after line ")
    assert "incorrect data check" in reason
    reason = defect(tmp_path, ledger, gzip.compress(TEXT) + b"rubbish", "b.jsonl.gz")
    assert reason is not None
    assert reason.startswith("broken gzip after line 1000: ")
    assert defect(tmp_path, ledger, b"no gzip at all", "c.jsonl.gz") is not None


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_gzip_members_one_behind_the_other_are_one_file(
    tmp_path: Path, ledger: Ledger, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "_CHUNK", chunk)
    member = gzip.compress(b"a\nb\n")
    assert defect(tmp_path, ledger, member * 3, "a.jsonl.gz") is None
    reason = defect(tmp_path, ledger, member * 2 + member[:-1], "b.jsonl.gz")
    assert reason == "truncated gzip: it ends after line 6 without the closing checksum"


def test_a_gzip_of_nothing_is_whole_and_an_empty_file_is_no_gzip(tmp_path: Path, ledger: Ledger) -> None:
    assert defect(tmp_path, ledger, gzip.compress(b""), "a.jsonl.gz") is None
    reason = defect(tmp_path, ledger, b"", "b.jsonl.gz")
    assert reason == "truncated gzip: it ends after line 0 without the closing checksum"
    assert defect(tmp_path, ledger, b"", "c.jsonl") is None


def test_a_parquet_file_without_its_footer_is_not_whole(tmp_path: Path, ledger: Ledger) -> None:
    path = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    whole = path.read_bytes()
    assert defect(tmp_path, ledger, whole, "a.parquet", "tables") is None
    for name, content in (("b", whole[:-10]), ("c", b""), ("d", b"PAR1 rubbish PAR1")):
        reason = defect(tmp_path, ledger, content, f"{name}.parquet", "tables")
        assert reason is not None
        assert reason.startswith("not a whole Parquet file: ")
        assert "\n" not in reason


def test_a_file_that_cannot_be_opened_stays_unregistered_and_is_named_while_the_others_are_found(
    tmp_path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    hour = put(tmp_path, TEXT).parent
    (hour / "folder.jsonl").symlink_to(tmp_path)
    (hour / "nowhere.jsonl").symlink_to(tmp_path / "later.jsonl")
    with caplog.at_level(logging.WARNING, "feedmill.landing.discover"):
        assert [Path(file.path).name for file in found(tmp_path, ledger)] == ["a.jsonl"]
    assert [record.getMessage() for record in caplog.records] == [
        f"file://{hour}/{name}.jsonl cannot be opened ({why}). It is not registered until it can"
        for name, why in (("folder", "Is a directory"), ("nowhere", "No such file or directory"))
    ]
    (tmp_path / "later.jsonl").write_bytes(TEXT)
    assert [Path(file.path).name for file in found(tmp_path, ledger)] == ["nowhere.jsonl"]


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


@pytest.mark.parametrize("name", ["two words.jsonl", "100%20.jsonl", "für.jsonl", "a[1].jsonl", "a#b?.jsonl"])
def test_a_name_is_registered_as_it_is_and_found_again(tmp_path: Path, ledger: Ledger, name: str) -> None:
    put(tmp_path, TEXT, name)
    (file,) = found(tmp_path, ledger)
    assert file.path.endswith(f"/{name}")
    verify([file])
    assert found(tmp_path, ledger) == []
