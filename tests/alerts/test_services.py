"""When a service's burn rate pages, and what its metrics say; Prometheus is a local server here."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedmill.alerts.burn_rates import ALARMS, FAST, SLOW, TRICKLE, WINDOWS, burn, holds
from feedmill.alerts.prometheus import Prometheus, PrometheusError
from feedmill.alerts.scene import Requests, Served
from feedmill.alerts.services import Services
from feedmill.connections import Connection
from feedmill.spec import Service
from tests.alerts.world import World, at, keys, only, ranking


def service(name: str = "ranker", **changes: Any) -> Service:
    values = {
        "description": "Good: in 200 ms.",
        "maintainer": ranking,
        "tier": 1,
        "conn_id": "prometheus_default",
        "good": f'good{{s="{name}"}}[{{window}}]',
        "total": f'all{{s="{name}"}}[{{window}}]',
        "runbook": "https://example.com/runbook",
    }
    return Service(name, **{**values, **changes})


def of(total: float, **bad: float) -> dict[timedelta, Requests]:
    """As many requests in each window, of which so many were bad; of ``all`` windows, or of one such as ``m5``."""
    names = {"m5": WINDOWS[0], "m30": WINDOWS[1], "h1": WINDOWS[2], "h6": WINDOWS[3], "d3": WINDOWS[4]}
    shares = dict.fromkeys(WINDOWS, bad.pop("all", 0.0)) | {names[name]: share for name, share in bad.items()}
    return {window: Requests(total * (1 - share), total) for window, share in shares.items()}


@given(st.floats(0.5, 0.99999), st.sampled_from(ALARMS), st.booleans())
def test_without_requests_nobody_is_paged_and_nothing_heals(objective, alarm, is_open):
    one = service(objective=objective)
    assert holds(alarm, one, {}, is_open) is None
    assert holds(alarm, one, of(0), is_open) is None
    assert holds(alarm, one, of(99, all=1), is_open) is None, "99 are too few"


@given(st.floats(0.5, 0.99999), st.sampled_from(ALARMS), st.integers(100, 10**9), st.booleans())
def test_if_all_requests_are_bad_somebody_is_paged_whatever_the_objective(objective, alarm, total, is_open):
    assert holds(alarm, service(objective=objective), of(total, all=1), is_open) is True


@given(st.floats(0.5, 0.99999), st.sampled_from(ALARMS), st.integers(100, 10**9), st.floats(0, 1))
def test_within_the_objective_nobody_is_paged(objective, alarm, total, part):
    one = service(objective=objective)
    assert not holds(alarm, one, of(total, all=(1 - objective) * part * 0.999), is_open=False)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0.5, 0.99999))
def test_a_burn_rate_is_a_share_of_the_budget(good, total, objective):
    rate = burn(Requests(good, total), objective)
    assert 0 <= rate <= 1 / (1 - objective) * (1 + 1e-9)
    assert (rate == 0) == (good >= total or total == 0 or total - good == 0) or rate < 1e-6


@pytest.mark.parametrize(("alarm", "share"), [(FAST, 0.0144), (SLOW, 0.006), (TRICKLE, 0.001)])
def test_each_alarm_has_its_rate(alarm, share):
    assert holds(alarm, service(), of(10**6, all=share * 1.001), is_open=False) is True
    assert holds(alarm, service(), of(10**6, all=share * 0.999), is_open=False) is False


def test_it_opens_only_while_it_still_goes_on_and_heals_by_the_short_window():
    assert holds(FAST, service(), of(1000, h1=0.5), is_open=False) is False, "it is over"
    assert holds(FAST, service(), of(1000, m5=0.5), is_open=False) is False, "it does not matter yet"
    assert holds(FAST, service(), of(1000, m5=0.5), is_open=True) is True
    assert holds(FAST, service(), of(1000, h1=0.5), is_open=True) is False
    assert holds(SLOW, service(), of(1000, m30=0.5, h6=0.5), is_open=False) is False, "the last 5 minutes are well"


def test_an_open_one_without_traffic_heals_when_the_long_window_is_well():
    quiet = {FAST.short: Requests(3, 3), FAST.long: Requests(500, 500)}
    assert holds(FAST, service(), quiet, is_open=True) is False
    assert holds(FAST, service(), {**quiet, FAST.long: Requests(3, 3)}, is_open=True) is None


@pytest.fixture
def world() -> World:
    made = World(now=at(9.5))
    made.publish_all(at(9))
    return made


def serves(world: World, requests, one: Service | None = None) -> None:
    world.more = {"services": [Served(one or service(), requests)]}


def test_an_outage_of_a_service_is_one_page_and_one_resolve(world):
    serves(world, of(10**4, all=1))
    found = only(world.round())
    assert (found.kind, found.condition.subject, found.maintainer) == ("latency, fast", "ranker", "ranking")
    assert found.condition.tier == 1
    assert (
        found.condition.why == "100.00% of 10,000 requests were bad in the last 5 minutes; the objective allows 0.10%"
    )
    assert len(world.round(minutes=1)) == 1
    serves(world, of(10**4, m30=0.5, h1=0.5, h6=0.1, d3=0.01))
    assert world.round(minutes=1) == []
    assert [purpose for _, purpose, _ in world.sent()] == ["page", "resolve"]


def test_a_slow_burn_and_a_trickle_are_told_with_their_tiers(world):
    serves(world, of(10**4, all=0.008))
    assert keys(world.round()) == ["latency, slow/ranker"]
    serves(world, of(10**4, all=0.5))
    assert keys(world.round(minutes=1)) == ["latency, slow/ranker"], "it has been told of already"
    serves(world, of(10**4))
    assert world.round(minutes=1) == []
    serves(world, of(10**4, all=0.002))
    assert only(world.round(minutes=1)).condition.tier == 2
    serves(world, of(10**4, all=0.5))
    assert keys(world.round(minutes=1)) == ["latency, fast/ranker", "latency, trickle/ranker"], "it is more urgent now"


def test_the_service_s_own_tier_counts_if_it_is_less_urgent(world):
    serves(world, of(10**4, all=1), service(tier=3))
    assert only(world.round()).condition.tier == 3


def test_a_service_that_nothing_is_known_of_stays_as_it_was(world):
    serves(world, of(10**4, all=1))
    world.round()
    serves(world, None)
    assert only(world.round(minutes=1)).unknown_since == world.now
    world.more = {"services": []}
    assert world.round(minutes=1) == [], "it is no service any more"


# The client


@dataclass
class Server:
    """A Prometheus that answers with these values, or with something else."""

    values: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    drip: float = 0
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    port: int = 0

    def connection(self, conn_type: str = "prometheus", **fields: Any) -> Connection:
        return Connection("prometheus_default", conn_type, **{"host": "127.0.0.1", "port": self.port, **fields})

    def answer(self, query: str) -> bytes:
        if self.body is not None:
            return self.body
        value = self.values.get(query)
        result = [] if value is None else [{"metric": {}, "value": [1.0, str(value)]}]
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)["query"][0]
            made.asked.append((url.path, query, self.headers["Authorization"]))
            body = made.answer(query)
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for byte in [body] if not made.drip else [body[n : n + 1] for n in range(len(body))]:
                try:
                    self.wfile.write(byte)
                    self.wfile.flush()
                except OSError:
                    return
                time.sleep(made.drip)

        def log_message(self, *_: Any) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    made.port = http.server_address[1]
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    http.shutdown()
    http.server_close()


def test_a_query_gives_its_number_or_none_where_there_is_no_series(server):
    server.values = {"up": 12.5, "ratio": "NaN"}
    client = Prometheus(server.connection())
    assert client.query("up") == 12.5
    assert client.query("ratio") is None
    assert client.query("other") is None
    server.body = b'{"status": "success", "data": {"resultType": "scalar", "result": [1.0, "7"]}}'
    assert client.query("7") == 7
    assert server.asked[0] == ("/api/v1/query", "up", None)


def test_credentials_are_those_of_the_connection(server):
    Prometheus(server.connection("http", login="me", password="secret")).query("up")
    Prometheus(server.connection(password="token")).query("up")
    basic = "Basic " + base64.b64encode(b"me:secret").decode()
    assert [sent for _, _, sent in server.asked] == [basic, "Bearer token"]


def test_a_host_may_be_a_url_with_a_path(server):
    Prometheus(server.connection(host="http://127.0.0.1/prometheus")).query("up")
    assert server.asked[0][0] == "/prometheus/api/v1/query"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": 401, "body": b"no"}, "it answered 401: no"),
        ({"status": 302}, "it answered 302"),
        ({"body": b"<html>"}, "cannot be read"),
        ({"body": b"[]"}, "cannot be read"),
        ({"body": b'{"data": {"resultType": "vector", "result": [{"value": [1, "x"]}]}}'}, "cannot be read"),
        ({"body": b'{"data": {"resultType": "vector", "result": [{"value": [1, "1"]}, {"value": [1, "2"]}]}}'}, "sum"),
        ({"drip": 0.05}, "too slow"),
    ],
)
def test_any_other_answer_is_an_error_that_says_so(server, change, says):
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(PrometheusError, match=says):
        Prometheus(server.connection(), patience=0.5).query("up")


def test_a_connection_of_another_type_is_an_error():
    with pytest.raises(PrometheusError, match="give it the type prometheus or http"):
        Prometheus(Connection("ledger", "postgres", host="localhost"))


@pytest.fixture
def defined(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def define(**fields: Any) -> None:
        value = {"conn_type": "prometheus", "host": "127.0.0.1", "port": server.port, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_PROMETHEUS_DEFAULT", json.dumps(value))

    return define


def test_a_service_s_requests_are_asked_for_at_most_once_a_minute(server, defined):
    defined()
    one = service()
    for window in WINDOWS:
        good, total = one.queries(window)
        server.values |= {total: 200.0} if window == FAST.short else {good: 150.0, total: 200.0}
    look = Services([one])
    (found,) = look.look(at(9))
    assert found.requests[FAST.long] == Requests(150, 200)
    assert found.requests[FAST.short] == Requests(0, 200), "no series of good requests: none was good"
    assert len(server.asked) == 2 * len(WINDOWS)
    assert look.look(at(9) + timedelta(seconds=50)) == [found]
    assert len(server.asked) == 2 * len(WINDOWS)
    look.look(at(9) + timedelta(seconds=60))
    assert len(server.asked) == 4 * len(WINDOWS)


def test_what_is_not_defined_does_not_answer_or_has_no_series_is_not_known(server, defined, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_PROMETHEUS_DEFAULT", raising=False)
    both = [service(), service("other")]
    unknown = [Served(one, None) for one in both]
    assert Services(both).look(at(9)) == unknown
    defined()
    assert Services(both).look(at(9)) == unknown, "no series"
    server.asked.clear()
    server.status = 500
    assert Services(both).look(at(9)) == unknown
    assert len(server.asked) == 1, "the server is not asked again"
    defined(conn_type="postgres")
    assert Services(both).look(at(9)) == unknown
