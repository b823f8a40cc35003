"""Asking Prometheus, or whatever speaks its HTTP API, for one number at a time."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import httpx

from feedmill.connections import Connection
from feedmill.errors import Exit, FeedmillError, Turn

PATIENCE = 10.0
"""Seconds that one query may take, from the request to the end of the answer."""

LARGEST = 1 << 20
"""Bytes of an answer that are read: it should be one number."""

TYPES = ("prometheus", "http", "https")


class PrometheusError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """It does not answer, refuses the query, or its answer is not one number; the message says which."""


class Prometheus:
    """The server of a connection. Its password goes with its login; without a login, it is a bearer token."""

    def __init__(self, connection: Connection, patience: float = PATIENCE):
        """Nothing is asked yet.

        Raises:
            PrometheusError: the connection is of another type, or names no host.
        """
        if connection.conn_type not in TYPES or not connection.host:
            raise PrometheusError(
                f"Connection {connection.conn_id} has the type {connection.conn_type!r} and the host "
                f"{connection.host!r}: give it the type prometheus or http, and the server's host."
            )
        self._conn_id, self._patience = connection.conn_id, patience
        token = {"Authorization": f"Bearer {connection.password}"} if connection.password else {}
        self._http = httpx.Client(
            base_url=_address(connection),
            auth=(connection.login, connection.password or "") if connection.login else None,
            headers={} if connection.login else token,
            timeout=patience,
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def query(self, query: str) -> float | None:
        """The number that a query gives now; None where there are no such series, or it is not defined.

        Raises:
            PrometheusError: there is no answer, or it is something else.
        """
        body = self._ask(query)
        try:
            data = json.loads(body)["data"]
            results = [data["result"]] if data["resultType"] == "scalar" else [one["value"] for one in data["result"]]
            values = [float(value) for _, value in results]
        except (ValueError, KeyError, TypeError) as error:
            raise self._error(query, f"its answer cannot be read: {type(error).__name__}: {error}") from None
        if len(values) > 1:
            raise self._error(query, f"it gives {len(values)} series; write sum(…) around it")
        return values[0] if values and math.isfinite(values[0]) else None

    def _ask(self, query: str) -> bytes:
        deadline, body = time.monotonic() + self._patience, b""
        try:
            with self._http.stream("GET", "api/v1/query", params={"query": query}) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if time.monotonic() > deadline or len(body) > LARGEST:
                        raise self._error(query, "its answer is too long, or too slow")
        except httpx.HTTPError as error:
            raise self._error(query, f"it does not answer: {error or type(error).__name__}") from None
        if response.status_code != 200:
            said = " ".join(body[:300].decode("utf-8", "replace").split())
            raise self._error(query, f"it answered {response.status_code}: {said}")
        return body

    def _error(self, query: str, what: str) -> PrometheusError:
        return PrometheusError(f"{self._conn_id}, query {query}: {what}")


def _address(connection: Connection) -> httpx.URL:
    """The host may be a whole URL; else the schema says how to speak to it, as for Airflow's own HTTP connections."""
    host: Any = connection.host
    scheme = connection.schema or ("https" if connection.conn_type == "https" else "http")
    url = httpx.URL(host if "://" in host else f"{scheme}://{host}")
    return url.copy_with(port=connection.port) if connection.port else url
