"""The cluster policy: a DAG of ours without a known maintainer is an import error; another team's is let through."""

from __future__ import annotations

import json
import logging
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feedmill.airflow.policy import REQUIRE, dag_policy
from feedmill.spec import Maintainer
from include.tables import clean

PROJECT = Path(__file__).resolve().parents[2]

DAGS = {
    "ours": 'DAG("events.clean")',
    "theirs": 'DAG("reports")',
    "known": 'DAG("known", tags={"maintainer:feed-data"})',
    "works": 'DAG("works")',
}
TASKS = {"works": 'from feedmill.airflow.operators import Build\n    Build(task_id="t", table="events.clean")'}

PARSE = """
import json, os, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.settings import get_policy_plugin_manager

found = {"hooks": [hook.function.__module__ for hook in get_policy_plugin_manager().hook.dag_policy.get_hookimpls()]}
for required in ("", "1"):
    os.environ["FEEDMILL_REQUIRE_MAINTAINER"] = required
    bag = DagBag(sys.argv[1])
    found[required] = {
        "dags": sorted(bag.dags), "errors": {path: str(error) for path, error in bag.import_errors.items()}
    }
print("RESULT" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A folder of DAGs as Airflow parses it in a home of its own, without and with the switch."""
    home = tmp_path_factory.mktemp("airflow")
    folder = home / "dags"
    folder.mkdir()
    for name, dag in DAGS.items():
        task = TASKS.get(name, 'EmptyOperator(task_id="t")')
        imports = "from airflow.providers.standard.operators.empty import EmptyOperator\nfrom airflow.sdk import DAG"
        (folder / f"{name}.py").write_text(f"{imports}\n\nwith {dag}:\n    {task}\n")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "FEEDMILL_"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "PYTHONPATH": os.pathsep.join((str(PROJECT), str(PROJECT / "plugins"))),
    }
    command = [sys.executable, "-c", PARSE, str(folder)]
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.rpartition("RESULT")[2])
    return result


def errors(parsed: dict[str, Any], switch: str) -> dict[str, str]:
    return {Path(path).stem: error for path, error in parsed[switch]["errors"].items()}


def test_airflow_asks_the_policy_once(parsed: dict[str, Any]) -> None:
    assert parsed["hooks"] == ["feedmill.airflow.policy"]


def test_a_dag_of_the_map_without_a_maintainer_is_an_import_error_that_says_what_to_do(parsed: dict[str, Any]) -> None:
    found = errors(parsed, "")
    assert "DAG events.clean belongs to Feedmill" in found["ours"]
    assert "the owner of its task t, 'airflow', is no maintainer" in found["ours"]
    assert "give each task an owner of include/maintainers.py" in found["ours"]
    assert "DAG works belongs to Feedmill" in found["works"], "it has an operator of ours"


def test_another_team_s_dag_is_let_through_until_the_switch_demands_a_maintainer(parsed: dict[str, Any]) -> None:
    assert parsed[""]["dags"] == ["known", "reports"]
    assert parsed["1"]["dags"] == ["known"]
    assert "DAG reports names no maintainer that Feedmill knows" in errors(parsed, "1")["theirs"]
    assert f"{REQUIRE}=1 demands one" in errors(parsed, "1")["theirs"]
    assert errors(parsed, "1").keys() == {"ours", "theirs", "works"}


def test_a_table_whose_maintainer_is_not_in_the_file_is_refused_and_so_is_a_dag_without_the_tag() -> None:
    from airflow.exceptions import AirflowClusterPolicyViolation

    from feedmill.airflow.dag import table_dag

    dag_policy(table_dag(clean))
    stranger = Maintainer("stranger", description="tests", link="mailto:stranger@example.com")
    with pytest.raises(
        AirflowClusterPolicyViolation, match=r"wait_for_inputs, 'stranger', is no maintainer of include/"
    ):
        dag_policy(table_dag(replace(clean, maintainer=stranger)))
    untagged = table_dag(clean)
    untagged.tags = {"tier:1"}
    with pytest.raises(AirflowClusterPolicyViolation, match=r"events\.clean .* has no tag maintainer:feed-data"):
        dag_policy(untagged)


@pytest.mark.parametrize("required", ["", "1"])
def test_a_map_that_cannot_be_read_stops_no_dag_and_is_logged(
    required: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from airflow.sdk import DAG

    monkeypatch.setenv(REQUIRE, required)
    monkeypatch.setitem(sys.modules, "include.tables", None)
    with caplog.at_level(logging.INFO, "feedmill.airflow.policy"):
        dag_policy(DAG("reports"))
    (record,) = caplog.records
    assert "DAG reports is loaded unjudged" in record.getMessage()
    assert record.levelno == (logging.WARNING if required else logging.INFO)


@pytest.mark.parametrize("installed", [True, False])
def test_the_plugins_folder_offers_the_policy_only_where_feedmill_is_not_installed(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered(installed, monkeypatch) == ([] if installed else ["dag_policy"])


def test_an_older_wheel_beside_the_plugins_folder_does_not_keep_airflow_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "feedmill.airflow.policy", None)
    assert offered(False, monkeypatch) == []
    assert "Feedmill's policy is not applied" in caplog.text


def offered(installed: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What ``plugins/airflow_local_settings.py`` offers to Airflow."""
    found = [SimpleNamespace(name="feedmill")] if installed else []
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: found)
    module = runpy.run_path(str(PROJECT / "plugins" / "airflow_local_settings.py"))
    assert ("dag_policy" in module) == ("dag_policy" in module["__all__"])
    names: list[str] = module["__all__"]
    return names


def test_nothing_of_airflow_is_imported_before_airflow_asks() -> None:
    # Airflow imports the policy while it starts; a module that imports Airflow then would be half made.
    code = "import sys, feedmill.airflow.policy; sys.exit('airflow' in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(PROJECT / "plugins")}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0
