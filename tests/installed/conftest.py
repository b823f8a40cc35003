"""Feedmill as another company installs it: the wheel in a Python of its own, and a project without ``plugins/``."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PARTS = ("dags", "include", "expectations")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as ``make wheel`` builds it."""
    folder = tmp_path_factory.mktemp("dist")
    command = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run([sys.executable, *command], cwd=PROJECT, check=True, capture_output=True)
    (built,) = folder.glob("feedmill-*.whl")
    return built


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has the locked packages and the wheel, and does not know this repository."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        # The repository itself is installed there too, by name and by a file that adds its folders to the path.
        if not path.name.startswith(("feedmill", "_feedmill")):
            (packages / path.name).symlink_to(path)
    found = str(folder / "bin" / "python")
    install = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*install, "--python", found, str(wheel)], check=True, capture_output=True)
    return found


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has the wheel: three folders."""
    folder = tmp_path_factory.mktemp("project")
    for part in PARTS:
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
