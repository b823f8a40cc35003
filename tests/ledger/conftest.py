"""Tables of the ledger's tests."""

from __future__ import annotations

import pytest

from feedmill.spec import Files, Maintainer, Table
from feedmill.timeline import HOUR, days


@pytest.fixture
def hourly() -> Table:
    """An hourly table that reads event files."""
    team = Maintainer("team", description="tests", link="mailto:team@example.com")
    return Table("demo.hourly", HOUR, [Files("events")], team, 2, days(90))
