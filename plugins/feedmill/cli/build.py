"""``feedmill build``: build a range of a table in this process, or see what an edited transform would change."""

from __future__ import annotations

import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import ended, output
from feedmill.cli.exits import CommandError, code_of, sentence_of
from feedmill.cli.options import TableName, range_of, table_of, user, utc_now
from feedmill.cli.output import Steps, listing
from feedmill.errors import Exit
from feedmill.flow.verbs import Verb
from feedmill.spec import require_files

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import RenderableType

    from feedmill.deployment import Deployment
    from feedmill.explore.diff import Diff, PartitionDiff
    from feedmill.flow.build import Built
    from feedmill.flow.check import Checked
    from feedmill.flow.publish import Outcome
    from feedmill.spec import Table
    from feedmill.timeline import Range

PARTITIONS = 24
"""How many changed partitions the text form lists; --json lists all."""

CAUSES = 5
"""Causes, and ranges of a cause, that the text form names."""


def build(
    table: TableName,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="First partition, UTC, such as 2026-05-01T13. Default: the newest that has ended."
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="End of the range, exclusive. Default: one partition.")
    ] = None,
    no_publish: Annotated[
        bool, typer.Option("--no-publish", help="Publish nothing: build, show the result, and drop the branch.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Build and publish even if an input is not published yet.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Compare the new rows with the published ones.")] = False,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="Judge the rows by the suite; the imports take 9 seconds. Default: yes, but not with --no-publish.",
        ),
    ] = None,
) -> None:
    """Build, check and publish a range of a table in this process, as Airflow's tasks would.

    [bold]Examples:[/bold]  feedmill build rollups.item_engagement_hourly --start 2026-05-01T13

      feedmill build events.clean --start 2026-05-01 --end 2026-05-08

    [bold]Developing a transform:[/bold]  edit it, then see which rows and columns would change:

      feedmill build rollups.item_engagement_daily --no-publish --diff

    New columns of the DDL are added to the table even with --no-publish; a table that was never published is removed
    again, so that you may change its DDL as you like. Exits with 1 if a partition is held or the
    transform fails, 2 if the range has not ended or an input is not published, 3 if Spark or PostgreSQL does not
    answer, 4 if another build is at work.
    """
    out = output()
    if no_publish and check is None:
        check = False
    if check is False and not no_publish:
        raise CommandError("nothing is published without a check; give --no-check only with --no-publish")
    found = table_of(table)
    span = range_of(found, start, end, utc_now())
    with out.steps(f"{found.name} {span}: starting") as steps:
        run = _Run(found, span, steps, may_lack=partial or no_publish)
        left_out = {Verb.CHECK: check is False, Verb.PUBLISH: no_publish}
        try:
            for verb in Verb:
                if verb is Verb.PUBLISH and diff:
                    run.compare()
                if not left_out.get(verb, False):
                    run.do(verb)
        finally:
            if no_publish:
                run.discard()
    out.result(_plain(run), _text(run) if not out.as_json else None)
    if no_publish and run.checked is None:
        out.note("Not checked. Give --check to judge the rows by the table's suite too.", style="dim")
    held = bool(run.checked and run.checked.held) or bool(run.outcome and run.outcome.held)
    ended(Exit.PROBLEM if held else Exit.OK)


class _Run:
    """One build of the command line and its steps."""

    def __init__(self, table: Table, span: Range, steps: Steps, *, may_lack: bool):
        """``may_lack``: build even if an input is not published."""
        from feedmill.deployment import open_deployment

        self.table, self.span, self.steps, self.may_lack = table, span, steps, may_lack
        self.deployment: Deployment = open_deployment()
        require_files(table, self.deployment.project)
        # As in Airflow, an owner names one piece of work. If the same work is started again, it takes over from the
        # first try; other work goes on beside it.
        self.owner = f"cli/{user()}/{table.name}/{span}"
        self.session_ids: list[str] = []
        self._built: Built | None = None
        self.checked: Checked | None = None
        self.compared: Diff | None = None
        self.outcome: Outcome | None = None

    @property
    def built(self) -> Built:
        """What was built."""
        assert self._built is not None
        return self._built

    def do(self, verb: Verb) -> None:
        """One step of the flow."""
        match verb:
            case Verb.WAIT_FOR_INPUTS:
                self._require_inputs()
            case Verb.BUILD:
                self._built = self._build()
            case Verb.CHECK:
                self.checked = self._check()
            case Verb.PUBLISH:
                self.outcome = self._publish()

    def _require_inputs(self) -> None:
        """Here nobody waits: what is missing is said, and refused unless it may be missing."""
        lacks = self._lacks()
        if lacks and not self.may_lack:
            raise CommandError(f"{lacks} Publish that first, or give --partial to build what is there.")
        if lacks:
            output().note(lacks, style="yellow")

    def _lacks(self) -> str | None:
        """A sentence about inputs that are not published; None if all are."""
        from feedmill.flow.wait import lacking, refuse_future

        refuse_future(self.table, self.span, utc_now())
        with self.deployment.ledger.transaction() as session:
            return lacking(session, self.table, self.span)

    def _build(self) -> Built:
        from feedmill.flow.build import build
        from feedmill.flow.job import Job
        from feedmill.spark.session import interrupt

        self.steps.now(f"building {self.table.name} {self.span}")
        try:
            return build(Job(self.table, self.span, self.deployment, self.owner), self._started)
        except KeyboardInterrupt:
            if self.session_ids:
                interrupt(self.session_ids[-1])
            raise
        except Exception as error:
            if isinstance(error, AttributeError) and error.name == "transform":
                raise CommandError(f"{self.table.transform_path} has no function transform", Exit.PROBLEM) from error
            place = _place(error, self.deployment.project)
            if place is None or code_of(error) not in (Exit.UNEXPECTED, Exit.PROBLEM):
                raise
            what = "" if isinstance(error, SyntaxError) else f"{type(error).__name__}: "
            text = sentence_of(error) if code_of(error) is Exit.PROBLEM else f"{what}{error}"
            raise CommandError(f"{place}: {text}", Exit.PROBLEM) from error

    def _started(self, session_id: str) -> None:
        self.session_ids.append(session_id)

    def _check(self) -> Checked:
        from feedmill.flow.check import check

        self.steps.now("checking: importing Great Expectations takes some seconds")
        return check(self.table, self.built.build_id, self.deployment)

    def compare(self) -> None:
        """See what publishing it would change."""
        from feedmill.checks import suite
        from feedmill.explore.diff import compare, grain

        self.steps.now("comparing with what is published")
        key = grain(suite.load(self.deployment.project / self.table.suite_path))
        ledger, lake = self.deployment.ledger, self.deployment.lake
        self.compared = compare(self.table, self.span, self.built.build_id, key, ledger, lake, utc_now())

    def _publish(self) -> Outcome:
        from feedmill.flow.publish import publish

        self.steps.now("publishing")
        return publish(self.table, self.built.build_id, self.deployment.ledger, self.deployment.lake)

    def discard(self) -> None:
        """Drop the branch, and the table if it holds nothing else: a first table's DDL must stay free to change."""
        from feedmill.lake.attempts import drop_branch
        from feedmill.ledger import builds

        ledger, lake = self.deployment.ledger, self.deployment.lake
        # Several, if a file could not be read and the run began anew.
        with ledger.transaction() as session:
            tries = [build.id for build in builds.of_sessions(session, self.session_ids)]
            for build_id in tries:
                builds.discard(session, build_id)
        for build_id in tries:
            drop_branch(self.table, build_id, lake)
        with ledger.table_lock(self.table.name):
            lake.drop_if_unused(self.table)


def _place(error: BaseException, project: Path) -> str | None:
    """Where in the team's own code an error came from, as path and line."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(Path(error.filename), project)}:{error.lineno}"
    own = project / "include"
    places = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    # Spark finds many mistakes only when it plans the query, but it remembers which call made the expression.
    for context in error.getQueryContext() or [] if hasattr(error, "getQueryContext") else []:
        # A query in SQL has no call: asked for it, PySpark raises IndexError while it makes its own exception.
        if context.contextType().name == "DataFrame":
            file, _, line = str(context.callSite()).rpartition(":")
            places.append((file, int(line) if line.isdigit() else None))
    inside = [(Path(file), line) for file, line in places if Path(file).is_relative_to(own)]
    return f"{_short(inside[-1][0], project)}:{inside[-1][1]}" if inside else None


def _short(path: Path, project: Path) -> Path:
    return path.relative_to(project) if path.is_relative_to(project) else path


def _plain(run: _Run) -> dict[str, Any]:
    built, checked, compared, outcome = run.built, run.checked, run.compared, run.outcome
    name = run.table.every.name_of
    return {
        "table": run.table.name,
        "build": built.build_id,
        "start": name(run.span.start),
        "end": name(run.span.end),
        "rows": built.rows,
        "partitions": built.partitions,
        "seconds": round(built.seconds, 2),
        "check": None
        if checked is None
        else {
            "page": checked.page,
            "held": [name(v.partition) for v in checked.held],
            "findings": {
                name(v.partition): [asdict(f) for f in v.findings] for v in checked.report.verdicts if v.findings
            },
        },
        "diff": None
        if compared is None
        else {
            "key": compared.key,
            "partitions": [
                {
                    **asdict(p),
                    "partition": name(p.partition),
                    "was": p.was,
                }
                for p in compared.partitions
            ],
            "columns": [asdict(column) for column in compared.columns],
        },
        "publish": None
        if outcome is None
        else {state: [name(p) for p in partitions] for state, partitions in asdict(outcome).items()},
    }


def _text(run: _Run) -> RenderableType:
    built, checked, compared, outcome = run.built, run.checked, run.compared, run.outcome
    from rich.console import Group

    parts: list[RenderableType] = [
        f"Built {run.table.name} {run.span}: {built.rows:,} rows in {built.partitions} "
        f"{'partition' if built.partitions == 1 else 'partitions'}, {built.seconds:.1f} s (build {built.build_id})."
    ]
    if checked is not None:
        from rich.text import Text

        parts.append(Text(f"Check: {checked.sentence} Page: {checked.page}"))
        if evidence := checked.evidence():
            parts.append(Text(evidence, style="yellow"))
    if compared is not None:
        parts += _diff_text(run, compared)
    parts.append(f"Publish: {outcome.describe(run.table.every)}" if outcome is not None else "Nothing was published.")
    return Group(*parts)


def _diff_text(run: _Run, compared: Diff) -> list[RenderableType]:
    differing = [p for p in compared.partitions if p]
    if not differing:
        return ["Nothing changes: the rows are equal.", *_before(run, compared.partitions)]
    headers = ("partition", "was", "rows before", "rows after", "added", "removed", "changed")
    rows = [
        (
            run.table.every.name_of(p.partition),
            p.was,
            f"{p.before:,}",
            f"{p.after:,}",
            f"{p.added:,}",
            f"{p.removed:,}",
            "sketches" if p.sketches else f"{p.changed:,}",
        )
        for p in differing[:PARTITIONS]
    ]
    parts: list[RenderableType] = ["", listing(headers, rows, right=headers[2:])]
    if len(differing) > PARTITIONS:
        parts.append(f"… and {len(differing) - PARTITIONS} more partitions; --json lists all")
    if same := len(compared.partitions) - len(differing):
        parts.append(f"Equal: {same} more.")
    parts += _before(run, compared.partitions)
    parts += _not_deterministic(run, compared.partitions)
    if compared.columns:
        columns = [
            (c.column, f"{c.rows:,}", c.before, c.after, ", ".join(str(v) for v in list(c.key.values())[1:]))
            for c in compared.columns
        ]
        parts += ["", listing(("column", "rows", "before", "after", "for example"), columns, right=("rows",))]
    return [*parts, ""]


def _before(run: _Run, partitions: list[PartitionDiff]) -> list[RenderableType]:
    """Why the partitions were not fresh: each state and cause once, with the partitions that had it."""
    from rich.text import Text

    found: dict[str, list[datetime]] = {}
    for partition in partitions:
        for state, why in partition.causes.items():
            if why:
                found.setdefault(f"{state.value}: {why}", []).append(partition.partition)
    said = [Text(f"{_spans(run, moments)} was {cause}") for cause, moments in list(found.items())[:CAUSES]]
    more = [f"… and {len(found) - CAUSES} more causes; --json lists all"] if len(found) > CAUSES else []
    return [*said, *more]


def _not_deterministic(run: _Run, partitions: list[PartitionDiff]) -> list[RenderableType]:
    from rich.text import Text

    moments = [one.partition for one in partitions if one.is_not_deterministic]
    if not moments:
        return []
    return [
        Text(
            f"{_spans(run, moments)}: the inputs and the code are the same as before, and the rows are not. "
            f"{run.table.transform_path} does not give the same rows twice (it is not deterministic). "
            "Look for the time of day, random values, ranks without a tie-break, and sums of floating-point numbers.",
            style="bold red",
        )
    ]


def _spans(run: _Run, moments: list[datetime]) -> str:
    """The partitions as ranges, the first few of them."""
    from feedmill.timeline import runs

    spans = [str(span) for span in runs(moments, run.table.every)]
    return ", ".join(spans[:CAUSES]) + (f" and {len(spans) - CAUSES} more ranges" if len(spans) > CAUSES else "")
