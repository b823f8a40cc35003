import stat
from pathlib import Path

import pytest

from feedmill.local.home import Home, StackError, free_ports, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_readable_by_their_owner_alone(home: Home):
    assert mode(home.env_file) == 0o600
    assert all(mode(folder) == 0o700 for folder in (home.logs, home.run, home.warehouse, home.landing))


def test_a_private_file_is_private_before_anything_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    replace = Path.replace

    def look(draft: Path, target: Path) -> Path:
        seen.append(mode(draft))
        return replace(draft, target)

    monkeypatch.setattr(Path, "replace", look)
    target = tmp_path / "secret"
    target.touch(mode=0o644)
    write_private(target, "word")
    assert (seen, mode(target), target.read_text()) == ([0o600], 0o600, "word")


def test_a_second_prepare_decides_nothing_anew(home: Home):
    before = home.env()
    assert home.prepare().env() == before


def test_two_homes_share_no_secret(home: Home, tmp_path: Path):
    other = Home(tmp_path / "other").prepare(ports=free_ports())
    secret = [name for name in home.env() if name.endswith(("PASSWORD", "TOKEN", "SECRET", "KEY", "ID"))]
    assert len(secret) == 7
    assert not {home.env()[name] for name in secret} & {other.env()[name] for name in secret}


def test_a_named_port_is_remembered(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEEDMILL_PORT_AIRFLOW", "18099")
    home.prepare()
    monkeypatch.delenv("FEEDMILL_PORT_AIRFLOW")
    assert home.prepare().port("airflow") == 18099


def test_a_port_that_is_none_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEEDMILL_PORT_SPARK", "many")
    with pytest.raises(StackError, match=r"^FEEDMILL_PORT_SPARK=many is not a port: give a number"):
        home.prepare()


def test_the_first_hour_is_decided_once_unless_it_is_named(home: Home, monkeypatch: pytest.MonkeyPatch):
    first = home.env()["FEEDMILL_SINCE"]
    assert first.endswith(":00:00Z")
    monkeypatch.setenv("FEEDMILL_SINCE", "2026-05-01T00:00:00Z")
    assert home.prepare().env()["FEEDMILL_SINCE"] == "2026-05-01T00:00:00Z"


def test_feedmill_home_names_another_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEEDMILL_HOME", str(tmp_path))
    assert Home.find().path == tmp_path
