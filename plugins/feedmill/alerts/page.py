"""What a message says: one model, from which every channel's text is made. Pure.

The first line is useful on a lock screen. The body answers, in this order: what is wrong and since when, what it means
for readers, why, what to do next, and where to look. Secrets are scrubbed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from feedmill.alerts import tables
from feedmill.alerts.burn_rates import ALARMS
from feedmill.alerts.channels.channel import SUMMARY, Action, Message, Severity
from feedmill.alerts.dispatch import STORM
from feedmill.alerts.incident import Delivery, Ending, Incident, Part, Purpose
from feedmill.checks import pages
from feedmill.spec import Maintainer, Map, Table

LISTED = 12
"""Partitions, tables or incidents that a page names."""

_WAS: Mapping[str, str] = {
    tables.HELD: "failed its check",
    tables.FAILED: "failed",
    tables.STUCK: "took too long to build",
    tables.OVERDUE: "was overdue",
    tables.PAUSED: "was paused though due",
    tables.DOWN: "was down",
    tables.WARNING: "was published with a failed warning",
    tables.DIFFERS: "was not deterministic",
    "disk": "was nearly full",
    **{alarm.kind: "burned its error budget too fast" for alarm in ALARMS},
    "red flag": "had red flags",
    "source silent": "was silent",
    "rows rejected": "had many rejected rows",
}
"""What is said of an incident that is over; else what was said of it last."""

_CHECKED = (tables.HELD, tables.WARNING)
"""Kinds whose evidence is a check."""

_SEVERITIES: Mapping[int, Severity] = {1: "critical", 2: "error", 3: "warning"}

NEXT_STEPS: Mapping[str, str] = {
    tables.HELD: (
        "Open the check page. If the data is wrong, mend its source and clear `build`. If the expectation is wrong, "
        "fix the suite and clear `check`. If the rows may stand as they are: `feedmill accept`."
    ),
    tables.FAILED: "Read the end of the task's log. Mend the cause and clear `build`; a clear runs today's code.",
    tables.STUCK: (
        "Read the task's log, and look at Spark: is it at work, or does it wait for something? Clear `build` to stop "
        "it and begin anew."
    ),
    tables.OVERDUE: (
        "Look at the DAG's newest run: is it queued, running or missing? `feedmill status {subject}` says what it "
        "waits for. If no run exists, trigger the DAG for these partitions."
    ),
    tables.PAUSED: "Unpause the DAG, or tell the teams that wait for it how long it stays paused.",
    tables.WARNING: (
        "Open the check page. If the data is wrong, mend its source; the rows are published. If the expectation is "
        "wrong, fix the suite."
    ),
    tables.DIFFERS: (
        "Compare the two builds: does the transform read a clock, draw at random, or rank without a last tie-break? "
        "Mend it; until then, every rebuild may change the rows."
    ),
    tables.DOWN: (
        "Start it again: on the local stack, `make up` starts what does not run. Tables that failed meanwhile are "
        "listed here: clear their failed tasks once it is back."
    ),
    "disk": "Free space, or enlarge the disk. Housekeeping deletes what has passed its retention every night.",
    "import error": "Mend the file. Until then, Airflow runs none of the DAGs in it.",
    "task failed": "Read the task's log, mend the cause and clear the task.",
    "outside the map": "Give it an owner whom `include/maintainers.py` knows. `feedmill maintainers` lists them.",
    "source silent": (
        "Ask the sender of {subject} whether it still writes, and look into its folder of the landing zone. If it is "
        "retired, set `expects=Expects.NEVER` in `include/landing.py`."
    ),
    "rows rejected": (
        'Read the reasons: `feedmill sql "SELECT reason, count(*) FROM events.rejected WHERE arrival_hour = … GROUP BY '
        'ALL"`. Have the sender mend its files, or mend the reader in `include/spark/sources`.'
    ),
    "files quarantined": (
        "`feedmill files list --quarantined --source {subject}` shows the files. Have the sender land them again, "
        "or rule them out with `feedmill files disown`."
    ),
    **{alarm.kind: "Follow the runbook. Look first at what was deployed last." for alarm in ALARMS},
    "red flag": (
        "Compare the hour with the model's dashboard. Of a table: look for rows that are missing, late or rejected, "
        "and for changed code. Of a model: look for a deployment, or an experiment that began."
    ),
    "channel down": "Check the connection `{subject}` in Airflow: `feedmill alerts test` sends a marked page.",
    "map broken": "Mend `include/`: the traceback is in the log of `watch`. The last good map is in use.",
    STORM: "Begin with the oldest. `feedmill alerts` lists all of them.",
}


@dataclass(frozen=True)
class Ground:
    """What a page needs to know besides its incident."""

    maintainers: Mapping[str, Maintainer]
    map: Map | None
    ui: str = ""
    """The address of Airflow's UI; empty: no links into it."""
    documents: str = ""
    """The address of the project's docs folder; empty: no links into it."""


def message(delivery: Delivery, incident: Incident, listed: Sequence[Incident], ground: Ground) -> Message:
    """The message of one delivery. ``listed`` are the incidents that a digest, a storm or a summary is about."""
    one = incident.condition
    action = delivery.purpose.action
    if delivery.purpose in (Purpose.DIGEST, Purpose.SUMMARY):
        lines = [_list_of(delivery, listed)]
    elif action is Action.RESOLVE:
        lines = list(_end(delivery, incident))
    else:
        lines = list(_page(delivery, incident, listed, ground))
    repeats = delivery.ambiguous
    if repeats:
        lines.append("This may have reached you already: the answer to the first try was lost.")
    lines.append(f"Told to {delivery.maintainer}: {delivery.because}. Incident `{incident.alias}`")
    return Message(
        action,
        incident.alias if action is not Action.NOTICE else delivery.id,
        scrubbed(_summary(delivery, incident, listed)),
        scrubbed("\n\n".join(lines)),
        _SEVERITIES[one.tier],
        one.subject,
        tuple(links(incident, ground)) if delivery.purpose not in (Purpose.DIGEST, Purpose.SUMMARY) else (),
        {
            "kind": incident.kind,
            "maintainer": incident.maintainer,
            "tier": str(one.tier),
            "since": _utc(one.since),
            **{name: scrubbed(value) for name, value in one.evidence.items()},
        },
        repeats,
    )


def title(incident: Incident) -> str:
    """The incident in one line, without its reason."""
    return f"{incident.condition.subject} {incident.condition.what}"


def links(incident: Incident, ground: Ground) -> Iterator[tuple[str, str]]:
    """Where to look: the task's log, the check page, the form that restates, the table's page."""
    one, ui = incident.condition, ground.ui.rstrip("/")
    table = _table(one.subject, ground)
    newest = one.parts[-1] if one.parts else None
    if ui and newest is not None and "/" in newest.owner and not newest.owner.startswith("cli/"):
        dag, _, run = newest.owner.partition("/")
        task = "check" if incident.kind in _CHECKED else "build"
        yield "Task log", f"{ui}/dags/{quote(dag)}/runs/{quote(run, safe='')}/tasks/{task}"
    if ui and table is not None:
        if incident.kind in _CHECKED and newest is not None and newest.build_id:
            yield "Check page", pages.link(ui, table.name, newest.build_id)
        yield "DAG: runs, and the form that restates", f"{ui}/dags/{quote(table.dag_id)}"
    if ground.documents and table is not None:
        yield "The table's page", f"{ground.documents.rstrip('/')}/tables/{table.name}.md"


def scrubbed(text: str) -> str:
    """The text without what looks like a credential."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


_NAMES = r"(?:api[_-]?|access[_-]?|routing[_-]?)?(?:key|token|secret|password|passwd)"
_SECRETS = (
    (re.compile(r"(\w+://[^\s/:@]*):[^\s/@]+@"), r"\1:*****@"),
    (re.compile(rf"(?i)\b({_NAMES}\b\"?\s*[=:]\s*\"?)[^\s\",;&]+"), r"\1*****"),
    (re.compile(r"(?i)\b(bearer|basic|geniekey)\s+[a-z0-9._~+/=-]{8,}"), r"\1 *****"),
)


def _summary(delivery: Delivery, incident: Incident, listed: Sequence[Incident]) -> str:
    one = incident.condition
    if delivery.purpose is Purpose.DIGEST:
        text = f"Digest: {_counted(len(listed))} of {delivery.maintainer}"
    elif delivery.purpose is Purpose.SUMMARY:
        text = f"Feedmill alerts are on: {_counted(len(listed))} of {delivery.maintainer} from before"
    elif delivery.purpose is Purpose.RESOLVE:
        text = f"Over: {one.subject} {_WAS.get(incident.kind, one.what)}"
    elif delivery.purpose is Purpose.IMPACT:
        text = f"Late because of {one.subject}: {', '.join(_hit(incident, delivery.maintainer))}"
    else:
        again = "Still: " if delivery.purpose is Purpose.REPEAT else ""
        back = f" (opened {incident.times} times)" if incident.times > 1 else ""
        why = f": {one.why}" if one.why else ""
        text = f"{again}{title(incident)}{back}{why}"
    text = " ".join(text.split())
    return text if len(text) <= SUMMARY else text[: SUMMARY - 1] + "…"


def _page(delivery: Delivery, incident: Incident, listed: Sequence[Incident], ground: Ground) -> Iterator[str]:
    one = incident.condition
    yield f"**{title(incident)}**, since {_since(one.since, ground.maintainers.get(delivery.maintainer))}."
    if incident.unknown_since is not None:
        yield f"Unknown since {_utc(incident.unknown_since)}: its source has said nothing since then."
    if incident.kind == STORM:
        yield _lines(f"- {title(member)}: {member.condition.why}" for member in listed)
    if means := _means(incident):
        yield means
    if one.why:
        yield f"**Why:** {one.why}"
    if parts := _parts(one.parts, ground):
        yield parts
    if one.impact:
        rows = (
            f"- {i.table} of {i.maintainer}, tier {i.tier}: {i.partitions:,} wait, {i.overdue:,} of them overdue"
            for i in one.impact
        )
        yield "**What waits for it:**\n" + _lines(rows)
    if one.evidence:
        yield _lines(f"- {name}: {value}" for name, value in one.evidence.items())
    if step := NEXT_STEPS.get(incident.kind):
        yield f"**Next:** {step.format(subject=one.subject)}"


def _means(incident: Incident) -> str:
    """What it means for those who read the table."""
    one = incident.condition
    if incident.kind not in tables.OF_TABLES:
        return ""
    if one.wakes:
        return "Readers do not have these partitions."
    return "Readers still have the rows of the build before; these are out of date."


def _parts(parts: Sequence[Part], ground: Ground) -> str:
    """The partitions, as ranges."""
    if len(parts) < 2 and len({part.table for part in parts}) < 2:
        return ""
    rows = []
    for part in parts:
        table = _table(part.table, ground)
        of = f" of {table.maintainer.name}" if table is not None else ""
        build = f", build {part.build_id}" if part.build_id else ""
        rows.append(f"- {part.table}{of}: {part.start:%Y-%m-%dT%H:%M} to {part.end:%Y-%m-%dT%H:%M}{build}")
    return "**Partitions:**\n" + _lines(rows)


def _end(delivery: Delivery, incident: Incident) -> Iterator[str]:
    one = incident.condition
    if incident.ending is Ending.WITHDRAWN:
        yield f"**{one.subject}** has left the map: its incident ({one.what}) is withdrawn."
    elif incident.closed_at is not None:
        assert incident.opened_at is not None
        lasted = int((incident.closed_at - one.since).total_seconds() // 60)
        yield f"**{one.subject}** {_WAS.get(incident.kind, one.what)}; this is over, after {lasted:,} minutes."
    else:
        yield f"**{title(incident)}**: {delivery.because}."


def _list_of(delivery: Delivery, listed: Sequence[Incident]) -> str:
    head = (
        "What can wait, since the last digest:"
        if delivery.purpose is Purpose.DIGEST
        else "Alerts are computed from now on. This was red already, and nobody is paged for it:"
    )
    rows = (f"- {title(one)}" + (f": {one.condition.why}" if one.condition.why else "") for one in listed)
    return f"{head}\n{_lines(rows)}"


def _lines(rows: Iterator[str] | Sequence[str]) -> str:
    every = list(rows)
    more = [f"- … and {len(every) - LISTED:,} more"] if len(every) > LISTED else []
    return "\n".join(every[:LISTED] + more)


def _hit(incident: Incident, maintainer: str) -> list[str]:
    return [one.table for one in incident.condition.impact if one.maintainer == maintainer and one.overdue]


def _table(name: str, ground: Ground) -> Table | None:
    return next((table for table in ground.map or () if table.name == name), None)


def _since(moment: datetime, maintainer: Maintainer | None) -> str:
    """In UTC, and in the reader's own time where that is another one."""
    if maintainer is None or maintainer.time_zone == "UTC":
        return _utc(moment)
    local = moment.astimezone(ZoneInfo(maintainer.time_zone))
    return f"{_utc(moment)} ({local:%H:%M} {maintainer.time_zone})"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _counted(number: int) -> str:
    return "1 incident" if number == 1 else f"{number:,} incidents"
