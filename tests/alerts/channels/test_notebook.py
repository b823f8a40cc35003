"""The channel of whoever has no account anywhere: a Markdown file."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from receiver_messages import NOTICE, PAGE, RESOLVE

from feedmill.alerts.channels.channel import Answer, Result
from feedmill.alerts.channels.notebook import Notebook


def test_each_message_is_appended_and_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "new" / "alerts.md"
    channel = Notebook("file", path)
    assert [channel.send(one) for one in (PAGE, RESOLVE, NOTICE)] == [Answer(Result.DELIVERED)] * 3
    text = path.read_text()
    assert re.findall(r"^## (\w+): (.+)$", text, re.MULTILINE) == [
        ("trigger", PAGE.summary),
        ("resolve", RESOLVE.summary),
        ("notice", NOTICE.summary),
    ]
    assert PAGE.body in text
    assert "- [Check page](https://airflow.example.com/pages/1)" in text
    assert not channel.keyed


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "alerts.md"
    Notebook("file", path).send(PAGE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_messages_of_several_writers_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "alerts.md"

    def write(number: int) -> Answer:
        return Notebook("file", path).send(replace(PAGE, body=f"{number:03}|" * 20_000))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(write, range(40))) == {Answer(Result.DELIVERED)}
    bodies = re.findall(r"^(?:\d{3}\|)+$", path.read_text(), re.MULTILINE)
    assert sorted(bodies) == [f"{number:03}|" * 20_000 for number in range(40)]


def test_a_full_disk_is_tried_again() -> None:
    answer = Notebook("file", Path("/dev/full")).send(PAGE)
    assert answer == Answer(Result.LATER, "/dev/full: No space left on device")


def test_a_path_that_can_never_be_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (tmp_path, file / "below"):
        assert Notebook("file", path).send(PAGE).result is Result.REFUSED


def test_a_half_of_a_surrogate_pair_keeps_no_message_back(tmp_path: Path) -> None:
    assert Notebook("file", tmp_path / "x").send(replace(PAGE, body="file \udcff")).result is Result.DELIVERED
