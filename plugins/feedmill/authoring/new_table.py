"""A new table: its four files, and its block in the map.

The files work as they are: they count the input's rows by one of its columns, and their test passes. No existing file
is overwritten. The block goes into the map above its last line, where the map finds its tables. First the changed text
is run; only if that gives a valid map is it written. Otherwise the command prints the block, and a person pastes it.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.lake import ddl as ddl_module
from feedmill.spec import Maintainer, Map, MapError, Table
from feedmill.timeline import HOUR, Period, days

MAP = Path("include/tables.py")

_LAST = "TABLES = Map.found_in(globals())"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class ScaffoldError(FeedmillError, code=Exit.USAGE, retry=False, turn=Turn.CALLER):
    """The table cannot be made. The message says what to change. Nothing was written."""


@dataclass(frozen=True)
class Plan:
    """What would be written: new files by path, the map's block, and the map's new text (None: a person pastes it)."""

    table: Table
    files: Mapping[Path, str]
    block: str
    imports: tuple[str, ...]
    """The import lines that the block needs."""
    new_map: str | None
    why_not: str
    """Why the command cannot change the map; empty if it can."""


def plan(
    name: str,
    every: Period,
    reads: Table,
    maintainer: Maintainer,
    tables: Map,
    project: Path,
    *,
    key: str | None = None,
    tier: Literal[1, 2, 3] = 3,
    keep_days: int = 400,
) -> Plan:
    """The files and the block of the new table.

    Args:
        name: ``<schema>.<name>``.
        every: hourly or daily.
        reads: the table's input, from the map.
        maintainer: a team of ``include/maintainers.py``.
        tables: the map as it is.
        project: the project's folder.
        key: the text column by which the input's rows are counted; by default ``item_id``, or the first text column.
        tier: who is paged, and when.
        keep_days: retention.

    Raises:
        ScaffoldError: the name is not valid or is taken, one of the files exists, or a table like this cannot read the
            input.
    """
    schema, _, short = name.partition(".")
    if (
        not (_NAME.fullmatch(schema) and _NAME.fullmatch(short))
        or keyword.iskeyword(schema)
        or keyword.iskeyword(short)
    ):
        raise ScaffoldError(f"{name!r} is not a table name: give <schema>.<name> in lower-case letters, digits and _")
    if any(table.name == name for table in tables):
        raise ScaffoldError(f"{MAP} already has {name}: give the new table another name")
    if every is HOUR and reads.every is not HOUR:
        raise ScaffoldError(
            f"an hourly table cannot read the same day of the daily table {reads.name}, because the day ends after the "
            f"hour: make the new table daily, or name an hourly input here and add Input(…, as_of=True) in {MAP}"
        )
    variables = _variables(project, "include/tables.py", tables)
    facts = {
        "table": name,
        "schema": schema,
        "name": short,
        "unit": "hour" if every is HOUR else "day",
        "partition": "hour" if every is HOUR else "day",
        "input": reads.name,
        "parameter": reads.short_name,
        "input_variable": variables[reads.name],
        "variable": short if short not in _names(project / MAP) else f"{schema}_{short}",
        "key": _key(reads, key, project),
        "maintainer": _maintainer_variable(maintainer),
        "tier": tier,
        "keep_days": keep_days,
    }
    table = Table(name, every, reads.inputs, maintainer, tier, days(keep_days))
    files = {
        table.ddl_path: _render("table.sql", facts),
        table.transform_path: _render("transform.py", facts),
        table.suite_path: _render("suite.json", facts),
        table.test_path: _render("test.py", facts),
    }
    for path in files:
        if (project / path).exists():
            raise ScaffoldError(f"{path} already exists; move it away, or give the table another name")
    # Only a schema's first table needs these two.
    for path, template in (
        (Path("include/spark", schema, "__init__.py"), "schema.py"),
        (Path("dags", f"{schema}.py"), "dag.py"),
    ):
        if not (project / path).exists():
            files[path] = _render(template, facts)
    block = _render("block.py", facts)
    imports = (
        f"from feedmill.timeline import {'HOUR' if every is HOUR else 'DAY'}, days",
        f"from include.maintainers import {facts['maintainer']}",
    )
    new_map, why_not = _changed_map(project / MAP, block, imports)
    return Plan(table, files, block, imports, new_map, why_not)


def write(made: Plan, project: Path) -> list[Path]:
    """Write the files, then the map; return the paths.

    Raises:
        ScaffoldError: somebody else has made one of the files meanwhile. The files before it were written.
    """
    for path, text in made.files.items():
        target = project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            raise ScaffoldError(f"{path} already exists; move it away, or give the table another name") from None
    if made.new_map is None:
        return list(made.files)
    draft = project / MAP.with_name(f".{MAP.name}.new")
    draft.write_text(made.new_map, encoding="utf-8")
    draft.chmod((project / MAP).stat().st_mode)
    draft.replace(project / MAP)
    return [*made.files, MAP]


def _render(template: str, facts: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # The output is Python, SQL and JSON, never HTML, and its values are checked names.
    environment = Environment(
        loader=PackageLoader("feedmill.authoring"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )
    return environment.get_template(f"{template}.j2").render(facts)


def _key(reads: Table, wanted: str | None, project: Path) -> str:
    """The input's column by which its rows are counted."""
    ddl = ddl_module.read(project / reads.ddl_path)
    texts = [c.name for c in ddl.columns if c.sql_type.upper() == "STRING"]
    if wanted is not None:
        if wanted not in texts:
            raise ScaffoldError(f"{reads.name} has no text column {wanted!r}; it has {', '.join(texts) or 'none'}")
        return wanted
    if not texts:
        raise ScaffoldError(f"{reads.name} has no text column to count by")
    return "item_id" if "item_id" in texts else texts[0]


def _names(path: Path) -> set[str]:
    """The names that a module binds at its top."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def _variables(project: Path, shown: str, tables: Map) -> dict[str, str]:
    """The name of each table's variable in the map's module, by table name."""
    found = {}
    for node in ast.parse((project / MAP).read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=variable)],
                value=ast.Call(func=ast.Name(id="Table"), args=[ast.Constant(value=str(name)), *_]),
            ):
                found[name] = variable
    if missing := [table.name for table in tables if table.name not in found]:
        raise ScaffoldError(f'{shown} does not assign {", ".join(missing)} to a variable as name = Table("…", …)')
    return found


def _maintainer_variable(maintainer: Maintainer) -> str:
    import include.maintainers

    for variable, value in vars(include.maintainers).items():
        if value is maintainer:
            return variable
    raise ScaffoldError(f"include/maintainers.py has no variable for {maintainer.name}")


def _changed_map(path: Path, block: str, imports: tuple[str, ...]) -> tuple[str | None, str]:
    """The map's text with the block above its last statement, or None and why not."""
    text = path.read_text(encoding="utf-8")
    before, last, after = text.rpartition(f"\n{_LAST}\n")
    if not last:
        return None, f"{MAP} does not end with {_LAST}"
    needed = {name for line in imports for name in line.partition(" import ")[2].split(", ")}
    if lacking := sorted(needed - _names(path)):
        return None, f"{MAP} does not import {', '.join(lacking)}"
    changed = f"{before}\n{block}{last}{after}"
    try:
        namespace: dict[str, Any] = {"__name__": "include.tables"}
        exec(compile(changed, str(path), "exec"), namespace)  # noqa: S102 - the project's own module, plus our block
    except MapError as error:
        raise ScaffoldError(f"the map would not be valid with this table: {error}") from error
    except Exception as error:
        return None, f"the changed {MAP} would not run: {type(error).__name__}: {error}"
    return changed, ""
