"""Rule 6: discovery costs what is new, and still finds every file."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import func, select, text, update

from feedmill.landing import discover as discovery
from feedmill.landing.discover import RECENT, SWEEP_BUCKET, SWEEP_DISK, discover, new_files
from feedmill.ledger.folders import GRAIN
from feedmill.ledger.models import File, Folder
from feedmill.ledger.store import Ledger
from feedmill.spec import Source
from feedmill.timeline import HOUR, hours

pytestmark = pytest.mark.rule(6)

LINES = Source("lines", kind="events", suffixes=(".jsonl",), layout="lines")
SOURCES = {LINES.name: LINES}
FIRST = datetime(2026, 5, 1, tzinfo=UTC)
NOW = datetime(2026, 5, 3, tzinfo=UTC)


class Flat(LocalFileSystem):
    """A bucket: it lists all objects below a prefix at once, and says nothing about folders."""

    protocol = "flat"
    requests: ClassVar[list[str]] = []

    def find(self, path: str, *_: Any, **__: Any) -> dict[str, Any]:
        self.requests.append(path)
        return {str(file): self.info(str(file)) for file in Path(path).rglob("*.jsonl")}


fsspec.register_implementation("flat", Flat, clobber=True)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that were listed on the disk."""
    names: list[str] = []
    scandir = os.scandir

    def noted(path: Any) -> Any:
        names.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    return names


def put(root: Path, hour: datetime | str, name: str = "a.jsonl") -> Path:
    path = root / "lines" / (hour if isinstance(hour, str) else HOUR.name_of(hour)) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{path}\n")
    return path


def look(root: Path, ledger: Ledger, *asked: datetime, protocol: str = "file", now: datetime = NOW) -> list[str]:
    found = discover(f"{protocol}://{root}", SOURCES, ["events"], ledger, now, asked)
    return [file.path.removeprefix(f"{protocol}://{root}/lines/") for file in found]


def pass_time(ledger: Ledger, by: timedelta = GRAIN) -> None:
    """As if all that was seen had been seen so much earlier."""
    with ledger.transaction() as session:
        session.execute(update(Folder).values(seen_at=Folder.seen_at - by))


def settle(root: Path, ledger: Ledger) -> None:
    """Look until the folders count as looked through."""
    look(root, ledger)
    pass_time(ledger)
    assert look(root, ledger) == []


def test_a_folder_that_has_not_changed_is_not_listed_again(tmp_path: Path, ledger: Ledger, listed: list[str]) -> None:
    for n in range(3):
        put(tmp_path, FIRST + hours(n))
    settle(tmp_path, ledger)
    listed.clear()
    assert look(tmp_path, ledger) == []
    assert listed == ["lines"]


def test_a_late_file_in_an_old_folder_is_found_at_the_next_look_and_only_its_folder_is_listed(
    tmp_path: Path, ledger: Ledger, listed: list[str]
) -> None:
    for n in range(3):
        put(tmp_path, FIRST + hours(n))
    settle(tmp_path, ledger)
    listed.clear()
    put(tmp_path, FIRST, "late.jsonl")
    assert look(tmp_path, ledger) == ["2026-05-01T00/late.jsonl"]
    assert listed == ["lines", "2026-05-01T00"]


def test_a_tool_that_sets_the_folder_s_time_back_hides_nothing(tmp_path: Path, ledger: Ledger) -> None:
    folder = put(tmp_path, FIRST).parent
    before = folder.stat()
    settle(tmp_path, ledger)
    put(tmp_path, FIRST, "late.jsonl")
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look(tmp_path, ledger) == ["2026-05-01T00/late.jsonl"]


def test_a_file_that_comes_at_the_tick_of_the_look_is_found(tmp_path: Path, ledger: Ledger) -> None:
    folder = put(tmp_path, FIRST).parent
    look(tmp_path, ledger)
    late = put(tmp_path, FIRST, "late.jsonl")
    state = folder.stat()
    with ledger.transaction() as session:  # the disk's clock did not move between the look and the file
        session.execute(
            update(Folder).where(Folder.stamp.is_not(None)).values(stamp=f"{state.st_mtime_ns} {state.st_ctime_ns}")
        )
    assert look(tmp_path, ledger) == [f"2026-05-01T00/{late.name}"]


def test_a_folder_is_listed_until_its_last_file_could_be_opened(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, FIRST)
    put(tmp_path, FIRST, "closed.jsonl")
    opened = discovery.opened

    def refused(fs: Any, path: str) -> Any:  # root, whom the tests may run as, reads other users' files
        if path.endswith("closed.jsonl"):
            raise PermissionError(13, "Permission denied", path)
        return opened(fs, path)

    with monkeypatch.context() as patch:
        patch.setattr(discovery, "opened", refused)
        settle(tmp_path, ledger)
    assert look(tmp_path, ledger) == ["2026-05-01T00/closed.jsonl"]


def test_the_hours_that_are_built_and_the_newest_are_listed_whatever_the_disk_says(
    tmp_path: Path, ledger: Ledger, listed: list[str]
) -> None:
    recent = NOW - RECENT + hours(1)
    for hour in (FIRST, FIRST + hours(1), recent, NOW + hours(1)):
        put(tmp_path, hour)
    settle(tmp_path, ledger)
    listed.clear()
    look(tmp_path, ledger, FIRST)
    assert listed == ["lines", *map(HOUR.name_of, (FIRST, recent, NOW + hours(1)))]


def test_a_disk_that_tells_nothing_of_a_file_is_listed_as_a_whole_once_a_day(tmp_path: Path, ledger: Ledger) -> None:
    folder = put(tmp_path, FIRST).parent
    settle(tmp_path, ledger)
    put(tmp_path, FIRST, "silent.jsonl")
    state = folder.stat()
    with ledger.transaction() as session:
        session.execute(
            update(Folder).where(Folder.stamp.is_not(None)).values(stamp=f"{state.st_mtime_ns} {state.st_ctime_ns}")
        )
    assert look(tmp_path, ledger) == []
    pass_time(ledger, SWEEP_DISK)
    assert look(tmp_path, ledger) == ["2026-05-01T00/silent.jsonl"]


def test_a_bucket_is_asked_for_the_newest_hours_and_once_an_hour_for_everything(tmp_path: Path, ledger: Ledger) -> None:
    for n in range(3):
        put(tmp_path, FIRST + hours(n))
    put(tmp_path, NOW)
    assert len(look(tmp_path, ledger, protocol="flat")) == 4
    Flat.requests.clear()
    put(tmp_path, FIRST, "late.jsonl")
    put(tmp_path, FIRST + hours(1), "asked.jsonl")
    put(tmp_path, NOW, "new.jsonl")
    found = look(tmp_path, ledger, FIRST + hours(1), protocol="flat")
    assert found == ["2026-05-01T01/asked.jsonl", "2026-05-03T00/new.jsonl"]
    assert [Path(path).name for path in Flat.requests] == ["2026-05-01T01", "2026-05-03T00"]
    pass_time(ledger, SWEEP_BUCKET)
    assert look(tmp_path, ledger, protocol="flat") == ["2026-05-01T00/late.jsonl"]


def test_a_misplaced_file_is_found_at_the_next_look_on_a_disk_and_in_a_bucket(tmp_path: Path, ledger: Ledger) -> None:
    for protocol in ("file", "flat"):
        root = tmp_path / protocol
        put(root, "today")
        put(root, "2026-05-01T00/deep")
        assert len(look(root, ledger, protocol=protocol)) == 2
        pass_time(ledger)
        look(root, ledger, protocol=protocol)
        put(root, "today", "b.jsonl")
        assert look(root, ledger, protocol=protocol) == ["today/b.jsonl"]
    put(tmp_path / "file", "2026-05-01T00/deep", "b.jsonl")
    assert look(tmp_path / "file", ledger) == ["2026-05-01T00/deep/b.jsonl"]


def test_a_look_that_finds_nothing_new_writes_nothing(tmp_path: Path, ledger: Ledger) -> None:
    put(tmp_path, FIRST)
    settle(tmp_path, ledger)
    written_by = text("SELECT url, xmin::text FROM folders ORDER BY url")
    with ledger.transaction() as session:
        before = session.execute(written_by).all()
    look(tmp_path, ledger)
    with ledger.transaction() as session:
        assert session.execute(written_by).all() == before


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_to_the_folders_a_look_leaves_no_file_unregistered(
    tmp_path: Path, ledger: Ledger, seed: int
) -> None:
    dice = random.Random(seed)
    places = [HOUR.name_of(FIRST + hours(n)) for n in range(4)] + ["today", "2026-05-01T00/deep", "."]
    for step in range(40):
        for _ in range(dice.randrange(4)):
            path = put(tmp_path, dice.choice(places), f"{dice.choice(('', '.'))}{step}-{dice.randrange(3)}.jsonl")
            match dice.randrange(4):
                case 0:
                    path.rename(path.with_name(f"renamed-{step}-{dice.randrange(99)}.jsonl"))
                case 1:
                    os.utime(path.parent, (1, 1))
                case 2:
                    path.parent.chmod(0o755)
        pass_time(ledger, timedelta(seconds=dice.choice((0, 3, 20))))
        look(tmp_path, ledger)
        assert new_files(tmp_path.as_uri(), SOURCES, ["events"], ledger) == []
    with ledger.transaction() as session:
        assert session.scalars(select(func.count()).select_from(File)).one() > 20
