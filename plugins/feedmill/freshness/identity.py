"""What code made a row (rule 7): a digest over the transform, what it imports, the columns and the windows.

Comments, docstrings and formatting are left out, so that explaining a transform makes nothing outdated. So is the
machinery under ``plugins/``, or every upgrade would ask for a rebuild of everything; see :data:`MACHINERY`.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from feedmill.freshness.code import Identity
from feedmill.lake import ddl as ddl_module
from feedmill.spec import Files, Table

MACHINERY = 1
"""Raised by the release whose runner gives other rows for the same code and inputs, or other digests of them."""

READERS = 1
"""Raised by the release whose machinery reads files that it could not read before: their defects are tried again."""

_ROOT = "include"


def identity(table: Table, project: Path) -> Identity:
    """The identity of the table's code as it is in ``project`` now."""
    ddl = ddl_module.read(project / table.ddl_path)
    modules = {table.transform_module}
    if any(isinstance(entry, Files) for entry in table.inputs):
        # Which readers are used depends on the files; their rows depend on all of them.
        modules |= {f"include.spark.sources.{path.stem}" for path in (project / "include/spark/sources").glob("*.py")}
    facts: dict[str, Any] = {
        "code": {name: _code(name, project) for name in sorted(_closure(modules, project))},
        "columns": [(c.name, str(c.type), c.required) for c in ddl.columns],
        "partitioned_by": ddl.partitioned_by,
        "inputs": [_input(entry) for entry in table.inputs],
        "every": table.every.value,
        "machinery": MACHINERY,
    }
    parts = {_path(name, project): digest[:_SHORT] for name, digest in facts["code"].items()}
    parts |= {name: _digest(facts[fact])[:_SHORT] for name, fact in _PARTS.items()}
    return Identity.of(_digest(facts)[:16], parts)


_PARTS = {
    "its columns": "columns",
    "its partitioning": "partitioned_by",
    "its inputs": "inputs",
    "its schedule": "every",
    "Feedmill's runner": "machinery",
}
"""What an identity is made of besides files, in words, and the fact that it is."""

_SHORT = 8


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def reader(source: str, project: Path) -> str:
    """The identity of the code that reads a source's files: 16 hexadecimal digits.

    It covers the source's module with all that it imports, Spark's version, and :data:`READERS`. A defect is tried
    again when it has changed.
    """
    modules = sorted(_closure({f"include.spark.sources.{source}"}, project))
    facts = {
        "code": {name: _code(name, project) for name in modules},
        "spark": metadata.version("pyspark"),
        "readers": READERS,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _input(entry: object) -> dict[str, str]:
    if isinstance(entry, Files):
        return {"files": entry.kind, "lookback": str(entry.lookback)}
    from feedmill.spec import Input

    if not isinstance(entry, Input):
        raise TypeError(f"{entry!r} is not an input")
    return {
        "table": entry.table.name,
        "lookback": str(entry.lookback),
        "as_of": str(entry.as_of),
        "lag": str(entry.lag),
        "by": entry.by,
    }


def _closure(modules: set[str], project: Path) -> set[str]:
    """The modules and all of the project's that they import, at any depth."""
    seen: set[str] = set()
    pending = sorted(modules)
    while pending:
        name = pending.pop()
        if name in seen or _file(name, project) is None:
            continue
        seen.add(name)
        path = _file(name, project)
        package = name if path is not None and path.name == "__init__.py" else name.rpartition(".")[0]
        pending.extend(_imports(_tree(name, project), package))
    return seen


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """What a module of the package imports: modules, and names that may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _file(name: str, project: Path) -> Path | None:
    """The module's file, if it is one of the project's."""
    root, *rest = name.split(".")
    if root != _ROOT:
        return None
    base = project / _ROOT / "/".join(rest)
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _path(name: str, project: Path) -> str:
    path = _file(name, project)
    return name if path is None else path.relative_to(project).as_posix()


def _tree(name: str, project: Path) -> ast.Module:
    path = _file(name, project)
    if path is None:
        raise FileNotFoundError(name)
    return _parse(path, path.stat().st_mtime_ns)


@cache
def _parse(path: Path, _changed: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


class _WithoutTexts(ast.NodeTransformer):
    """Leaves out docstrings, also those below a constant or a field: statements that are nothing but a string."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else node


def _code(name: str, project: Path) -> str:
    tree = _tree(name, project)
    stripped = _WithoutTexts().visit(ast.parse(ast.unparse(tree)))
    return hashlib.sha256(ast.dump(stripped).encode()).hexdigest()
