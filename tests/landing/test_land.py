"""Landing: whole or not at all, never over another file, and a log of the past in its own hours."""

import errno
import gzip
import json
import os
import shutil
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feedmill.errors import Exit
from feedmill.landing.land import ArrivalError, ZoneError, land, shift
from include.spark.sources import SOURCES

NOW = datetime(2026, 5, 1, 13, 20, tzinfo=UTC)


@pytest.fixture
def zone(tmp_path):
    return tmp_path / "zone"


def put(zone, source, *paths, shift_to=None):
    sources = [source] if isinstance(source, str) else source
    return land(zone.as_uri(), SOURCES, sources, [Path(p) for p in paths], NOW, shift_to=shift_to)


def landed(zone):
    return sorted(str(path.relative_to(zone)) for path in zone.rglob("*") if path.is_file())


def events(path, *moments):
    lines = [json.dumps({"event_id": str(n), "event_time": moment}) for n, moment in enumerate(moments)]
    content = "".join(f"{line}\n" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_a_file_lands_in_the_present_hour(zone, tmp_path):
    (arrival,) = put(zone, "events_jsonl", events(tmp_path / "a.jsonl", "2026-05-01T13:00:00Z"))
    assert landed(zone) == ["events_jsonl/2026-05-01T13/a.jsonl"]
    assert (arrival.state, arrival.hour) == ("landed", datetime(2026, 5, 1, 13, tzinfo=UTC))


def test_a_name_may_be_as_long_as_the_disk_allows(zone, tmp_path):
    name = "ü" * 124 + ".jsonl"
    put(zone, "events_jsonl", events(tmp_path / name, "2026-05-01T13:00:00Z"))
    assert landed(zone) == [f"events_jsonl/2026-05-01T13/{name}"]


@pytest.mark.parametrize(
    "way",
    [
        "a file in its place",
        pytest.param("read-only", marks=pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")),
    ],
)
def test_a_zone_that_takes_no_file_is_told_with_the_way_out(zone, tmp_path, way):
    if way == "read-only":
        zone.mkdir(mode=0o500)
    else:
        zone.write_text("")
    path = events(tmp_path / "a.jsonl", "2026-05-01T13:00:00Z")
    for shift_to in (None, NOW):
        with pytest.raises(ZoneError, match=r"events_jsonl/2026-05-01T\d\d cannot be written: .*write access") as told:
            put(zone, "events_jsonl", path, shift_to=shift_to)
        assert "\n" not in str(told.value)
        assert told.value.code is Exit.UNREACHABLE


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file that opens and cannot be read")
def test_a_file_that_cannot_be_read_is_told_by_its_name(zone, tmp_path):
    path = tmp_path / "a.jsonl"
    path.symlink_to("/proc/self/mem")
    with pytest.raises(ArrivalError, match=r"a\.jsonl cannot be read: Input/output error"):
        put(zone, "events_jsonl", path)
    assert landed(zone) == []


def test_the_same_content_again_is_no_error(zone, tmp_path):
    path = events(tmp_path / "a.jsonl", "2026-05-01T13:00:00Z")
    put(zone, "events_jsonl", path)
    (arrival,) = put(zone, "events_jsonl", path)
    assert arrival.state == "already"
    assert landed(zone) == ["events_jsonl/2026-05-01T13/a.jsonl"]


def test_another_content_of_the_same_name_is_refused_and_the_old_one_stays(zone, tmp_path):
    path = events(tmp_path / "a.jsonl", "2026-05-01T13:00:00Z")
    put(zone, "events_jsonl", path)
    before = (zone / "events_jsonl/2026-05-01T13/a.jsonl").read_bytes()
    events(path, "2026-05-01T13:30:00Z")
    with pytest.raises(ArrivalError, match="already exists with other content"):
        put(zone, "events_jsonl", path)
    assert landed(zone) == ["events_jsonl/2026-05-01T13/a.jsonl"]
    assert (zone / landed(zone)[0]).read_bytes() == before


@pytest.mark.parametrize("same", [True, False])
def test_a_file_that_another_process_lands_at_the_same_moment_stays(zone, tmp_path, monkeypatch, same):
    path = events(tmp_path / "a.jsonl", "2026-05-01T13:00:00Z")
    final = zone / "events_jsonl/2026-05-01T13/a.jsonl"
    other = path.read_bytes() if same else b"of another process"

    def a_moment_later(step):
        def call(*args, **options):
            final.write_bytes(other)
            return step(*args, **options)

        return call

    # Whichever gives the file its name.
    for module, step in ((os, "link"), (os, "rename"), (shutil, "move")):
        monkeypatch.setattr(module, step, a_moment_later(getattr(module, step)))
    if same:
        assert [arrival.state for arrival in put(zone, "events_jsonl", path)] == ["already"]
    else:
        with pytest.raises(ArrivalError, match="already exists with other content"):
            put(zone, "events_jsonl", path)
    assert final.read_bytes() == other
    assert landed(zone) == ["events_jsonl/2026-05-01T13/a.jsonl"]


def test_a_disk_without_hard_links_takes_files_too(zone, tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    path = events(tmp_path / "a.jsonl", "2026-05-01T13:00:00Z")
    assert [put(zone, "events_jsonl", path)[0].state for _ in range(2)] == ["landed", "already"]
    assert landed(zone) == ["events_jsonl/2026-05-01T13/a.jsonl"]


def test_a_reader_sees_a_name_only_when_the_file_is_whole(zone, tmp_path, monkeypatch):
    from feedmill.landing import land as arrivals

    def broken(path):
        yield b"half"
        raise OSError("the disk is full")

    monkeypatch.setattr(arrivals, "_chunks", broken)
    with pytest.raises(ZoneError, match="disk is full"):
        put(zone, "events_jsonl", events(tmp_path / "a.jsonl", "2026-05-01T13:00:00Z"))
    assert landed(zone) == []


def test_a_folder_is_searched_for_the_sources_suffixes(zone, tmp_path):
    events(tmp_path / "in/deep/a.jsonl.gz", "2026-05-01T13:00:00Z")
    (tmp_path / "in/notes.txt").write_text("no")
    (tmp_path / "in/.hidden.jsonl").write_text("no")
    put(zone, "events_jsonl", tmp_path / "in")
    assert landed(zone) == ["events_jsonl/2026-05-01T13/a.jsonl.gz"]


@pytest.mark.parametrize(
    ("source", "name", "sentence"),
    [
        ("nope", "a.jsonl", "there is no source 'nope'; there are events_jsonl, events_parquet"),
        ("events_jsonl", "missing.jsonl", "missing.jsonl does not exist"),
        ("events_jsonl", "a.csv", "events_jsonl takes .jsonl, .json"),
        ("events_jsonl", "empty", "has no file for events_jsonl"),
        ("events_jsonl", "_a.jsonl", "files whose name starts with a dot or an underscore are not read"),
        ("events_jsonl", "broken.zip", "cannot be read as an archive"),
        ("open_bandit", "a.csv", "cannot take .*says no policy and campaign"),
    ],
)
def test_what_cannot_land_is_named(zone, tmp_path, source, name, sentence):
    (tmp_path / "empty").mkdir()
    for present in ("a.jsonl", "a.csv", "_a.jsonl", "broken.zip"):
        (tmp_path / present).write_text("{}")
    with pytest.raises(ArrivalError, match=sentence):
        put(zone, source, tmp_path / name)
    assert landed(zone) == []


def test_two_given_files_of_one_name_are_refused_before_any_lands(zone, tmp_path):
    one = events(tmp_path / "one/a.jsonl", "2026-05-01T13:00:00Z")
    other = events(tmp_path / "two/a.jsonl", "2026-05-01T13:00:00Z")
    with pytest.raises(ArrivalError, match=r"would both land as a\.jsonl"):
        put(zone, "events_jsonl", one, other)
    assert landed(zone) == []


def test_a_shift_moves_the_end_of_the_last_hour_of_all_spans():
    first = (datetime(2019, 11, 24, 0, 5, tzinfo=UTC), datetime(2019, 11, 30, 23, 59, tzinfo=UTC))
    second = (datetime(2019, 11, 24, 0, 5, tzinfo=UTC), datetime(2019, 11, 30, 20, 0, tzinfo=UTC))
    end = datetime(2026, 5, 1, tzinfo=UTC)
    assert end - shift([first, second], end) == datetime(2019, 12, 1, tzinfo=UTC)


def test_a_shift_is_whole_hours_where_the_last_event_is_on_the_hour():
    moment = datetime(2019, 11, 30, 23, 0, tzinfo=UTC)
    assert shift([(moment, moment)], datetime(2026, 5, 1, tzinfo=UTC)) % timedelta(hours=1) == timedelta(0)


def test_a_replayed_log_lands_each_hour_in_its_own(zone, tmp_path):
    early = events(tmp_path / "early.jsonl", "2019-11-24T00:10:00Z", "2019-11-24T01:20:00Z")
    late = events(tmp_path / "late.jsonl", "2019-11-24T02:59:59Z")
    put(zone, "events_jsonl", early, late, shift_to=NOW)
    assert landed(zone) == [
        "events_jsonl/2026-05-01T10/early.jsonl",
        "events_jsonl/2026-05-01T11/early.jsonl",
        "events_jsonl/2026-05-01T12/late.jsonl",
    ]
    assert '"2026-05-01T12:59:59Z"' in (zone / landed(zone)[2]).read_text()


def test_a_source_without_replay_says_so(zone, tmp_path):
    (tmp_path / "i.jsonl").write_text("{}")
    with pytest.raises(ArrivalError, match=r"items_jsonl cannot be replayed.*without --shift-to"):
        put(zone, "items_jsonl", tmp_path / "i.jsonl", shift_to=NOW)


@pytest.fixture
def wheel(tmp_path):
    """An archive with the layout of the published one, a row or two per file."""
    path = tmp_path / "obp-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for policy in ("bts", "random"):
            folder = f"obp/dataset/obd/{policy}/men"
            packed.writestr(
                f"{folder}/men.csv",
                ",timestamp,item_id\n0,2019-11-24 00:00:01.5+00:00,1,1,0\n1,2019-11-24 02:10:00+00:00,2,1,0\n",
            )
            packed.writestr(f"{folder}/item_context.csv", f",item_id,item_feature_0\n0,0,{policy}\n")
        packed.writestr("obp/dataset/synthetic.py", "no")
    return path


def test_logs_of_an_archive_land_by_policy_and_campaign(zone, wheel):
    put(zone, "open_bandit", wheel, shift_to=NOW)
    assert landed(zone) == [
        f"open_bandit/2026-05-01T{hour}/{policy}-men.csv" for hour in ("10", "12") for policy in ("bts", "random")
    ]


def test_items_land_in_the_first_hour_of_the_events_given_with_them(zone, wheel):
    put(zone, ["open_bandit_items", "open_bandit"], wheel, shift_to=NOW)
    (path,) = [name for name in landed(zone) if "items" in name]
    assert path == "open_bandit_items/2026-05-01T10/men.csv"
    assert "random" in (zone / path).read_text()


def test_items_alone_land_in_the_named_hour(zone, wheel):
    put(zone, "open_bandit_items", wheel, shift_to=NOW)
    assert landed(zone) == ["open_bandit_items/2026-05-01T13/men.csv"]
