"""A new table's files, and its block in the map."""

import importlib.util
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from feedmill.authoring.new_table import MAP, ScaffoldError, plan, write
from feedmill.checks import suite
from feedmill.lake import ddl
from feedmill.spec import require_files
from feedmill.timeline import DAY, HOUR
from include.maintainers import feed_data, personalization
from include.tables import TABLES

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path):
    for part in ("include", "expectations"):
        shutil.copytree(PROJECT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def new(project, name="dashboards.views", every=DAY, reads="events.clean", maintainer=feed_data, **options):
    return plan(name, every, TABLES[reads], maintainer, TABLES, project, **options)


def run(project, *command):
    return subprocess.run([sys.executable, "-m", *command], cwd=project, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("every", [HOUR, DAY])
def test_the_files_are_a_whole_table_that_passes_lint(project, every):
    made = new(project, every=every)
    written = write(made, project)
    require_files(made.table, project)
    assert (project / made.table.test_path).is_file()
    read = ddl.read(project / made.table.ddl_path)
    assert (read.name, read.partition_column) == ("dashboards.views", "hour" if every is HOUR else "day")
    critical = [e for e in suite.load(project / made.table.suite_path).expectations if e.severity == "critical"]
    assert {column for e in critical for column in e.columns} <= {column.name for column in read.columns}
    python = [str(path) for path in written if path.suffix == ".py"]
    for command in (["ruff", "check", *python], ["ruff", "format", "--check", *python]):
        result = run(project, *command)
        assert result.returncode == 0, result.stdout


def test_the_map_gains_the_table_and_loses_nothing(project):
    before = (project / MAP).read_text()
    write(new(project), project)
    after = (project / MAP).read_text()
    assert set(before.splitlines()) <= set(after.splitlines())
    namespace = {"__name__": "include.tables"}
    exec(compile(after, "tables.py", "exec"), namespace)
    assert [table.name for table in namespace["TABLES"] if table.name not in {t.name for t in TABLES}] == [
        "dashboards.views"
    ]


def test_a_maintainer_who_was_not_in_the_map_is_imported(project):
    write(new(project, maintainer=personalization), project)
    assert "from include.maintainers import feed_data, personalization" in (project / MAP).read_text()


def test_a_name_that_the_map_uses_for_another_schema_gets_a_variable_of_its_own(project):
    made = new(project, "dashboards.items")
    assert made.block.startswith("dashboards_items = Table(")
    assert made.new_map is not None


@pytest.mark.parametrize(
    ("old", "new_text", "why"),
    [
        ("Map.found_in(globals())", "Map([landed])", "does not end with TABLES"),
        ("import feed_data, personalization", "import feed_data as ours, personalization", "does not import feed_data"),
    ],
)
def test_a_map_of_another_form_is_left_alone_and_the_block_handed_back(project, old, new_text, why):
    changed = (project / MAP).read_text().replace(old, new_text)
    (project / MAP).write_text(changed)
    made = new(project)
    assert made.new_map is None
    assert why in made.why_not
    assert '"dashboards.views"' in made.block
    write(made, project)
    assert (project / MAP).read_text() == changed


def test_nothing_is_overwritten(project):
    made = new(project)
    there = project / made.table.transform_path
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text("mine")
    with pytest.raises(ScaffoldError, match=r"include/spark/dashboards/views\.py already exists"):
        new(project)
    with pytest.raises(ScaffoldError, match="already exists"):
        write(made, project)
    assert there.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "views"}, "is not a table name"),
        ({"name": "Dash.views"}, "is not a table name"),
        ({"name": "dash.class"}, "is not a table name"),
        ({"name": "events.clean"}, "already has events.clean"),
        ({"every": HOUR, "reads": "catalog.items"}, "cannot read the same day of the daily table catalog.items"),
        ({"key": "nope"}, "has no text column 'nope'; it has event_id"),
    ],
)
def test_a_table_that_cannot_be_is_refused_before_anything_is_written(project, options, sentence):
    before = sorted(project.rglob("*"))
    with pytest.raises(ScaffoldError, match=sentence):
        new(project, **options)
    assert sorted(project.rglob("*")) == before


@pytest.fixture
def frame(spark):
    return lambda schema, rows: spark.createDataFrame([tuple(row.values()) for row in rows], schema)


def test_the_generated_test_passes_and_fails_for_a_wrong_transform(project, frame, monkeypatch):
    made = new(project)
    write(made, project)
    transform = load(project / made.table.transform_path, made.table.transform_module)
    monkeypatch.setitem(sys.modules, made.table.transform_module.rpartition(".")[0], transform)
    monkeypatch.setitem(sys.modules, made.table.transform_module, transform)
    assert list(inspect.signature(transform.transform).parameters) == ["clean"]
    generated = load(project / made.table.test_path, "generated")
    tests = [value for name, value in vars(generated).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test(frame)
    right = generated.transform
    generated.transform = lambda clean: right(clean.dropDuplicates())
    with pytest.raises(AssertionError):
        tests[0](frame)


def load(path, name):
    found = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_command_says_what_it_wrote(project, monkeypatch):
    from typer.testing import CliRunner

    from feedmill.cli.app import app

    monkeypatch.setenv("FEEDMILL_PROJECT", str(project))
    command = ["new-table", "dashboards.views", "--input", "events.clean", "--maintainer", "feed-data", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["in_map"]
    assert all((project / path).is_file() for path in said["written"])
    assert CliRunner().invoke(app, [*command[:5], "nobody"]).exit_code == 2
