import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from feedmill.local.home import Home
from feedmill.local.process import Component, kill, leftovers, stop, wait_until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]
PARENT = [
    sys.executable,
    "-c",
    "import os, subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True);"
    "print(child.pid, flush=True); time.sleep(60)",
]


@pytest.fixture
def sleeper(home: Home, tmp_path: Path):
    component = Component(home, "sleeper")
    component.start(SLEEPER, env=os.environ, cwd=tmp_path)
    yield component
    stop([component])


def test_a_started_process_is_known_by_its_pid_file(sleeper: Component):
    assert sleeper.pid() == json.loads(sleeper.pid_file.read_text())["pid"]


def test_a_killed_process_is_gone_and_still_expected(sleeper: Component):
    os.kill(sleeper.pid(), signal.SIGKILL)
    assert wait_until(lambda: sleeper.pid() is None, 5)
    assert sleeper.expected()


def test_a_stopped_process_is_not_expected(sleeper: Component):
    stop([sleeper])
    assert sleeper.pid() is None
    assert not sleeper.expected()


def test_a_pid_that_is_somebody_elses_now_is_neither_ours_nor_killed(sleeper: Component, home: Home):
    other = Component(home, "other")
    other.pid_file.write_text(json.dumps({"pid": sleeper.pid(), "started": "1"}))
    assert other.pid() is None
    stop([other])
    assert sleeper.pid() is not None


def test_a_process_that_ignores_the_signal_is_killed_after_the_grace(home: Home, tmp_path: Path):
    component = Component(home, "stubborn")
    component.start(STUBBORN, env=os.environ, cwd=tmp_path)
    assert wait_until(lambda: "deaf" in home.log_tail("stubborn"), 10)
    begun = time.monotonic()
    stop([component], grace=0.5)
    assert component.pid() is None
    assert time.monotonic() - begun < 5


def test_a_child_whose_parent_was_killed_is_found_and_ended(home: Home, tmp_path: Path):
    component = Component(home, "parent")
    parent = component.start(PARENT, env=os.environ, cwd=tmp_path)
    assert wait_until(lambda: home.log_tail("parent").strip().isdigit(), 10)
    child = int(home.log_tail("parent"))
    assert leftovers(home) == {}
    os.kill(parent, signal.SIGKILL)
    assert wait_until(lambda: component.pid() is None, 5)
    assert list(leftovers(home)) == [child]
    kill(leftovers(home))
    assert leftovers(home) == {}
