"""``feedmill docs``: make the generated pages, or compare them."""

from __future__ import annotations

from typing import Annotated

import typer

from feedmill.cli.command import ended, output
from feedmill.errors import Exit


def docs(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if a file would change.")] = False,
) -> None:
    """Make docs/tables/ and docs/lineage.svg from the map and the DDL.

    [bold]Examples:[/bold]  feedmill docs

      feedmill docs --check

    Exits with 1 if --check finds a difference.
    """
    from feedmill.authoring.table_pages import differences, pages, write
    from feedmill.project import project_path
    from include.tables import TABLES

    project = project_path()
    made = pages(TABLES, project)
    found = differences(made, project) if check else write(made, project)
    if not found:
        lines = [f"All {len(made)} files are up to date."]
    elif check:
        lines = [*(f"{path}: {why}" for path, why in found.items()), "Bring them up to date with: feedmill docs"]
    else:
        lines = [f"{'deleted' if why == 'left over' else 'wrote'} {path}" for path, why in found.items()]
    output().result({str(path): why for path, why in found.items()}, "\n".join(lines))
    ended(Exit.PROBLEM if check and found else Exit.OK)
