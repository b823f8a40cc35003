"""``feedmill accept``: what can no longer be published is not accepted, and stays held for all to see."""

import pytest
from builds import Workshop, each
from sqlalchemy import select
from typer.testing import CliRunner

from feedmill.cli.app import app
from feedmill.errors import Exit
from feedmill.freshness import load
from feedmill.lake.attempts import drop_branch
from feedmill.ledger.models import Acceptance, Build
from feedmill.ledger.store import lock_counter
from feedmill.timeline import HOUR, Range, parse

START = parse("2026-05-01T00")
ONE = Range.one(START, HOUR)


@pytest.fixture
def shop(lake, ledger, tmp_path, monkeypatch):
    """An hourly table, and the command's eyes on it."""
    made = Workshop(lake, ledger, tmp_path)
    monkeypatch.setattr("feedmill.cli.accept.table_of", lambda name: made.table)
    monkeypatch.setattr("feedmill.cli.accept.ledger_and_lake", lambda: (ledger, made.lake))
    return made


def accept(build_id):
    said = ["--name", "Ada", "--reason", "as sold"]
    return CliRunner().invoke(app, ["accept", build_id, "2026-05-01T00", *said])


def held(shop):
    with shop.ledger.transaction() as session:
        return set(load.held(session, [shop.table.name]).get(shop.table.name, {}))


def accepted(shop):
    with shop.ledger.transaction() as session:
        return list(session.scalars(select(Acceptance.name)))


def expire_branch(shop, build_id):
    drop_branch(shop.table, build_id, shop.lake)
    with shop.ledger.transaction() as session:
        snapshot_id = session.get_one(Build, build_id).snapshot_id
    shop.lake.load(shop.table).maintenance.expire_snapshots().by_id(snapshot_id).commit()


def raise_epoch(shop, build_id):
    with shop.ledger.transaction() as session:
        lock_counter(session).epoch += 1


@pytest.mark.parametrize(
    ("happened", "said"),
    [
        (expire_branch, "was dropped, as of all builds that are published or ended a week ago; clear `build`"),
        (raise_epoch, "is of epoch 1, the ledger's is 2; build again"),
    ],
)
def test_what_can_no_longer_be_published_is_not_accepted_and_stays_held(shop, happened, said):
    build = shop.build(ONE, each(ONE, 4), 1, passed=False)
    happened(shop, build)
    result = accept(build)
    assert (result.exit_code, result.stdout) == (Exit.PROBLEM, "")
    assert said in result.stderr
    assert (held(shop), accepted(shop), shop.main()) == ({START}, [], {})


def test_an_accept_is_held_until_it_is_published_and_may_be_repeated(shop, monkeypatch):
    build = shop.build(ONE, each(ONE, 4), 1, passed=False)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("feedmill.flow.publish.publish", die)
        assert accept(build).exit_code == Exit.INTERRUPTED
    assert (held(shop), accepted(shop)) == ({START}, ["Ada"])
    assert accept(build).exit_code == Exit.OK
    assert (held(shop), shop.main()) == (set(), {START: (4, 1)})
