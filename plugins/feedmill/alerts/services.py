"""What the services' metrics say, asked at most once a minute."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from feedmill import connections
from feedmill.alerts.burn_rates import WINDOWS
from feedmill.alerts.prometheus import Prometheus, PrometheusError
from feedmill.alerts.scene import Requests, Served
from feedmill.connections import Connection, ConnectionNotDefinedError
from feedmill.spec import Service

EVERY = timedelta(minutes=1)

AT_ONCE = 8
"""Servers that are asked at the same time: one that hangs must not hold up the others."""

log = logging.getLogger(__name__)


@dataclass
class Services:
    """The services, and what was found last."""

    services: Sequence[Service] = ()
    _at: datetime | None = None
    _found: Sequence[Served] = ()

    def look(self, now: datetime) -> Sequence[Served]:
        """The requests of each service; unknown where its connection is not defined, or nothing answers."""
        if self._at is not None and self._at <= now < self._at + EVERY:
            return self._found
        by_connection: defaultdict[str, list[Service]] = defaultdict(list)
        for service in self.services:
            by_connection[service.conn_id].append(service)
        asked: list[tuple[Connection, list[Service]]] = []
        found = []
        for conn_id, services in by_connection.items():
            try:
                # Here, and not in a thread: inside Airflow, its own store is asked.
                asked.append((connections.get(conn_id), services))
            except ConnectionNotDefinedError as error:
                log.info("%s is not asked: %s", conn_id, error)
                found += [Served(service, None) for service in services]
        with ThreadPoolExecutor(AT_ONCE, "services") as threads:
            for answers in threads.map(lambda one: _ask(*one), asked):
                found += answers
        self._at, self._found = now, found
        return found


def _ask(connection: Connection, services: Sequence[Service]) -> list[Served]:
    """What one server says. After a query without an answer, it is not asked again: each may take ten seconds."""
    found: dict[str, Served] = {}
    try:
        with closing(Prometheus(connection)) as server:
            for service in services:
                found[service.name] = Served(service, _requests(server, service))
    except PrometheusError as error:
        log.warning("%s", error)
    return [found.get(service.name, Served(service, None)) for service in services]


def _requests(server: Prometheus, service: Service) -> dict[timedelta, Requests] | None:
    found = {}
    for window in WINDOWS:
        good, total = (server.query(query) for query in service.queries(window))
        if total is not None:
            # No series of good requests, but some of all: none was good.
            found[window] = Requests(good or 0.0, total)
    return found or None
