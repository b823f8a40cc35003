"""Rule 7: the identity changes with code, imports, columns, inputs and windows, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feedmill.freshness.code import changed
from feedmill.freshness.identity import identity
from feedmill.spec import Files, Input, Maintainer, Ripple, Table
from feedmill.timeline import DAY, HOUR, days, hours

pytestmark = pytest.mark.rule(7)

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")
OTHER = Table("a.other", HOUR, [Files("events")], TEAM, 2, days(90))

TRANSFORM = '''"""What the table is."""
from include import rates
from include.spark.a.steps import first


def transform(other):
    """One row per item."""
    # A comment.
    def inner():
        "Another."
        return 1
    return first(other, rates.RATE)
'''
DDL = """CREATE TABLE a.x (
    hour TIMESTAMP NOT NULL COMMENT 'Partition.',
    item STRING COMMENT 'What it is.'
) USING iceberg PARTITIONED BY (hour) COMMENT 'One row per item.'
"""


def table(**facts: Any) -> Table:
    defaults: dict[str, Any] = {"every": HOUR, "inputs": [Input(OTHER)], "maintainer": TEAM, "tier": 2}
    return Table("a.x", **{**defaults, "keep": days(90), **facts})


def write(project: Path, path: str, content: str) -> None:
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text(content)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one table, whose transform imports a module that imports another."""
    write(tmp_path, "include/sql/a/x.sql", DDL)
    write(tmp_path, "include/spark/a/x.py", TRANSFORM)
    write(tmp_path, "include/spark/a/__init__.py", "")
    write(tmp_path, "include/spark/a/steps.py", "from .deep import STEP\n\ndef first(a, b):\n    return a, b, STEP\n")
    write(tmp_path, "include/spark/a/deep.py", 'STEP = 1\n"""In rows."""\n')
    write(tmp_path, "include/rates.py", "RATE = 1\n")
    write(tmp_path, "include/spark/a/other.py", "def transform(event_records):\n    return event_records\n")
    write(tmp_path, "include/spark/sources/lines.py", "def read(rows):\n    return rows\n")
    write(tmp_path, "plugins/feedmill/timeline.py", "HOUR = 1\n")
    return tmp_path


Change = Callable[[Path], object]


def in_file(path: str, old: str, new: str) -> Change:
    def apply(project: Path) -> None:
        text = (project / path).read_text()
        assert old in text
        (project / path).write_text(text.replace(old, new))

    return apply


X = "include/spark/a/x.py"
SQL = "include/sql/a/x.sql"


@pytest.mark.parametrize(
    "change",
    [
        in_file(X, "# A comment.", "# Quite another comment."),
        in_file(X, '"""One row per item."""', '"""One row per item and hour."""'),
        in_file(X, '"""What the table is."""', ""),
        in_file(X, '        "Another."\n', ""),
        in_file(X, "first(other, rates.RATE)", "first(\n        other,\n        rates.RATE,\n    )"),
        in_file("include/spark/a/deep.py", "In rows.", "How many rows."),
        in_file("include/spark/a/deep.py", '"""In rows."""\n', ""),
        in_file(SQL, "What it is.", "What it is, in other words."),
        in_file(SQL, "One row per item.", "One row per item and hour."),
        in_file("include/spark/a/other.py", "return event_records", "return None"),
        in_file("include/spark/sources/lines.py", "return rows", "return None"),
        in_file("plugins/feedmill/timeline.py", "1", "2"),
    ],
)
def test_words_format_and_other_tables_code_keep_it(project: Path, change: Change) -> None:
    before = identity(table(), project)
    change(project)
    assert identity(table(), project) == before


@pytest.mark.parametrize(
    "change",
    [
        in_file(X, "return 1", "return 2"),
        in_file(X, "def inner():", "def inner(a=1):"),
        in_file("include/spark/a/steps.py", "return a, b", "return b, a"),
        in_file("include/spark/a/deep.py", "1", "2"),
        in_file("include/rates.py", "1", "2"),
        in_file(SQL, "item STRING COMMENT", "item BIGINT COMMENT"),
        in_file(SQL, "item STRING COMMENT", "item STRING NOT NULL COMMENT"),
        in_file(SQL, "\n) USING", ",\n    extra STRING COMMENT 'More.'\n) USING"),
        in_file(SQL, "PARTITIONED BY (hour)", "PARTITIONED BY (hour, item)"),
    ],
)
def test_code_imports_at_any_depth_and_columns_change_it(project: Path, change: Change) -> None:
    before = identity(table(), project)
    change(project)
    assert identity(table(), project) != before


@pytest.mark.parametrize(
    "other",
    [
        table(inputs=[Input(OTHER, lookback=hours(1))]),
        table(inputs=[Input(OTHER, lookback=hours(1), lag=hours(1))]),
        table(inputs=[Input(OTHER, as_of=True)]),
        table(inputs=[Input(OTHER, as_of=True, lag=hours(1))]),
        table(inputs=[Input(OTHER, by="touches")]),
        table(inputs=[Input(OTHER), Files("items")]),
        table(inputs=[Files("events")]),
        table(every=DAY),
    ],
)
def test_inputs_and_windows_change_it(project: Path, other: Table) -> None:
    assert identity(other, project) != identity(table(), project)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (in_file(X, "return 1", "return 2"), [X]),
        (in_file("include/spark/a/deep.py", "1", "2"), ["include/spark/a/deep.py"]),
        (in_file(SQL, "item STRING COMMENT", "item BIGINT COMMENT"), ["its columns"]),
        (in_file(SQL, "PARTITIONED BY (hour)", "PARTITIONED BY (hour, item)"), ["its partitioning"]),
        (in_file(X, "from include import rates\n", ""), ["include/rates.py", X]),
    ],
)
def test_it_knows_which_part_has_changed(project: Path, change: Change, names: list[str]) -> None:
    before = identity(table(), project)
    change(project)
    assert [name for name in changed(before.parts, identity(table(), project).parts) if "__init__" not in name] == names


def test_inputs_are_a_part_of_it(project: Path) -> None:
    then, today = identity(table(), project), identity(table(inputs=[Input(OTHER, lookback=hours(1))]), project)
    assert changed(then.parts, today.parts) == ["its inputs"]


def test_each_window_is_an_identity_of_its_own(project: Path) -> None:
    windows = [table(inputs=[Files("events", lookback=hours(n))]) for n in range(5)]
    windows += [table(inputs=[Input(OTHER, lookback=hours(4), lag=hours(n))]) for n in range(5)]
    assert len({identity(window, project) for window in windows}) == 10


def test_owner_retention_and_ripple_keep_it(project: Path) -> None:
    other = Maintainer("other", description="tests", link="mailto:other@example.com")
    same = table(maintainer=other, tier=3, keep=days(5), due=hours(9), inputs=[Input(OTHER, ripple=Ripple.LATEST)])
    assert identity(same, project) == identity(table(), project)


def test_a_table_that_reads_files_depends_on_the_sources_that_read_them(project: Path) -> None:
    reader = table(inputs=[Files("events")])
    before = identity(reader, project)
    in_file("include/spark/sources/lines.py", "return rows", "return None")(project)
    assert identity(reader, project) != before


def test_a_relative_import_in_a_package_is_followed(project: Path) -> None:
    write(project, "include/spark/a/steps/__init__.py", "from .one import ONE\n\ndef first(a, b):\n    return ONE\n")
    write(project, "include/spark/a/steps/one.py", "ONE = 1\n")
    (project / "include/spark/a/steps.py").unlink()
    before = identity(table(), project)
    in_file("include/spark/a/steps/one.py", "1", "2")(project)
    assert identity(table(), project) != before
