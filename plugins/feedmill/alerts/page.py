"""What a message says: one model, from which every channel's text is made. Pure.

The first line is useful on a lock screen. The body answers, in this order: what is wrong and since when, what it means
for readers, why, what to do next, and where to look. Secrets are scrubbed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

from feedmill.alerts import tables
from feedmill.alerts.burn_rates import ALARMS
from feedmill.alerts.channels.channel import SUMMARY, Action, Message, Severity
from feedmill.alerts.dispatch import STORM
from feedmill.alerts.incident import Delivery, Ending, Impact, Incident, Part, Purpose
from feedmill.alerts.scrub import HIDDEN, scrubbed
from feedmill.checks import pages
from feedmill.spec import Maintainer, Map, Table

LISTED = 12
"""Partitions, tables or incidents that a page names."""

REASON = 300
"""Characters of a reason in a list."""

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
    "import error": "could not be imported",
    "outside the map": "belonged to nobody",
    "files quarantined": "had files that could not be read",
    "channel down": "took nothing",
    "map broken": "could not be imported",
    STORM: "had many incidents at once",
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
        "fix the suite and clear `check`. If the rows are right as they are: "
        "`feedmill accept {build} {partition} --name … --reason …`."
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
    "channel down": (
        "Check the connection `{subject}` in Airflow. Then `feedmill alerts test MAINTAINER` sends a page that is "
        "marked as a test."
    ),
    **{alarm.kind: "Follow the runbook. Look first at what was deployed last." for alarm in ALARMS},
    "red flag": (
        "Compare the hour with the model's dashboard. Of a table: look for rows that are missing, late or rejected, "
        "and for changed code. Of a model: look for a deployment, or an experiment that began."
    ),
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
    lines.append(f"Sent to {delivery.maintainer} ({delivery.because}). Incident: `{incident.alias}`")
    return Message(
        action,
        incident.alias if action is not Action.NOTICE else delivery.id,
        _summary(delivery, incident, listed),
        scrubbed("\n\n".join(lines)),
        _SEVERITIES[one.tier],
        one.subject,
        tuple(links(incident, ground)) if delivery.purpose not in (Purpose.DIGEST, Purpose.SUMMARY) else (),
        {
            "kind": incident.kind,
            "maintainer": incident.maintainer,
            "tier": str(one.tier),
            "since": _utc(one.since),
            **{name: _value(name, value) for name, value in one.evidence.items()},
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


def _summary(delivery: Delivery, incident: Incident, listed: Sequence[Incident]) -> str:
    one = incident.condition
    if delivery.purpose is Purpose.DIGEST:
        text = f"Digest of {delivery.maintainer}: {_counted(len(listed))}: {_named(_subjects(listed))}"
    elif delivery.purpose is Purpose.SUMMARY:
        text = f"Feedmill alerts are on: {_counted(len(listed))} of {delivery.maintainer} from before"
    elif delivery.purpose is Purpose.RESOLVE:
        text = f"Over: {one.subject} {_WAS.get(incident.kind, one.what)}"
    elif delivery.purpose is Purpose.IMPACT:
        text = f"{_late(incident, delivery.maintainer)}: {title(incident)}"
    else:
        again = "Still: " if delivery.purpose is Purpose.REPEAT else ""
        back = f" (opened {incident.times} times)" if incident.times > 1 else ""
        why = f": {_why(incident)}" if _why(incident) else ""
        text = f"{again}{title(incident)}{back}{why}"
    # Cut only afterwards: half of a credential no longer looks like one.
    return _cut(scrubbed(text), SUMMARY)


def _page(delivery: Delivery, incident: Incident, listed: Sequence[Incident], ground: Ground) -> Iterator[str]:
    one = incident.condition
    since = _since(one.since, ground.maintainers.get(delivery.maintainer))
    is_impact = delivery.purpose is Purpose.IMPACT
    if is_impact:
        yield f"**{_late(incident, delivery.maintainer)}.** The cause: {title(incident)}, since {since}."
    else:
        yield f"**{title(incident)}**, since {since}."
    if incident.unknown_since is not None:
        yield f"Unknown since {_utc(incident.unknown_since)}: its source has said nothing since then."
    if incident.kind == STORM:
        yield _lines(_row(member) for member in sorted(listed, key=lambda member: member.condition.since))
    if not is_impact and (means := _means(incident, ground)):
        yield means
    if _why(incident):
        yield f"**Why:** {_why(incident)}"
    if parts := _parts(one.parts, ground):
        yield parts
    if is_impact and (yours := _hit(incident, delivery.maintainer)):
        yield "**Your tables that are late:**\n" + _lines(_waits(impact) for impact in yours)
    others = [impact for impact in one.impact if not is_impact or impact.maintainer != delivery.maintainer]
    if others:
        head = "What else waits for it" if is_impact else "What waits for it"
        yield f"**{head}:**\n" + _lines(_waits(impact) for impact in others)
    if one.evidence:
        yield _lines(f"- {name}: {_value(name, value)}" for name, value in one.evidence.items())
    if is_impact:
        yield (
            f"**Next:** There is nothing to mend in your tables: it is an incident of {incident.maintainer}. They are "
            f"built by themselves once it is over. If they cannot wait, talk to {incident.maintainer}."
        )
    elif step := NEXT_STEPS.get(incident.kind):
        build, partition = _accepted(incident, ground)
        yield f"**Next:** {step.format(subject=one.subject, build=build, partition=partition)}"


def _means(incident: Incident, ground: Ground) -> str:
    """What it means for those who read the table."""
    one = incident.condition
    if incident.kind not in tables.OF_TABLES:
        return ""
    is_one = len(one.parts) == 1 and _has_one(one.parts[0], ground)
    if one.wakes:
        return f"Readers do not have {'this partition' if is_one else 'these partitions'}."
    return "Readers still have the rows of the build before, which are out of date."


def _has_one(part: Part, ground: Ground) -> bool:
    table = _table(part.table, ground)
    return table is not None and part.end - part.start == table.every.length


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
        lasted = _lasted(incident.closed_at - one.since)
        yield f"**{one.subject}** {_WAS.get(incident.kind, one.what)}. It is over, after {lasted}."
    else:
        yield f"**{title(incident)}**: {delivery.because}."


def _list_of(delivery: Delivery, listed: Sequence[Incident]) -> str:
    head = (
        "What can wait, since the last digest:"
        if delivery.purpose is Purpose.DIGEST
        else "Alerts are computed from now on. This was red already, and nobody is paged for it:"
    )
    return f"{head}\n{_lines(_row(one) for one in listed)}"


def _row(incident: Incident) -> str:
    """One incident of a list."""
    why = _why(incident)
    return _cut(scrubbed(f"- {title(incident)}: {why}" if why else f"- {title(incident)}"), REASON)


def _waits(impact: Impact) -> str:
    """One table of a list of those that wait."""
    who = f"{impact.table} of {impact.maintainer}, tier {impact.tier}"
    return f"- {who}: {impact.partitions:,} waiting, {impact.overdue:,} overdue"


def _lines(rows: Iterator[str] | Sequence[str]) -> str:
    every = list(rows)
    more = [f"- … and {len(every) - LISTED:,} more"] if len(every) > LISTED else []
    return "\n".join(every[:LISTED] + more)


def _hit(incident: Incident, maintainer: str) -> list[Impact]:
    """The maintainer's tables that are late because of it."""
    return [one for one in incident.condition.impact if one.maintainer == maintainer and one.overdue]


def _late(incident: Incident, maintainer: str) -> str:
    """Which of the maintainer's tables are late, in a few words. None may be by now: a message can be late itself."""
    hit = [one.table for one in _hit(incident, maintainer)] or [f"a table of {maintainer}"]
    return f"{_named(hit)} {'is' if len(hit) == 1 else 'are'} late"


def _why(incident: Incident) -> str:
    """The cause, without the words that the title has already."""
    return incident.condition.why.removeprefix("failed: ") if incident.kind == tables.FAILED else incident.condition.why


def _value(name: str, value: str) -> str:
    """A fact's value. Its name may be what tells that it is a credential."""
    return HIDDEN if scrubbed(f"{name}=x") == f"{name}={HIDDEN}" else scrubbed(value)


def _accepted(incident: Incident, ground: Ground) -> tuple[str, str]:
    """The build and the partition, as `feedmill accept` takes them; placeholders where there are several."""
    parts = incident.condition.parts
    table = _table(parts[0].table, ground) if len(parts) == 1 else None
    if table is None or not parts[0].build_id or not _has_one(parts[0], ground):
        return "BUILD", "PARTITION"
    return parts[0].build_id, table.every.name_of(parts[0].start)


def _table(name: str, ground: Ground) -> Table | None:
    return next((table for table in ground.map or () if table.name == name), None)


def _since(moment: datetime, maintainer: Maintainer | None) -> str:
    """In UTC, and in the reader's own time where that is another one."""
    if maintainer is None or maintainer.time_zone == "UTC":
        return _utc(moment)
    local = moment.astimezone(ZoneInfo(maintainer.time_zone))
    return f"{_utc(moment)} ({local:%a %H:%M} {maintainer.time_zone})"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _counted(number: int) -> str:
    return "1 incident" if number == 1 else f"{number:,} incidents"


def _subjects(listed: Sequence[Incident]) -> list[str]:
    return list(dict.fromkeys(one.condition.subject for one in listed))


def _named(names: Sequence[str]) -> str:
    """The first ones, and how many more: a lock screen shows no long list."""
    if len(names) <= 2:
        return " and ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2:,} more"


def _lasted(time: timedelta) -> str:
    minutes = max(int(time.total_seconds() // 60), 0)
    if minutes < 120:
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 48 * 60 else f"{minutes // (24 * 60):,} days"


def _cut(text: str, longest: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
