"""``feedmill new-table``: the files of a table, and its block in the map."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer

from feedmill.cli.command import output
from feedmill.cli.options import table_of
from feedmill.timeline import DAY, HOUR


def new_table(
    name: Annotated[str, typer.Argument(metavar="SCHEMA.NAME", help="The new table, such as dashboards.clicks_daily.")],
    reads: Annotated[
        str, typer.Option("--input", metavar="TABLE", help="The table that it reads. docs/tables lists all.")
    ],
    maintainer: Annotated[
        str, typer.Option(metavar="TEAM", help="A team of include/maintainers.py, such as feed-data.")
    ],
    daily: Annotated[
        bool | None, typer.Option("--daily/--hourly", help="One partition a day or an hour. Default: as the input.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The text column of the input to count by. Default: item_id, or the first one."
        ),
    ] = None,
    tier: Annotated[
        int, typer.Option(min=1, max=3, metavar="1…3", help="1 pages at any hour, 2 in working hours, 3 only notifies.")
    ] = 3,
    keep: Annotated[int, typer.Option(min=1, metavar="DAYS", help="Delete rows after this many days.")] = 400,
) -> None:
    """Write the files of a new table and add it to include/tables.py: DDL, transform, suite and test.

    [bold]Example:[/bold]  feedmill new-table dashboards.clicks --daily --input events.clean --maintainer feed-data

    The files work as they are: they count the input's rows by one of its columns, and the test passes. Then you edit
    them; docs/first-table.md shows it step by step. The command overwrites nothing. If it cannot change
    include/tables.py safely, it prints the block to paste. Exits with 2 if the name, the input or the maintainer is
    wrong.
    """
    from feedmill.authoring.new_table import plan, write
    from feedmill.authoring.table_pages import FOLDER
    from feedmill.project import project_path
    from include.maintainers import MAINTAINERS
    from include.tables import TABLES

    project = project_path()
    read = table_of(reads)
    every = read.every if daily is None else (DAY if daily else HOUR)
    made = plan(
        name,
        every,
        read,
        MAINTAINERS[maintainer],
        TABLES,
        project,
        key=by,
        tier=cast("Literal[1, 2, 3]", tier),
        keep_days=keep,
    )
    written = write(made, project)
    lines = [f"wrote {path}" for path in written]
    if made.new_map is None:
        lines += ["", f"{made.why_not}. Paste this above TABLES:", ""]
        lines += [*made.imports, "", made.block]
    lines += [
        "",
        "Next (docs/first-table.md shows each step):",
        f"  Edit      {made.table.ddl_path}, then the transform, the suite and the test",
        f"            The columns that you can read: {FOLDER / read.name}.md",
        f"  Test      .venv/bin/python -m pytest {made.table.test_path}",
        f"  Try       .venv/bin/feedmill build {name} --no-publish --check   (the stack must be up: make up)",
        "  Document  .venv/bin/feedmill docs",
        "  Record    the number of shuffles, in tests/spark/test_plans.py:",
        f"            .venv/bin/python -m pytest tests/spark/test_plans.py tests/test_contract.py -k {name}",
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
