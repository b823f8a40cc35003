"""The generated pages of ``docs/``: one for each table, their index, and the lineage picture.

They are made only from the map and the DDL. So they are the same on every machine, and can be committed. Airflow shows
a table's page as the documentation of its DAG.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from feedmill.authoring.lineage import svg
from feedmill.lake import ddl as ddl_module
from feedmill.spec import Files, Input, Map, Ripple, Table
from feedmill.timeline import HOUR

FOLDER = Path("docs/tables")
PICTURE = Path("docs/lineage.svg")

# Plain text, because Airflow would show an HTML comment literally.
_MADE = "*Made by `feedmill docs` from the map and the DDL: edit those.*"

_TIERS = {1: "1: pages at any hour", 2: "2: pages in working hours", 3: "3: notifies, never pages"}

_RIPPLES = {
    Ripple.ALL: "every partition that reads it",
    Ripple.LATEST: "the newest partition only",
    Ripple.NONE: "nothing",
}


def pages(tables: Map, project: Path) -> dict[Path, str]:
    """Every generated file, by its path in the project.

    Raises:
        DdlError: a table's DDL is missing or cannot be read.
    """
    made = {FOLDER / f"{table.name}.md": _page(table, tables, project) for table in tables}
    return {PICTURE: svg(tables), FOLDER / "README.md": _index(tables, project), **made}


def differences(made: Mapping[Path, str], project: Path) -> dict[Path, str]:
    """The pages that are out of date: missing, different, or left over from a table that is gone."""
    found = {}
    for path, text in made.items():
        there = project / path
        if not there.is_file():
            found[path] = "missing"
        elif there.read_text(encoding="utf-8") != text:
            found[path] = "different"
    for left in sorted((project / FOLDER).glob("*.md")):
        if left.relative_to(project) not in made:
            found[left.relative_to(project)] = "left over"
    return found


def write(made: Mapping[Path, str], project: Path) -> dict[Path, str]:
    """Bring the pages up to date, and return which ones changed and why."""
    found = differences(made, project)
    for path, why in found.items():
        if why == "left over":
            (project / path).unlink()
            continue
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(made[path], encoding="utf-8")
    return found


def _page(table: Table, tables: Map, project: Path) -> str:
    ddl = ddl_module.read(project / table.ddl_path)
    columns = [(f"`{c.name}`", f"`{c.sql_type}`", c.comment) for c in ddl.columns]
    readers = [f"- {_link(reader)}" for reader in tables.readers(table)] or ["No table of the map."]
    return "\n".join(
        [
            f"# {table.name}",
            "",
            ddl.comment,
            "",
            *_grid(("", ""), _facts(table, ddl.partition_column)),
            "",
            "## Columns",
            "",
            *_grid(("column", "type", "meaning"), columns),
            "",
            "## Reads",
            "",
            *_grid(("input", "what of it", "a change makes stale"), [_input(e, table) for e in table.inputs]),
            "",
            "## Read by",
            "",
            *readers,
            "",
            "## Restate a range",
            "",
            *_restate(table),
            "",
            _MADE,
            "",
        ]
    )


def _facts(table: Table, partition_column: str) -> Iterator[tuple[str, str]]:
    owner = table.maintainer
    yield "built", f"{table.every.value}; one partition per UTC {_unit(table)}, column `{partition_column}`"
    yield "maintainer", f"[{owner.name}]({owner.link}): {owner.description}"
    if owner.backup:
        yield "backup", f"[{owner.backup.name}]({owner.backup.link})"
    yield "tier", _TIERS[table.tier]
    yield "due", f"{_length(table.due)} after the end of the {_unit(table)}"
    yield "kept", _length(table.keep)
    files = (table.ddl_path, table.transform_path, table.suite_path, table.test_path)
    for what, path in zip(("DDL", "transform", "suite", "test"), files, strict=True):
        yield what, f"[{path}](../../{path})"


def _input(entry: Files | Input, table: Table) -> tuple[str, str, str]:
    name = f"files of {entry.kind}" if isinstance(entry, Files) else _link(entry.table)
    return name, _window(entry, table), _RIPPLES[entry.ripple]


def _window(entry: Files | Input, table: Table) -> str:
    """Says in words which part of an input one partition reads."""
    unit = _unit(table)
    if isinstance(entry, Files):
        what = "the files that arrived"
    elif entry.as_of:
        lag = f" plus {_length(entry.lag)}" if entry.lag else ""
        none = ", or none until there is one" if entry.optional else ""
        return f"as of: its newest {_unit(entry.table)} that ended{lag} before the end of the {unit}{none}"
    elif entry.by == "touches":
        return f"by touches: every arrival {_unit(entry.table)} that has rows of the {unit}, however late"
    else:
        what = f"its {_unit(entry.table)}s"
    if isinstance(entry, Input) and entry.lag:
        length = _length(entry.lookback + table.every.length - entry.lag)
        if entry.lag == table.every.length:
            return f"{what} in the {length} before the {unit}"
        return f"{what} in the {length} that ended {_length(entry.lag)} before the end of the {unit}"
    if entry.lookback:
        return f"{what} in the {unit} and the {_length(entry.lookback)} before it"
    if isinstance(entry, Input) and entry.table.every is table.every:
        return f"the same {unit}"
    return f"{what} in the {unit}" if isinstance(entry, Files) else f"{what} of the {unit}"


def _restate(table: Table) -> list[str]:
    start, end = (
        ("2026-05-01T13:00:00Z", "2026-05-01T18:00:00Z")
        if table.every is HOUR
        else (
            "2026-05-01T00:00:00Z",
            "2026-05-08T00:00:00Z",
        )
    )
    return [
        f"In Airflow: the DAG `{table.dag_id}`, *Trigger*, with `start` {start} and `end` {end} (exclusive). It",
        "builds, checks and publishes every partition of the range; the rows are the same as if each had been built",
        "alone. For one partition that has its own run, clear that run's `build` instead.",
        "",
        "On the command line, with `--no-publish --diff` to see first what would change:",
        "",
        f"    feedmill build {table.name} --start {start[:13] if table.every is HOUR else start[:10]} "
        f"--end {end[:13] if table.every is HOUR else end[:10]}",
    ]


def _index(tables: Map, project: Path) -> str:
    rows = [
        (
            _link(table),
            table.every.value,
            ddl_module.read(project / table.ddl_path).comment,
            f"[{table.maintainer.name}]({table.maintainer.link})",
            str(table.tier),
        )
        for table in sorted(tables, key=lambda table: table.name)
    ]
    return "\n".join(
        [
            "# Tables",
            "",
            "![Lineage](../lineage.svg)",
            "",
            *_grid(("table", "built", "one row", "maintainer", "tier"), rows),
            "",
            _MADE,
            "",
        ]
    )


def _link(table: Table) -> str:
    return f"[{table.name}]({table.name}.md)"


def _unit(table: Table) -> str:
    return "hour" if table.every is HOUR else "day"


def _length(length: timedelta) -> str:
    if length % timedelta(days=1) == timedelta(0):
        return "1 day" if length.days == 1 else f"{length.days} days"
    hours = length / timedelta(hours=1)
    return "1 hour" if hours == 1 else f"{hours:g} hours"


def _grid(header: tuple[str, ...], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [list(header), ["---"] * len(header), *escaped]]
