"""Lines that Spark must not see are cut in a copy: every other byte stays, and so does every line's number."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedmill.landing import shorten
from feedmill.landing.shorten import KEEP, WORK, Copies, remove_leftovers, shortened
from feedmill.ledger.models import File
from include.bounds import LINE_BYTES, MIB

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)
ROOM = 8
"""The bound of a line in the property below."""


def cut(content: bytes, sizes: Iterable[int] = ()) -> bytes:
    chunks, start = [], 0
    for size in sizes:
        chunks.append(content[start : start + size])
        start += size
    rest = content[start:]
    return b"".join(shorten.cut([*chunks, *(rest[at : at + ROOM] for at in range(0, len(rest), ROOM))]))


@given(
    st.lists(st.sampled_from([b"a", b" ", b"\r", b"\n", b"\xe2", b"abc", b"      ", b"xyzxyz"]), max_size=40),
    st.lists(st.integers(0, ROOM), max_size=20),
)
def test_however_the_file_comes_each_line_keeps_its_place_its_beginning_and_whether_it_says_anything(
    parts: list[bytes], sizes: list[int]
) -> None:
    content = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shorten, "LINE_BYTES", ROOM)
        found = cut(content, sizes)
    before, after = content.split(b"\n"), found.split(b"\n")
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        if len(old) <= ROOM:
            assert new == old
        else:
            assert new[:ROOM] == old[:ROOM]
            assert ROOM < len(new) < ROOM + 4
        assert bool(new.strip(b" \t\r")) == bool(old.strip(b" \t\r"))


def land(folder: Path, name: str, content: bytes, long_lines: int) -> File:
    path = folder / "landing/events_jsonl/2026-05-01T10" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return File(path=path.as_uri(), long_lines=long_lines)


def read(copies: Copies, file: File) -> bytes:
    path = Path(copies.urls[file.path].removeprefix("file://"))
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_only_what_needs_a_copy_has_one_and_only_while_it_is_read(tmp_path: Path) -> None:
    content = b"{}\n" + b"x" * 9 * MIB + b"\n{}\n"
    expected = b"{}\n" + b"x" * LINE_BYTES + "…\n{}\n".encode()
    plain, packed = land(tmp_path, "a.jsonl", content, 1), land(tmp_path, "b.jsonl.gz", gzip.compress(content, 1), 1)
    short, bad = land(tmp_path, "c.jsonl", b"{}\n", 0), land(tmp_path, "d.jsonl", content, 1)
    bad.disowned_by, bad.disowned_because = "Ada", "why not"
    with shortened(f"{tmp_path}/landing", [plain, packed, short, bad]) as copies:
        assert copies.urls.keys() == {plain.path, packed.path}
        assert read(copies, plain) == read(copies, packed) == expected
    assert list((tmp_path / "landing" / WORK).iterdir()) == []
    assert Path(plain.path.removeprefix("file://")).read_bytes() == content


def test_where_feedmill_may_not_write_the_file_is_not_read_and_says_why(tmp_path: Path) -> None:
    file = land(tmp_path, "a.jsonl", b"x" * 9 * MIB, 1)
    # The tests may run as root, whom no mode keeps out; a file in the folder's place does.
    (tmp_path / "landing" / WORK).write_text("")
    with shortened(f"{tmp_path}/landing", [file]) as copies:
        assert copies.urls == {}
        assert copies.unreadable == {
            file.path: "it has 1 lines of more than 4 MiB, and Feedmill may not write a copy without them to the "
            "folder _feedmill of the landing zone"
        }


def test_a_full_disk_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(shorten, "_copy", full)
    with (
        pytest.raises(OSError, match="No space left"),
        shortened(f"{tmp_path}", [File(path="file:///a", long_lines=1)]),
    ):
        raise AssertionError("nothing is read")


@pytest.mark.parametrize(
    "error", [PermissionError(13, "closed"), OSError(5, "no such server"), FileNotFoundError(2, "gone")]
)
def test_a_file_that_cannot_be_read_is_no_landing_zone_that_takes_no_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def closed(*_: object) -> None:
        raise error

    file = land(tmp_path, "a.jsonl", b"{}\n", 1)
    monkeypatch.setattr(shorten, "opened", closed)
    with pytest.raises(type(error)), shortened(f"{tmp_path}/landing", [file]):
        raise AssertionError("nothing is read")
    assert list((tmp_path / "landing" / WORK).iterdir()) == []


@pytest.mark.parametrize(("code", "refused"), [(403, True), (401, False), (429, False), (503, False)])
def test_only_a_bucket_s_refusal_means_that_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, refused: bool
) -> None:
    def answer(*_: object, **__: object) -> None:
        error = OSError("the bucket's answer")
        error.code = code  # type: ignore[attr-defined]
        raise error

    file = land(tmp_path, "a.jsonl", b"{}\n", 1)
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.pipe_file", answer)
    if refused:
        with shortened(f"{tmp_path}/landing", [file]) as copies:
            assert copies.unreadable.keys() == {file.path}
    else:
        with pytest.raises(OSError, match="the bucket's answer"), shortened(f"{tmp_path}/landing", [file]):
            raise AssertionError("nothing is read")


def test_what_a_killed_build_left_is_removed_once_no_build_can_be_reading_it(tmp_path: Path) -> None:
    old, new = tmp_path / WORK / "a/0.gz", tmp_path / WORK / "b/0"
    for path in (old, new):
        path.parent.mkdir(parents=True)
        path.write_text("left")
    moment = (NOW - KEEP - timedelta(hours=1)).timestamp()
    os.utime(old, (moment, moment))
    os.utime(new, (NOW.timestamp(), NOW.timestamp()))
    assert remove_leftovers(f"{tmp_path}", NOW) == "removed 1 files that killed builds left in the landing zone"
    assert (old.exists(), new.exists()) == (False, True)
    assert remove_leftovers(f"{tmp_path}/nowhere", NOW) == "removed 0 files that killed builds left in the landing zone"
