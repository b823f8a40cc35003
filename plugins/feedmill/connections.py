"""The connections of Feedmill, as Airflow knows them, readable with and without Airflow.

=====================  ==============================================================================
``feedmill_ledger``    PostgreSQL that holds the ledger
``iceberg_default``    the extra is the catalog's properties as PyIceberg takes them, and two of ours:
                       ``landing`` (URL of the landing zone) and ``pages`` (URL of the check pages)
``spark_default``      type ``spark_connect``: a Spark Connect server, with host, port, and the token as password;
                       type ``spark``: an application for each build, with the master as host (docs/runners.md)
``trino_default``      Trino
``feedmill_airflow``   Airflow's API, type ``http`` or ``https``, for what only Airflow knows; ``feedmill status``
                       works without it
``feedmill_alerts``    the maintainers' channel in the local stack, type ``file``: messages are appended to ``host``.
                       Others are named in ``include/maintainers.py``
``feedmill_heartbeat`` the URL of a dead-man's-switch service as password: it pages if ``feedmill watch`` dies
=====================  ==============================================================================

A connection is looked for in this order:

1. the environment, ``AIRFLOW_CONN_<ID>`` in JSON form, or in URI form inside an Airflow process;
2. Airflow's own store, inside an Airflow process only: importing Airflow takes seconds, which would make
   ``feedmill sql`` slow, and outside an Airflow process Airflow would create a new SQLite database;
3. the local stack: ``airflow_settings.yaml``, filled from the stack's environment file.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from feedmill import airflow_settings
from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.project import ProjectNotFoundError, home_path, project_path, stack_env

LEDGER = "feedmill_ledger"
ICEBERG = "iceberg_default"
SPARK = "spark_default"
TRINO = "trino_default"
AIRFLOW = "feedmill_airflow"
HEARTBEAT = "feedmill_heartbeat"

CATALOG = "feedmill"
"""The Iceberg catalog's name, the same in Spark, PyIceberg and Trino: a JDBC catalog keeps it in its rows."""

SPARK_CONNECT_TYPE = "spark_connect"
SPARK_SUBMIT_TYPE = "spark"
"""Airflow's own names for the two types of a Spark connection."""

LIBPQ = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "application_name"})
"""What the extra of a PostgreSQL connection may say; Airflow and libpq have the same names for it."""

OWN_PROPERTIES = ("landing", "pages")
"""Keys in the Iceberg connection's extra that belong to Feedmill, not to the catalog."""


class ConnectionNotDefinedError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """The connection is not defined, or one of its fields is missing or wrong; the message says what to set."""


@dataclass(frozen=True)
class Connection:
    """One connection; the fields are Airflow's."""

    conn_id: str
    conn_type: str
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    schema: str | None = None
    extra: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def sqlalchemy_url(self) -> str:
        """A URL for SQLAlchemy (and PyIceberg's SqlCatalog), password included: never log it.

        The extra may hold :data:`LIBPQ` parameters.

        Raises:
            ConnectionNotDefinedError: it holds another one. It is not ignored: it may be there to protect the password.
        """
        if unknown := self.extra.keys() - LIBPQ:
            raise ConnectionNotDefinedError(
                f"The extra of connection {self.conn_id} has {', '.join(map(repr, sorted(unknown)))}, which Feedmill "
                f"does not know. A PostgreSQL connection may have {', '.join(sorted(LIBPQ))}."
            )
        credentials = quote(self.login or "", safe="")
        if self.password is not None:
            credentials += ":" + quote(self.password, safe="")
        port = f":{self.port}" if self.port else ""
        query = f"?{urlencode(self.extra)}" if self.extra else ""
        return f"postgresql+psycopg2://{credentials}@{self.host}{port}/{self.schema or ''}{query}"

    @property
    def spark_url(self) -> str:
        """``sc://host:port/;token=…``, password included: never log it.

        Spark's client sends a token over plain text only to the host name ``localhost``. For ``127.0.0.1`` it
        switches to TLS and retries for ten minutes. A remote server needs TLS: ``use_ssl``.
        """
        host = "localhost" if self.host in (None, "", "127.0.0.1", "::1") else self.host
        options = {k: _word(v) for k, v in self.extra.items() if k != "ca_file"}
        if self.password:
            options["token"] = self.password
        parameters = "".join(f";{name}={quote(value, safe='')}" for name, value in options.items())
        return f"sc://{host}:{self.port or 15002}/{parameters}"

    @property
    def spark_master(self) -> str:
        """The master of a connection of type ``spark``, as Airflow's own hook reads it: host, and port if there is one.

        Raises:
            ConnectionNotDefinedError: there is none.
        """
        if not self.host:
            raise ConnectionNotDefinedError(
                f"Connection {self.conn_id} has no master. Set its host to one, such as local[2], yarn or spark://host."
            )
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def catalog_properties(self) -> dict[str, str]:
        """What ``load_catalog(CATALOG, **properties)`` of PyIceberg takes: the extra without our own keys."""
        properties = {k: str(v) for k, v in self.extra.items() if k not in OWN_PROPERTIES}
        if self.host:
            properties.setdefault("uri", self.host)
        return properties

    @property
    def landing(self) -> str:
        """URL of the landing zone; a path without scheme is a local one."""
        return self._own("landing")

    @property
    def pages(self) -> str:
        """URL of the folder that the check pages are written to."""
        return self._own("pages")

    def _own(self, name: str) -> str:
        value = self.extra.get(name)
        if not value:
            raise ConnectionNotDefinedError(f"The extra of connection {self.conn_id} has no '{name}'; add its URL.")
        return str(value)


def get(conn_id: str) -> Connection:
    """The connection, from the first place that defines it (see the module's docstring).

    Raises ConnectionNotDefinedError, which names the ways to define it. It may block on Airflow's API: in a
    trigger, call it through ``asgiref.sync.sync_to_async``.
    """
    found = _from_environment(conn_id) or _from_airflow(conn_id) or _from_local_stack(conn_id)
    if found is None:
        raise ConnectionNotDefinedError(
            f"Connection {conn_id} is not defined. Add it in Airflow (Admin, Connections), or set "
            f"AIRFLOW_CONN_{conn_id.upper()} to its JSON form, or start the local stack (make up), which "
            "reads it from airflow_settings.yaml."
        )
    return found


def ledger_url() -> str:
    """The ledger's SQLAlchemy URL."""
    return get(LEDGER).sqlalchemy_url


def catalog_properties() -> dict[str, str]:
    """The Iceberg catalog's properties as PyIceberg takes them."""
    return get(ICEBERG).catalog_properties


def from_fields(conn_id: str, fields: Mapping[str, Any]) -> Connection:
    """A Connection from Airflow's JSON form, whose ``extra`` is an object or a JSON string."""
    extra = fields.get("extra") or {}
    if isinstance(extra, str):
        extra = json.loads(extra)
    port = fields.get("port")
    return Connection(
        conn_id=conn_id,
        conn_type=str(fields.get("conn_type") or ""),
        host=fields.get("host") or None,
        port=int(port) if port not in (None, "") else None,
        login=fields.get("login") or None,
        password=fields.get("password") or None,
        schema=fields.get("schema") or None,
        extra=dict(extra),
    )


def of_settings(settings: airflow_settings.Settings) -> dict[str, Connection]:
    """The connections of ``airflow_settings.yaml``, by id."""
    return {conn_id: from_fields(conn_id, fields) for conn_id, fields in settings.connections.items()}


def _word(value: Any) -> str:
    """A parameter of a Spark Connect URL, where true and false are lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from_environment(conn_id: str) -> Connection | None:
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    value = os.environ.get(name, "").strip()
    if not value:
        return None
    if value.startswith("{"):
        try:
            return from_fields(conn_id, json.loads(value))
        except ValueError as error:
            raise ConnectionNotDefinedError(f"{name} is not valid JSON: {error}.") from error
    if "airflow" in sys.modules:
        from airflow.sdk import Connection as AirflowConnection

        return _from_airflow_object(conn_id, AirflowConnection.from_uri(value, conn_id=conn_id))
    raise ConnectionNotDefinedError(f"{name} is in URI form, which only Airflow reads; use the JSON form.")


def _from_airflow(conn_id: str) -> Connection | None:
    if "airflow" not in sys.modules or Path(sys.argv[0]).name == "feedmill":
        return None
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return _from_airflow_object(conn_id, BaseHook.get_connection(conn_id))
    except AirflowNotFoundException:
        return None


def _from_airflow_object(conn_id: str, connection: Any) -> Connection:
    return from_fields(
        conn_id,
        {
            "conn_type": connection.conn_type,
            "host": connection.host,
            "port": connection.port,
            "login": connection.login,
            "password": connection.password,
            "schema": connection.schema,
            "extra": connection.extra,
        },
    )


def _from_local_stack(conn_id: str) -> Connection | None:
    try:
        decided, settings = stack_env(home_path()), project_path() / "airflow_settings.yaml"
    except ProjectNotFoundError:
        return None
    if not decided or not settings.exists():
        return None
    return of_settings(airflow_settings.load(settings, decided)).get(conn_id)
