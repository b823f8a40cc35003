"""What every table of the map must have, and what its DAG must look like; and what parsing a DAG may not cost."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from feedmill.checks import suite as suites
from feedmill.freshness.identity import identity
from feedmill.lake import ddl as ddls
from feedmill.spec import Files, Input, Table
from feedmill.timeline import DAY, HOUR
from include.landing import LANDING
from include.maintainers import INFRASTRUCTURE, MAINTAINERS
from include.models import MODELS
from include.services import SERVICES
from include.tables import TABLES

PROJECT = Path(__file__).resolve().parents[1]
EACH = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)

OPERATIONS = {"housekeeping", "watch"}
"""The DAGs that make no table."""

HEAVY = {
    "pyspark",
    "pyiceberg",
    "great_expectations",
    "pandas",
    "duckdb",
    "sqlglot",
    "fsspec",
    "pyarrow",
    "google",
    "holidays",
}

PARSE = """
import json, sys
import airflow.plugins_manager  # which imports fsspec by itself
from airflow.dag_processing.dagbag import DagBag

before = set(sys.modules)
bag = DagBag(sys.argv[1])
heavy = sorted({name.partition(".")[0] for name in sys.modules.keys() - before} & set(sys.argv[2].split(",")))
dags = {}
for dag in bag.dags.values():
    params = {name: dag.params.get_param(name) for name in dag.params}
    params = {name: [p.value, p.schema.get("type"), p.schema.get("format")] for name, p in params.items()}
    dags[dag.dag_id] = {
        "file": dag.fileloc,
        "tags": sorted(dag.tags),
        "owner_links": dag.owner_links,
        "doc_md": dag.doc_md,
        "params": params,
        "timetable": type(dag.timetable).__name__,
        "schedule": getattr(dag.timetable, "expression", None) or dag.timetable.serialize()["cron"],
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "rerun_with_latest_version": dag.rerun_with_latest_version,
        "tasks": {
            task.task_id: {
                "owner": task.owner,
                "downstream": sorted(task.downstream_task_ids),
                "retries": task.retries,
                "retry_delay": task.retry_delay.total_seconds(),
                "max_retry_delay": task.max_retry_delay.total_seconds(),
                "backoff": task.retry_exponential_backoff,
                "pool": task.pool,
                "trigger_rule": task.trigger_rule.value,
                "inlets": [asset.name for asset in task.inlets],
                "outlets": [asset.name for asset in task.outlets],
            }
            for task in dag.tasks
        },
    }
errors = {path: str(error) for path, error in bag.import_errors.items()}
print("RESULT" + json.dumps({"errors": errors, "heavy": heavy, "dags": dags}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAG files as a fresh process of Airflow parses them, in a home of its own."""
    home = tmp_path_factory.mktemp("airflow")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "FEEDMILL_"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "PYTHONPATH": os.pathsep.join((str(PROJECT), str(PROJECT / "plugins"))),
    }
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(PROJECT / "dags"), ",".join(sorted(HEAVY))],
        env=env,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result


def dag_of(parsed: dict[str, Any], table: Table) -> dict[str, Any]:
    found: dict[str, Any] = parsed["dags"][table.dag_id]
    return found


def test_every_maintainer_has_channels_and_holidays_that_exist() -> None:
    MAINTAINERS.require_holidays()
    assert all(one.channels for one in MAINTAINERS)
    assert INFRASTRUCTURE.backup is not None, "a component that is down pages at any hour: somebody must stand in"


@EACH
def test_a_table_has_a_maintainer_of_the_file_and_tier_1_somebody_who_stands_in(table: Table) -> None:
    assert table.maintainer in MAINTAINERS
    assert table.tier != 1 or table.maintainer.backup is not None, "tier 1 pages at any hour"


def test_every_model_and_service_is_listed_once_with_a_maintainer_of_the_file() -> None:
    for names in ([one.model_id for one in MODELS], [one.name for one in SERVICES]):
        assert len(names) == len(set(names))
    assert all(one.maintainer in MAINTAINERS for one in (*MODELS, *SERVICES))


def test_every_source_is_listed_once_with_a_maintainer_of_the_file() -> None:
    from include.spark.sources import SOURCES

    assert sorted(one.source for one in LANDING) == sorted(SOURCES)
    assert all(one.maintainer in MAINTAINERS for one in LANDING)


@EACH
def test_a_table_s_ddl_bears_its_name_tells_the_grain_and_explains_every_column(table: Table) -> None:
    ddl = ddls.read(PROJECT / table.ddl_path)
    assert ddl.name == table.name
    assert ddl.comment.startswith("One row per "), "the grain"
    assert all(column.comment.endswith(".") for column in ddl.columns)
    names = [column.name for column in ddl.columns]
    assert len(names) == len(set(names))


@EACH
def test_a_table_is_partitioned_by_its_hour_or_day_which_is_never_null(table: Table) -> None:
    ddl = ddls.read(PROJECT / table.ddl_path)
    column = next(c for c in ddl.columns if c.name == ddl.partition_column)
    assert (column.name, column.sql_type) in (
        {("day", "DATE")} if table.every is DAY else {("hour", "TIMESTAMP"), ("arrival_hour", "TIMESTAMP")}
    )
    assert column.required
    assert column.comment.startswith("Partition. ")


@EACH
def test_an_input_by_touches_has_the_touched_hour_as_its_second_partition_column(table: Table) -> None:
    for entry in table.inputs:
        if isinstance(entry, Input) and entry.by == "touches":
            ddl = ddls.read(PROJECT / entry.table.ddl_path)
            second = next(c for c in ddl.columns if c.name == ddl.partitioned_by[1])
            assert (second.sql_type, second.required) == ("TIMESTAMP", True)


@EACH
def test_a_table_s_suite_has_a_critical_expectation_and_names_only_its_columns(table: Table) -> None:
    suite = suites.load(PROJECT / table.suite_path)
    assert [e for e in suite.expectations if e.severity == "critical"]
    columns = {column.name for column in ddls.read(PROJECT / table.ddl_path).columns}
    assert {name for e in suite.expectations for name in e.columns} <= columns


@EACH
def test_a_table_s_transform_takes_what_the_map_gives(table: Table) -> None:
    module = importlib.import_module(table.transform_module)
    assert Path(module.__file__ or "") == PROJECT / table.transform_path
    parameters = list(inspect.signature(module.transform).parameters)
    assert sorted(parameters) == sorted(entry.parameter for entry in table.inputs)
    assert inspect.getdoc(module)
    assert inspect.getdoc(module.transform), "grain and source"


@EACH
def test_a_table_s_transform_has_a_test(table: Table) -> None:
    tree = ast.parse((PROJECT / table.test_path).read_text())
    tests = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test")]
    assert tests
    assert table.transform_module in (PROJECT / table.test_path).read_text()


@pytest.mark.skipif(not (PROJECT / "docs/tables").is_dir(), reason="docs/tables is made by `make docs`")
@EACH
def test_a_table_has_a_page(table: Table) -> None:
    assert (PROJECT / "docs/tables" / f"{table.name}.md").is_file()


def test_no_file_belongs_to_a_table_that_is_not_in_the_map() -> None:
    expected = {p for t in TABLES for p in (t.ddl_path, t.transform_path, t.suite_path)}
    schemas = {table.schema for table in TABLES}
    folders = [
        folder for top in ("include/sql", "include/spark", "expectations") for folder in (PROJECT / top).iterdir()
    ]
    found = {
        path.relative_to(PROJECT)
        for folder in folders
        if folder.is_dir() and folder.name not in {"__pycache__", "sources"}
        for path in folder.iterdir()
        if path.suffix in {".sql", ".py", ".json"} and path.name != "__init__.py"
    }
    assert found == expected
    assert {folder.name for folder in (PROJECT / "include/sql").iterdir() if folder.is_dir()} == schemas


@EACH
def test_another_owner_makes_no_row_outdated(table: Table) -> None:
    owners = {"include/landing.py", "include/maintainers.py", "include/models.py", "include/services.py"}
    assert not owners & identity(table, PROJECT).parts.keys()


def test_every_source_is_a_module_of_its_name_with_suffixes_that_no_sibling_folder_shares() -> None:
    from include.spark.sources import SOURCES

    for name, source in SOURCES.items():
        assert source.name == name
        module = importlib.import_module(f"include.spark.sources.{name}")
        assert module.SOURCE is source
        assert list(inspect.signature(module.read).parameters) == ["rows"]
        assert source.suffixes
        assert all(suffix.startswith(".") for suffix in source.suffixes)
        assert bool(source.columns) == (source.layout == "parquet"), "nothing else is read"
        assert not {"source_file", "file_name", "line", "received_at", "arrival_hour"} & set(source.columns)


def test_every_dag_file_parses_and_each_table_has_one_dag_of_its_name(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert parsed["dags"].keys() == {table.name for table in TABLES} | OPERATIONS
    assert {Path(dag["file"]).stem for dag in parsed["dags"].values()} == {t.schema for t in TABLES} | OPERATIONS
    assert all(Path(dag_of(parsed, table)["file"]).stem == table.schema for table in TABLES)


def test_parsing_the_dags_imports_nothing_heavy(parsed: dict[str, Any]) -> None:
    assert parsed["heavy"] == []


@EACH
def test_a_table_s_dag_is_found_by_its_maintainer_tier_and_schema(table: Table, parsed: dict[str, Any]) -> None:
    dag = dag_of(parsed, table)
    expected = {f"maintainer:{table.maintainer.name}", f"tier:{table.tier}", f"schema:{table.schema}"}
    assert set(dag["tags"]) == expected
    assert dag["owner_links"] == {table.maintainer.name: table.maintainer.link}
    assert {task["owner"] for task in dag["tasks"].values()} == {table.maintainer.name}
    assert table.name in dag["doc_md"]


@EACH
def test_a_table_s_dag_runs_on_its_data_interval_and_takes_a_range(table: Table, parsed: dict[str, Any]) -> None:
    from feedmill.airflow.operators import WAIT

    dag = dag_of(parsed, table)
    assert (dag["timetable"], dag["schedule"]) == ("SinceTimetable", table.every.cron)
    assert dag["catchup"] is False
    # A run that waits for its inputs is an active one: as many as can wait leave room for who restates.
    assert dag["max_active_runs"] > WAIT / HOUR.length
    moment = [None, ["null", "string"], "date-time"]
    assert dag["params"] == {"start": moment, "end": moment}


def test_a_clear_runs_today_s_code_in_every_dag(parsed: dict[str, Any]) -> None:
    # Airflow's default: the code of the day when the run was created.
    dags = parsed["dags"]
    assert dags.keys() == {*OPERATIONS, *(table.dag_id for table in TABLES)}
    assert {name for name, dag in dags.items() if dag["rerun_with_latest_version"] is not True} == set()


@EACH
def test_a_table_s_dag_waits_builds_checks_and_publishes_in_this_order(table: Table, parsed: dict[str, Any]) -> None:
    tasks = dag_of(parsed, table)["tasks"]
    assert {name: task["downstream"] for name, task in tasks.items()} == {
        "wait_for_inputs": ["build"],
        "build": ["check", "publish"],
        "check": ["publish"],
        "publish": [],
    }
    assert {name for name, task in tasks.items() if task["pool"] == "spark"} == {"build"}
    # What passed is published although the check failed for the rest; nothing where the build failed.
    assert tasks["publish"]["trigger_rule"] == "all_done_min_one_success"
    assert {task["trigger_rule"] for name, task in tasks.items() if name != "publish"} == {"all_success"}


@EACH
def test_a_table_s_assets_are_what_it_reads_and_itself(table: Table, parsed: dict[str, Any]) -> None:
    tasks = dag_of(parsed, table)["tasks"]
    assert tasks["build"]["inlets"] == [e.table.name for e in table.inputs if isinstance(e, Input)]
    assert tasks["publish"]["outlets"] == [table.name]
    assert any(isinstance(e, Input | Files) for e in table.inputs)


def test_the_defaults_of_every_task_change_on_purpose_only(parsed: dict[str, Any]) -> None:
    from feedmill.airflow.dag import DEFAULTS

    assert {
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
        "weight_rule": "absolute",
    } == DEFAULTS
    of_tasks = {
        (task["retries"], task["retry_delay"], task["backoff"], task["max_retry_delay"])
        for dag in parsed["dags"].values()
        for task in dag["tasks"].values()
    }
    assert of_tasks == {(2, 30.0, 2.0, 600.0)}


def test_the_plugin_that_airflow_loads_at_each_start_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import airflow.plugins_manager; before = set(sys.modules); "
        "import feedmill_plugin; "
        "print(sorted({n.partition('.')[0] for n in sys.modules.keys() - before} & set(sys.argv[2].split(','))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(PROJECT / "plugins"), ",".join(HEAVY)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "feedmill/" in (PROJECT / "plugins/.airflowignore").read_text().splitlines()
