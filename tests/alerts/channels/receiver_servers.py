"""Receivers on this machine: they judge each request as the real ones do, keep incidents by key, and can misbehave."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

from receiver_rules import API_KEY, ROUTING_KEY, wrong

Fault = Callable[["Handler"], None]


@dataclass
class Incident:
    """An alert at the receiver."""

    key: str
    bodies: list[dict[str, Any]]
    is_open: bool = True


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


class Server(ThreadingHTTPServer):
    """What all receivers share. ``fault`` is what it does instead of its work; ``answer_fault`` comes after it."""

    daemon_threads = True
    base_path: ClassVar[str] = ""
    secret: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault: Fault | None = None
        self.answer_fault: Fault | None = None
        self.is_over = threading.Event()
        self.seen: list[Seen] = []
        self.incidents: list[Incident] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is what half of the tests are about."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{self.base_path}"

    @property
    def open(self) -> list[Incident]:
        return [one for one in self.incidents if one.is_open]

    def take(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        """Do the receiver's work: status and answer."""
        raise NotImplementedError

    def trigger(self, key: str, body: dict[str, Any]) -> None:
        for one in self.open:
            if one.key == key:
                one.bodies.append(body)
                return
        self.incidents.append(Incident(key, [body]))

    def close_(self, key: str) -> bool:
        found = [one for one in self.open if one.key == key]
        for one in found:
            one.is_open = False
        return bool(found)


class PagerDutyServer(Server):
    """Events API v2: queued, and nothing more is ever said."""

    secret = ROUTING_KEY

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[dict[str, Any]] = []

    def take(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        kind = {"/v2/enqueue": "event", "/v2/change/enqueue": "change"}.get(seen.path)
        if kind is None or seen.method != "POST":
            return 404, {"message": "no such path"}
        if problems := wrong(kind, seen.content, seen.headers.get("content-type", "")):
            return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": problems}
        body = json.loads(seen.content)
        if body["routing_key"] != ROUTING_KEY:
            errors = [f"no integration has the key {body['routing_key']}"]
            return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        if kind == "change":
            self.changes.append(body)
            return 202, {"status": "success", "message": "Change event processed"}
        if body["event_action"] == "trigger":
            self.trigger(body["dedup_key"], body)
        else:
            self.close_(body["dedup_key"])
        return 202, {"status": "success", "message": "Event processed", "dedup_key": body["dedup_key"]}


@dataclass
class Request:
    """A queued request, and what became of it."""

    action: str
    key: str
    body: dict[str, Any]
    status: dict[str, Any] = field(default_factory=dict)


class JiraServer(Server):
    """Alerts that are queued. ``is_slow``: none is processed before :meth:`process`."""

    base_path = "/jsm/ops/integration/v2"
    secret = API_KEY

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = False
        self.fails = ""
        self.requests: dict[str, Request] = {}

    def take(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        if seen.headers.get("authorization") != f"GenieKey {API_KEY}":
            return 401, {"message": f"Could not authenticate: {seen.headers.get('authorization')}", "took": 0.001}
        path, _, query = seen.path.removeprefix(self.base_path).partition("?")
        match (seen.method, *path.strip("/").split("/")):
            case ("POST", "alerts"):
                return self._queue("create", seen, json.loads(seen.content).get("alias", "") if seen.content else "")
            case ("POST", "alerts", alias, "close") if query == "identifierType=alias":
                return self._queue("close", seen, unquote(alias))
            case ("GET", "alerts", "requests", request_id):
                return self._told(request_id)
        return 404, {"message": "No handler found"}

    def process(self) -> None:
        """Work through the queue."""
        for one in self.requests.values():
            if not one.status:
                one.status = self._done(one)

    def _queue(self, kind: str, seen: Seen, alias: str) -> tuple[int, dict[str, Any]]:
        if problems := wrong(kind, seen.content, seen.headers.get("content-type", "")):
            return 422, {"message": "Request body is not processable", "errors": problems}
        request_id = str(uuid.uuid4())
        self.requests[request_id] = Request(kind.title(), alias, json.loads(seen.content))
        if not self.is_slow:
            self.process()
        return 202, {"result": "Request will be processed", "took": 0.002, "requestId": request_id}

    def _done(self, one: Request) -> dict[str, Any]:
        def said(is_success: bool, status: str) -> dict[str, Any]:
            return {"success": is_success, "isSuccess": is_success, "action": one.action, "status": status}

        if self.fails:
            return said(False, self.fails)
        if one.action == "Create":
            self.trigger(one.key, one.body)
            return said(True, "Created alert")
        return said(True, "Closed alert") if self.close_(one.key) else said(False, "Alert does not exist")

    def _told(self, request_id: str) -> tuple[int, dict[str, Any]]:
        found = self.requests.get(request_id)
        if found is None or not found.status:
            return 404, {"message": "Request not found. It might not be processed, yet.", "took": 0.001}
        return 200, {"data": found.status, "took": 0.001, "requestId": request_id}


class OpsgenieServer(JiraServer):
    """The same below another path."""

    base_path = "/v2"


class WebhookServer(Server):
    """Takes any JSON."""

    def take(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        self.trigger("", json.loads(seen.content))
        return 200, {}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
        pass

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def _do(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(Seen(self.command, self.path, headers, content))
        if self.server.fault is not None:
            self.server.fault(self)
            return
        status, answer = self.server.take(self.server.seen[-1])
        if self.server.answer_fault is not None:
            self.server.answer_fault(self)
            return
        self.answer(status, json.dumps(answer).encode())

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


def answers(status: int, content: bytes = b"", **headers: str) -> Fault:
    return lambda handler: handler.answer(status, content, **headers)


def hangs(handler: Handler) -> None:
    """Say nothing until the test is over."""
    handler.server.is_over.wait()
    handler.close_connection = True


def hangs_up(handler: Handler) -> None:
    handler.close_connection = True


def drips_its_body(handler: Handler) -> None:
    handler.send_response(202)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    _drip(handler, b" ")


def drips_its_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 202 Accepted\r\nX: ")
    _drip(handler, b"x")


def never_ends(handler: Handler) -> None:
    """A body without end, as fast as it can."""
    handler.send_response(202)
    handler.end_headers()
    while not handler.server.is_over.is_set():
        handler.wfile.write(b"x" * 65536)


def speaks_no_http(handler: Handler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    handler.close_connection = True


def _drip(handler: Handler, piece: bytes) -> None:
    """More often than the client's read time-out."""
    while not handler.server.is_over.wait(0.02):
        handler.wfile.write(piece)
