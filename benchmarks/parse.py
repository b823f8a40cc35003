"""What parsing costs: the DAGs of the map, those of 1,000 tables, and what the start of one task parses of them.

Each sample is a separate process. It first imports Airflow and parses one DAG of Airflow's own operators with an asset.
Only then the clock starts, so it times only what Feedmill adds: importing the map and the machinery, and building the
DAGs. The 1,000 tables are a generated project: 1,000 entries in its map, each with the files that `table_dag` asks for
(DDL, transform, suite), one DAG file for all, and the housekeeping DAG with its 1,000 tasks. A task's process parses
its DAG's file with Airflow's parsing context, which names that DAG; the samples count the DAGs that were built then.
Serialising the DAGs for Airflow's database is timed separately: it is Airflow's work, in the DAG processor, when a DAG
has changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from textwrap import dedent
from typing import Any

from benchmarks import measure
from benchmarks.measure import PROJECT, Result, Row

TABLES = 1_000

PROBE = """
import json, sys, time
import airflow.plugins_manager
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

DagBag(sys.argv[1])  # Airflow's own share: operators, assets, timetables
built, init = [], DAG.__init__
def counted(self, *args, **kwargs):
    built.append(1)
    init(self, *args, **kwargs)
DAG.__init__ = counted
clock, cpu = time.perf_counter(), time.process_time()
bag = DagBag(sys.argv[2])
wall, cpu = time.perf_counter() - clock, time.process_time() - cpu
assert not bag.import_errors, bag.import_errors
clock = time.perf_counter()
for dag in bag.dags.values():
    DagSerialization.to_dict(dag)
print(json.dumps({"wall": wall, "cpu": cpu, "dags": len(built), "serialized": time.perf_counter() - clock}))
"""

PLAIN = '''
"""Airflow's own share of a DAG file: one DAG, one asset."""
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param

with DAG("plain", schedule=CronDataIntervalTimetable("@hourly", timezone="UTC"), params={"start": Param(None)}):
    EmptyOperator(task_id="one", outlets=[Asset(name="one", uri="x-feedmill://one")])
'''


def main(small: bool) -> Result:
    """Four arms, interleaved: the map, the 1,000 tables, and the start of one task of each."""
    tables = 20 if small else TABLES
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="feedmill-bench-") as name:
        plain = Path(name) / "plain"
        plain.mkdir()
        (plain / "plain.py").write_text(PLAIN)
        synthetic = Path(name) / "project"
        generate(synthetic, tables)
        arms = {
            "map": (PROJECT, "dags", None),
            "synthetic": (synthetic, "dags", None),
            "task of the map": (PROJECT, "dags/rollups.py", "rollups.item_engagement_hourly"),
            "task of the synthetic": (synthetic, "dags/synthetic.py", f"synthetic.t{tables // 2:04d}"),
        }
        dags: dict[str, int] = {}
        for number in measure.rounds(small, warm=0):
            for arm, (project, folder, dag_id) in arms.items():
                found = probe(plain, project, folder, dag_id, Path(name) / "airflow")
                dags[arm] = found["dags"]
                for what in ("wall", "cpu", "serialized"):
                    samples.setdefault(f"{arm}: {what}", []).append(found[what])
                measure.say(f"  {number + 1} {arm}: {found}")
    return Result("parse", samples, {"tables": tables, "dags": dags}, small)


def probe(plain: Path, project: Path, dags: str, dag_id: str | None, home: Path) -> dict[str, Any]:
    """Time in one process how long it takes to parse this file or folder after Airflow's own share."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "120",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONPATH": os.pathsep.join([str(project), str(project / "plugins")]),
        **({"_AIRFLOW_PARSING_CONTEXT_DAG_ID": dag_id} if dag_id else {}),
    }
    # -P: the folder that this was called in must not come before the project's.
    command = [sys.executable, "-P", "-c", PROBE, str(plain), str(project / dags)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"the probe of {dags} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def generate(project: Path, tables: int) -> None:
    """A project with this many hourly tables and their files. Each table reads the one before it."""
    shutil.copytree(PROJECT / "plugins", project / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "include", project / "include", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "docs" / "tables", project / "docs" / "tables")
    names = [f"t{number:04d}" for number in range(tables)]
    entries = "\n".join(
        dedent(f"""
            {name} = Table(
                "synthetic.{name}",
                every=HOUR,
                inputs=[{f"Input({before})" if before else 'Files("events")'}],
                maintainer=feed_data,
                tier=2,
                keep=days(90),
            )""")
        for before, name in zip(["", *names], names, strict=False)
    )
    (project / "include" / "tables.py").write_text(
        '"""Generated."""\n'
        "from feedmill.spec import Files, Input, Map, Table\n"
        "from feedmill.timeline import HOUR, days\n"
        f"from include.maintainers import feed_data\n{entries}\n\nTABLES = Map.found_in(globals())\n"
    )
    same = "item_engagement_hourly"
    page = (PROJECT / "docs" / "tables" / f"rollups.{same}.md").read_text()
    for folder, suffix in (("include/sql", "sql"), ("include/spark", "py"), ("expectations", "json")):
        (project / folder / "synthetic").mkdir(parents=True)
        text = (PROJECT / folder / "rollups" / f"{same}.{suffix}").read_text()
        for name in names:
            (project / folder / "synthetic" / f"{name}.{suffix}").write_text(text.replace(same, name))
    for name in names:
        (project / "docs" / "tables" / f"synthetic.{name}.md").write_text(page.replace(same, name))
    (project / "dags").mkdir()
    text = (PROJECT / "dags" / "rollups.py").read_text()
    (project / "dags" / "synthetic.py").write_text(text.replace('"rollups"', '"synthetic"'))
    shutil.copy(PROJECT / "dags" / "housekeeping.py", project / "dags" / "housekeeping.py")


def rows(result: Result) -> list[Row]:
    """Ten seconds for 1,000 tables, and one DAG for a task."""
    tables, dags = result.facts["tables"], result.facts["dags"]
    mine, many = result.samples["map: wall"], result.samples["synthetic: wall"]
    count = dags["map"]
    task = result.samples["task of the synthetic: wall"]
    marginal = [(b - a) / (dags["synthetic"] - count) for a, b in zip(mine, many, strict=True)]
    return [
        Row(f"all {count} DAGs of the map, beyond Airflow's own import", measure.shown(mine)),
        Row("of that for each", measure.shown(mine, "ms", 1000 / count)),
        Row(
            f"parsing all {dags['synthetic']:,} DAGs of {tables:,} tables",
            measure.shown(many),
            "under 10 s",
            max(many) < 10,
            headline=True,
        ),
        Row("each further table", measure.shown(marginal, "ms", 1000)),
        Row("serialising those DAGs, Airflow's own work", measure.shown(result.samples["synthetic: serialized"])),
        Row("a task's start, the map: parsing", measure.shown(result.samples["task of the map: wall"])),
        Row(f"a task's start, {tables:,} tables: parsing", measure.shown(task)),
        Row(
            f"DAGs that a task's start builds, of {tables:,}",
            str(dags["task of the synthetic"]),
            "1",
            dags["task of the synthetic"] == 1,
        ),
    ]


if __name__ == "__main__":
    measure.command("parse", main, rows)
