"""All rules of the doctor, in the order in which their findings are shown. A new rule is a class and its line here.

The doctor shows what the ledger does *not* know, or believes wrongly. What is stale is no finding: the ledger knows it,
and `status` shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from feedmill.doctor import alert_rules, build_rules, landing_rules, table_rules
from feedmill.doctor.facts import Facts, TableFacts
from feedmill.doctor.rule import Finding, Rule
from feedmill.spec import Table

if TYPE_CHECKING:
    from feedmill.deployment import Deployment

LEDGER: tuple[Rule[Facts], ...] = (table_rules.LedgerBehind(),)

EACH_TABLE: tuple[Rule[TableFacts], ...] = (
    table_rules.UnrecordedCommit(),
    table_rules.NotInLedger(),
    table_rules.RowsDiffer(),
    table_rules.RowsDeleted(),
    table_rules.OpenIntent(),
    table_rules.LeftBranch(),
    table_rules.UnknownBranch(),
    table_rules.DdlDiffers(),
)

BUILDS: tuple[Rule[Facts], ...] = (build_rules.DeadClaim(), build_rules.NoClaim())

ALERTS: tuple[Rule[Facts], ...] = (alert_rules.NoHeartbeat(),)

FILES: tuple[Rule[Facts], ...] = (
    landing_rules.FileGone(),
    landing_rules.FileChanged(),
    landing_rules.Closed(),
    landing_rules.Irregular(),
    landing_rules.NotRegistered(),
    landing_rules.Misplaced(),
    landing_rules.NotRead(),
    landing_rules.LeftRegistration(),
)


def findings(facts: Facts) -> list[Finding]:
    """Everything that is wrong; an empty list if all is well. Pure."""
    return list(_findings(facts))


def _findings(facts: Facts) -> Iterator[Finding]:
    for rule in LEDGER:
        yield from rule.look(facts)
    for table in facts.tables:
        for each in EACH_TABLE:
            yield from each.look(table)
    for rule in (*BUILDS, *FILES, *ALERTS):
        yield from rule.look(facts)


def mend(deployment: Deployment, tables: Sequence[Table], now: datetime) -> None:
    """Mend what is always safe to mend: what the rules mend, each once.

    Raises:
        LedgerBehindError: the ledger is older than the lake; `feedmill ledger rebuild` comes first.
    """
    # Builds come first: the branch of a dead build is dropped once the build counts as interrupted.
    rules: list[Rule[Facts] | Rule[TableFacts]] = [*LEDGER, *BUILDS, *EACH_TABLE, *FILES]
    for step in dict.fromkeys(rule.mend for rule in rules if rule.mend is not None):
        step(deployment, tables, now)
