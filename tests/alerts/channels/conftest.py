"""Receivers on this machine, each with its channel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from receiver_messages import Pair, channel_to
from receiver_servers import JiraServer, OpsgenieServer, PagerDutyServer


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy the machine has, it is not asked for this machine's own addresses."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(params=[PagerDutyServer, JiraServer, OpsgenieServer])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A receiver that honours keys, and the channel to it."""
    with request.param() as server:
        yield server, channel_to(server)
