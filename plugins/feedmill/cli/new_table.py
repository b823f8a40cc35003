"""``feedmill new-table``: the files of a table, and its block in the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from feedmill.cli.command import output
from feedmill.cli.exits import CommandError
from feedmill.cli.options import table_of
from feedmill.timeline import DAY, HOUR

if TYPE_CHECKING:
    from feedmill.spec import Maintainer


def new_table(
    name: Annotated[str, typer.Argument(metavar="SCHEMA.NAME", help="The new table, such as dashboards.clicks_daily.")],
    reads: Annotated[str, typer.Option("--input", metavar="TABLE", help="The table that it reads.")],
    maintainer: Annotated[str, typer.Option(help="A team of include/maintainers.py, such as feed-data.")],
    daily: Annotated[bool | None, typer.Option("--daily/--hourly", help="Default: as the input.")] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The input's column to count by. Default: item_id, or its first text."),
    ] = None,
    tier: Annotated[int, typer.Option(min=1, max=3, help="1 pages at any hour, 2 in working hours, 3 notifies.")] = 3,
    keep: Annotated[int, typer.Option(min=1, metavar="DAYS", help="Retention.")] = 400,
) -> None:
    """Write a table's DDL, transform, suite and test, which work as they are, and add it to include/tables.py.

    [bold]Example:[/bold]  feedmill new-table dashboards.clicks --daily --input events.clean --maintainer feed-data

    It counts the input's rows, so that the first edit is the query. Nothing is overwritten. The map is changed only
    where the result was run and holds; otherwise the block to paste is printed. Exits with 2 where the name, the
    input or the maintainer is no good.
    """
    from feedmill.authoring.new_table import plan, write
    from feedmill.project import project_path
    from include.tables import TABLES

    project = project_path()
    read = table_of(reads)
    every = read.every if daily is None else (DAY if daily else HOUR)
    made = plan(
        name,
        every,
        read,
        _maintainer(maintainer),
        TABLES,
        project,
        key=by,
        tier=cast("Literal[1, 2, 3]", tier),
        keep_days=keep,
    )
    written = write(made, project)
    lines = [f"wrote {path}" for path in written]
    if made.new_map is None:
        lines += ["", f"{made.why_not}: paste this into it, above TABLES.", ""]
        lines += [*made.imports, "", made.block]
    lines += [
        "",
        f"Test it:   .venv/bin/python -m pytest {made.table.test_path}",
        f"Build it:  feedmill build {name} --no-publish --diff   (the stack must be up)",
        "Document:  feedmill docs",
        "Then:      make test; it asks for the number of shuffles in tests/spark/test_plans.py",
    ]
    output().result(
        {
            "table": name,
            "written": [str(path) for path in written],
            "in_map": made.new_map is not None,
            "block": made.block,
        },
        "\n".join(lines),
    )


def _maintainer(name: str) -> Maintainer:
    import include.maintainers
    from feedmill.spec import Maintainer

    found = {m.name: m for m in vars(include.maintainers).values() if isinstance(m, Maintainer)}
    if name not in found:
        raise CommandError(f"include/maintainers.py has no maintainer {name!r}; it has {', '.join(sorted(found))}")
    return found[name]
