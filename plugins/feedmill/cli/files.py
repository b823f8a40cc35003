"""``feedmill files``: the registered files, those that no build reads, and a person's word about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import command, output
from feedmill.cli.exits import CommandError
from feedmill.cli.options import user
from feedmill.cli.output import listing
from feedmill.errors import Exit
from feedmill.timeline import DAY, HOUR, parse

if TYPE_CHECKING:
    from rich.console import RenderableType
    from sqlalchemy.orm import Session

    from feedmill.deployment import Deployment
    from feedmill.ledger.models import File

files = typer.Typer(
    no_args_is_help=True, help="See which landed files are read, and rule one out or have it read again."
)

FileName = Annotated[
    str,
    typer.Argument(metavar="FILE", help="Its URL, or the end of it, such as events_jsonl/2026-05-01T13/a.jsonl."),
]


@command(files, "list")
def list_files(
    quarantined: Annotated[
        bool,
        typer.Option("--quarantined", help="Only the files that no build reads, after a sum by source and hour."),
    ] = False,
    source: Annotated[str | None, typer.Option(help="Only files of this source.")] = None,
    hour: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only this arrival hour (2026-05-01T13) or day (2026-05-01).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many files, the newest ones.")] = 50,
) -> None:
    """List registered files, newest first, and say which of them no build reads, and why.

    [bold]Examples:[/bold]  feedmill files list --quarantined

      feedmill files list --source events_jsonl --hour 2026-05-01T13
    """
    from feedmill.deployment import open_deployment
    from feedmill.ledger import files as registered
    from feedmill.ledger import quarantine

    out = output()
    hours = None
    if hour is not None:
        start = parse(hour)
        hours = start, start + (HOUR if "T" in hour else DAY).length
    with open_deployment().ledger.transaction() as session:
        if quarantined:
            found = quarantine.newest(session, limit, source, hours)
            sums = [one for one in quarantine.quarantined(session, *(hours or ())) if source in (None, one.source)]
        else:
            found, sums = registered.newest(session, limit, source, hours), []
    data: Any = [_plain(file) for file in found]
    if quarantined:
        by_hour = [{**vars(one), "arrival_hour": HOUR.name_of(one.arrival_hour)} for one in sums]
        data = {"by_source_and_hour": by_hour, "files": data}
    out.result(data, None if out.as_json else _listed(found, sums, quarantined))


@command(files, "show")
def show(file: FileName) -> None:
    """Show a registered file: its state, who reads it, and what was decided about it.

    [bold]Example:[/bold]  feedmill files show events_jsonl/2026-05-01T13/a.jsonl

    Exits with 2 if no registered file, or more than one, is called so.
    """
    from rich.console import Group
    from rich.text import Text

    from feedmill.deployment import open_deployment
    from feedmill.ledger import quarantine

    out = output()
    deployment = open_deployment()
    with deployment.ledger.transaction() as session:
        found = _find(session, file)
        readers = _readers(session, found, deployment)
        decided = quarantine.decisions(session, found.path)
    lines: list[RenderableType] = [
        Text(f"{_shown(found.path)}: {_state(found)}"),
        Text(
            f"{found.size:,} bytes of {found.source}, arrived in {HOUR.name_of(found.arrival_hour)}; "
            f"etag {found.etag}, number {found.number:,}"
        ),
        Text("Read by:" if found.not_read is None else "Would be read by:"),
        *(Text(f"  {one['table']} {one['partitions']}: {one['state']}") for one in readers),
        *(
            Text(f"{one.decided_at:%Y-%m-%d %H:%M} {one.what} by {_shown(one.name)}: {_shown(one.reason)}")
            for one in decided
        ),
    ]
    history = [
        {"what": one.what, "name": one.name, "reason": one.reason, "etag": one.etag, "at": one.decided_at}
        for one in decided
    ]
    out.result({**_plain(found), "read_by": readers, "decisions": history}, None if out.as_json else Group(*lines))


@command(files, "disown")
def disown(
    file: FileName,
    name: Annotated[str, typer.Option(help="Your name. The ledger keeps it.")],
    reason: Annotated[str, typer.Option(help="Why it must not be read. The ledger keeps it.")],
) -> None:
    """Rule a registered file out: no build reads it any more. The partitions that had read it are stale then.

    [bold]Example:[/bold]  feedmill files disown a.jsonl --name "Ada" --reason "deleted by mistake, INC-1234"

    It is the way out whatever is wrong with a file: it is gone, it has changed, or a build fails on it and nobody knows
    why. Its hour can then be built without it. events.rejected says so, with the reason, in one row.

    Exits with 2 if the rows of its hour have passed their retention, or no such file is registered.
    """
    from feedmill.deployment import open_deployment
    from feedmill.ledger import quarantine

    deployment = open_deployment()
    with deployment.ledger.transaction() as session:
        path = _find(session, file).path
    with deployment.ledger.transaction() as session:
        found = quarantine.disown(session, path, name, reason, deployment.tables)
    output().result(
        _plain(found),
        f"{_shown(found.path)} is disowned. Restate {HOUR.name_of(found.arrival_hour)}: `feedmill status --stale-only` "
        "names the tables.",
    )


@command(files, "readmit")
def readmit(
    file: FileName,
    name: Annotated[str | None, typer.Option(help="Your name. Without: the name of your account.")] = None,
    reason: Annotated[str, typer.Option(help="Why it can be read now.")] = "it can be read now",
) -> None:
    """Have a file read again that was quarantined or disowned, with the bytes that lie there now.

    [bold]Example:[/bold]  feedmill files readmit a.jsonl --name "Ada" --reason "restored from the backup"

    The file keeps its arrival hour, and the partitions of that hour are stale then. If the file still cannot be read,
    the next build quarantines it again.

    Exits with 1 if the file is not there, and with 2 if builds read it already, if the rows of its hour have passed
    their retention, or if no such file is registered.
    """
    from feedmill.deployment import open_deployment
    from feedmill.landing.discover import look_again
    from feedmill.ledger import quarantine

    deployment = open_deployment()
    with deployment.ledger.transaction() as session:
        known = _find(session, file)
    seen = look_again(deployment.lake.landing, known, deployment.sources)
    if seen is None:
        raise CommandError(f"{_shown(known.path)} is not there, or cannot be opened; put it back first", Exit.PROBLEM)
    with deployment.ledger.transaction() as session:
        found = quarantine.readmit(session, seen, name or user(), reason, deployment.tables)
    still = "" if found.not_read is None else f" But it still has a defect: {_shown(found.not_read)}."
    output().result(
        _plain(found),
        f"{_shown(found.path)} is readmitted.{still} Restate {HOUR.name_of(found.arrival_hour)}: "
        "`feedmill status --stale-only` names the tables.",
    )


def _find(session: Session, name: str) -> File:
    from feedmill.ledger import files as registered

    path = Path(name)
    return registered.find(session, path.resolve().as_uri() if path.exists() else name)


def _readers(session: Session, file: File, deployment: Deployment) -> list[dict[str, str]]:
    """The tables that read the file's arrival hour, in which partitions, and whether these know its state."""
    from feedmill.freshness.load import load
    from feedmill.spec import Files

    found = []
    tables = [table for table in deployment.tables if any(isinstance(entry, Files) for entry in table.inputs)]
    known = load(session, tables)
    for table in tables:
        for entry in table.inputs:
            if not isinstance(entry, Files) or entry.kind != file.kind:
                continue
            first = table.every.floor(file.arrival_hour)
            last = table.every.floor(file.arrival_hour + entry.lookback)
            published = {p: one for p, one in known.published.get(table.name, {}).items() if first <= p <= last}
            expired = [p for p in known.expired.get(table.name, ()) if first <= p <= last]
            before = [p for p, one in published.items() if one.begin < file.number]
            parts = [f"{len(published)} published"] if first != last or not published else ["published"]
            parts += [f"{len(before)} of them before the file's present state"] if before else []
            parts += [f"{len(expired)} expired"] if expired else []
            names = table.every.name_of(first), table.every.name_of(last)
            found.append(
                {
                    "table": table.name,
                    "partitions": names[0] if first == last else f"{names[0]} to {names[1]}",
                    "state": ", ".join(parts) if published or expired else "not published yet",
                }
            )
    return found


def _state(file: File) -> str:
    if file.disowned_by is not None:
        return f"disowned by {_shown(file.disowned_by)}: {_shown(file.disowned_because or '')}"
    return "read" if file.defect is None else f"defect: {_shown(file.defect)}"


def _shown(text: str) -> str:
    """Text that comes from outside, without what a terminal would take for a command."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _plain(file: File) -> dict[str, Any]:
    return {
        "file": file.path,
        "source": file.source,
        "kind": file.kind,
        "arrival_hour": HOUR.name_of(file.arrival_hour),
        "bytes": file.size,
        "etag": file.etag,
        "state": "disowned" if file.disowned_by is not None else "defect" if file.defect is not None else "read",
        "defect": file.defect,
        "disowned_by": file.disowned_by,
        "disowned_because": file.disowned_because,
        "number": file.number,
    }


def _listed(found: list[File], sums: list[Any], quarantined: bool) -> RenderableType:
    from rich.console import Group

    if not found:
        return "Every file is read." if quarantined else "No file is registered."
    rows = [
        (HOUR.name_of(file.arrival_hour), file.source, f"{file.size:,}", _shown(file.path), _state(file))
        for file in found
    ]
    table = listing(("arrived", "source", "bytes", "file", "state"), rows, right=("bytes",))
    if not quarantined:
        return table
    by_hour = [
        (HOUR.name_of(one.arrival_hour), one.source, f"{one.files:,}", f"{one.bytes:,}", f"{one.disowned:,}")
        for one in sums
    ]
    headers = ("arrived", "source", "files not read", "bytes", "of them disowned")
    return Group(listing(headers, by_hour, right=headers[2:]), "", table)
