"""docs/alert-policy.md and the registry of kinds say the same."""

import re
from datetime import timedelta
from pathlib import Path

from feedmill.alerts.burn_rates import ALARMS
from feedmill.alerts.kinds import KINDS
from feedmill.alerts.page import NEXT_STEPS

POLICY = (Path(__file__).resolve().parents[2] / "docs" / "alert-policy.md").read_text()
SECTION = POLICY[POLICY.index("## The kinds") : POLICY.index("## What pages nobody")]


def rows() -> dict[str, dict[str, str]]:
    """The rows of all tables of kinds, by kind."""
    found: dict[str, dict[str, str]] = {}
    heads: list[str] = []
    for line in SECTION.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            heads = []
        elif not heads:
            heads = cells
        elif heads[0] == "kind" and not cells[0].startswith("---"):
            assert cells[0] not in found, f"{cells[0]} stands there twice"
            found[cells[0]] = dict(zip(heads, cells, strict=True))
    return found


def delay(words: str) -> timedelta:
    """A delay as the document writes it."""
    if words == "none":
        return timedelta(0)
    count, unit = re.match(r"(\d+|one) (minute|day)", words).groups()
    return int(count.replace("one", "1")) * timedelta(**{f"{unit}s": 1})


def test_the_kinds_of_the_document_are_those_of_the_registry():
    assert rows().keys() == KINDS.keys()


def test_each_has_the_delay_that_the_document_says():
    assert {name: delay(row["delay"]) for name, row in rows().items()} == {
        name: kind.delay for name, kind in KINDS.items()
    }


def test_what_is_not_built_yet_is_no_kind():
    missing = re.findall(r"^- \*\*(.+?)\*\*", SECTION[SECTION.index("### Not built yet") :], re.MULTILINE)
    assert missing
    assert not set(missing) & KINDS.keys()


def test_the_document_has_the_rates_and_tiers_of_the_services_alarms():
    for alarm in ALARMS:
        row = rows()[alarm.kind]
        assert row["tier"] == str(alarm.tier)
        rate = "once" if alarm.rate == 1 else f"{alarm.rate:g} times"
        assert rate in row["condition"]


def test_each_kind_has_a_next_step():
    assert KINDS.keys() - NEXT_STEPS.keys() == set()
