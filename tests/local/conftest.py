from collections.abc import Iterator
from pathlib import Path

import pytest

from feedmill.local.home import PORTS, Home, free_ports, port_variable
from feedmill.local.postgres import Postgres


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the caller's shell decides anything."""
    for name in ("FEEDMILL_HOME", "FEEDMILL_SINCE", *(port_variable(component) for component in PORTS)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    prepared = Home(tmp_path / "home").prepare(ports=free_ports())
    yield prepared
    Postgres(prepared).delete()
