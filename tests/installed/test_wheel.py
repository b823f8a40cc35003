"""What the wheel holds, and what a process says that has it."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from feedmill.project import NOT_FOUND
from include.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]

PARSE = """
import json, sys
from airflow import plugins_manager
from airflow.dag_processing.dagbag import DagBag
from airflow.settings import get_policy_plugin_manager

bag = DagBag(sys.argv[1])
plugins, plugin_errors = plugins_manager._get_plugins()
found = {
    "dags": sorted(bag.dags),
    "errors": {path: str(error) for path, error in bag.import_errors.items()},
    "plugins": [str(plugin.source) for plugin in plugins if plugin.name == "feedmill"],
    "plugin_errors": plugin_errors,
    "policies": [hook.function.__module__ for hook in get_policy_plugin_manager().hook.dag_policy.get_hookimpls()],
}
print("RESULT" + json.dumps(found))
"""


def environment(home: Path, plugins: Path, *path: Path) -> dict[str, str]:
    """Airflow in a home of its own."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "FEEDMILL_"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
    }


def test_it_holds_the_machinery_with_its_data_and_nothing_of_a_project(wheel: Path) -> None:
    machinery = ROOT / "plugins" / "feedmill"
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert files == {
        str(path.relative_to(ROOT / "plugins"))
        for path in machinery.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {"feedmill/py.typed", "feedmill/checks/page.html", "feedmill/authoring/templates/table.sql.j2"} <= files


def test_it_needs_what_requirements_txt_names() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    needed = [Requirement(line) for line in distribution("feedmill").requires or []]
    assert {str(line) for line in needed} == {str(Requirement(line)) for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("with_plugins", [False, True], ids=["no plugins folder", "a plugins folder as well"])
def test_a_folder_of_dags_is_parsed_and_there_are_one_plugin_and_one_policy(
    python: str, project: Path, tmp_path: Path, with_plugins: bool
) -> None:
    plugins = ROOT / "plugins" if with_plugins else tmp_path / "plugins"
    done = subprocess.run(
        [python, "-c", PARSE, str(project / "dags")],
        env=environment(tmp_path, plugins, project),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.rpartition("RESULT")[2])
    assert found["dags"] == sorted(["housekeeping", "watch", *(table.dag_id for table in TABLES)])
    assert (found["errors"], found["plugin_errors"]) == ({}, {})
    assert len(found["plugins"]) == 1
    assert "EntryPoint" in found["plugins"][0]
    assert found["policies"] == ["feedmill.airflow.policy"]


@pytest.mark.slow
def test_a_command_without_a_project_says_what_to_set(python: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-m", "feedmill.cli", "status"],
        env=environment(tmp_path, tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.strip()) == (2, NOT_FOUND)
