import os
import stat
import time
from pathlib import Path

import pytest

from feedmill.local import logs
from feedmill.local.home import Home


def test_a_large_log_is_moved_aside_while_its_process_writes_on(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "LARGEST", 1000)
    with home.open_log("spark") as log:
        for number in range(3):
            log.write(b"%d" % number * 600)
            log.flush()
            logs.bound(home)
        log.write(b"the newest")
        log.flush()
        assert home.log_tail("spark").strip() == "2" * 300, "one line, cut"
        assert (home.logs / "spark.log").read_text() == "2" * 600 + "the newest"
        aside = home.logs / "spark.log.1"
        assert aside.read_text() == "0" * 600 + "1" * 600
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600
        assert sorted(path.name for path in home.logs.iterdir()) == ["spark.log", "spark.log.1"]


def test_old_logs_of_tasks_are_deleted_with_their_folders(home: Home):
    run = home.logs / "airflow" / "dag_id=a"
    for name in ("run_id=old/attempt=1.log", "run_id=new/attempt=1.log"):
        (run / name).parent.mkdir(parents=True)
        (run / name).write_text("a line")
    (home.logs / "airflow" / "latest").symlink_to(run / "nowhere")
    old = time.time() - (logs.KEPT + 1) * 86_400
    os.utime(run / "run_id=old" / "attempt=1.log", (old, old))
    logs.bound(home)
    os.utime(run / "run_id=old", (old, old))
    logs.bound(home)
    left = sorted(str(path.relative_to(run)) for path in Path(run).rglob("*"))
    assert left == ["run_id=new", "run_id=new/attempt=1.log"]
