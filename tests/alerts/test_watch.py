"""``watch`` on a real ledger: written down before it is sent, one at work of two, and no ledger is no excuse."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from feedmill.alerts import outbox
from feedmill.alerts.channels.channel import Action, Answer, Message, Result
from feedmill.alerts.channels.notebook import Notebook
from feedmill.alerts.dispatch import Setting
from feedmill.alerts.incident import Outbox, Silence, Stage
from feedmill.alerts.kinds import KINDS
from feedmill.alerts.look import Lookout
from feedmill.alerts.page import Ground
from feedmill.alerts.scene import Origin
from feedmill.alerts.watch import Watch
from feedmill.ledger import builds, forget, models, verdicts
from feedmill.ledger.builds import Written
from feedmill.ledger.store import Ledger
from feedmill.spec import Map
from tests.alerts.world import OWNERS, landed

NOW = datetime.fromisoformat(os.environ.get("TEST_NOW") or datetime.now(UTC).isoformat())
"""The same in a child process, also across the turn of an hour."""
HOUR = NOW.replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
TABLE = replace(landed, since=HOUR, due=timedelta(days=2))
"""Nothing of it is overdue yet; a held hour is unpublished, and wakes its owner."""


class Receiver:
    """Takes every message, and remembers it."""

    keyed = True

    def __init__(self) -> None:
        self.conn_id = "any"
        self.got: list[Message] = []
        self.answer = Answer(Result.DELIVERED)

    def send(self, message: Message) -> Answer:
        self.got.append(message)
        return self.answer

    def confirm(self, request: str) -> Answer:
        raise AssertionError(request)

    @property
    def said(self) -> list[tuple[Action, str]]:
        return [(one.action, one.alias) for one in self.got]


PAGE, OVER = (Action.TRIGGER, "t/held/events.landed/bad"), (Action.RESOLVE, "t/held/events.landed/bad")


def watch_of(ledger: Ledger, folder: Path, receiver: Any, now: datetime = NOW, holder: str = "one") -> Watch:
    """A process that watches; its clock stands still. Those of one holder come one after the other."""
    tables = Map([TABLE])
    return Watch(
        ledger,
        Lookout(tables, OWNERS, ledger),
        Ground(OWNERS.known, tables),
        Setting("t", (), OWNERS),
        lambda _: receiver,
        folder / "copy.json",
        clock=lambda: now,
        holder=holder,
    )


@pytest.fixture
def known(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger whose alerts are not new; there is no Airflow, no Spark and no lake to look at."""
    for conn_id in ("feedmill_airflow", "spark_default", "iceberg_default"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}", raising=False)
    with ledger.transaction() as session:
        outbox.save(session, Outbox(), Outbox(kinds=dict.fromkeys(KINDS)))
    return ledger


def hold(ledger: Ledger, passed: bool = False) -> str:
    """A build whose check fails, or passes."""
    with ledger.transaction() as session:
        build = builds.begin(session, TABLE, TABLE.one(HOUR), "events.landed/run", "code")
        builds.finish(session, build.id, 1, [Written(HOUR, 3, "digest", {})])
        finding = {"severity": "critical", "message": "3 rows are bad", "expectation": "bad"}
        made = session.get_one(models.Build, build.id)
        verdicts.record(session, made, [(HOUR, passed, [] if passed else [finding])], "suite")
        return build.id


def test_an_incident_is_a_row_before_it_is_sent_and_closes_with_a_resolve(known: Ledger, tmp_path: Path) -> None:
    receiver = Receiver()
    hold(known)

    def seen_at_send(message: Message) -> Answer:
        with known.transaction() as session:
            rows = session.scalars(select(models.AlertIncident.alias)).all()
            sent = session.scalars(select(models.AlertDelivery.attempts)).all()
        assert (rows, sent) == ([message.alias], [1])
        receiver.got.append(message)
        return Answer(Result.DELIVERED)

    receiver.send, plain = seen_at_send, receiver.send  # type: ignore[method-assign]
    said = watch_of(known, tmp_path, receiver).round()
    receiver.send = plain  # type: ignore[method-assign]
    assert [one.alias for one in said.opened] == [PAGE[1]]
    assert receiver.said == [PAGE]
    assert "3 rows are bad" in receiver.got[0].body
    assert watch_of(known, tmp_path, receiver, NOW + timedelta(minutes=3)).round().sent == []
    hold(known, passed=True)
    said = watch_of(known, tmp_path, receiver, NOW + timedelta(minutes=4)).round()
    assert [one.alias for one in said.closed] == [PAGE[1]] or receiver.said == [PAGE], "built, and not published yet"


def test_of_two_that_watch_one_is_at_work(known: Ledger, tmp_path: Path) -> None:
    receiver = Receiver()
    hold(known)
    first, second = (watch_of(known, tmp_path / name, receiver, holder=name) for name in "ab")
    assert [first.round().is_leader, second.round().is_leader, first.round().is_leader] == [True, False, True]
    first.stop()
    assert second.round().is_leader
    assert receiver.said == [PAGE]


def test_whoever_stands_by_takes_over_when_the_lease_has_run_out(known: Ledger, tmp_path: Path) -> None:
    first, second = (watch_of(known, tmp_path / name, Receiver(), holder=name) for name in "ab")
    first.round()
    assert not second.round().is_leader
    with known.transaction() as session:
        session.execute(text("UPDATE leases SET until = clock_timestamp() - interval '1 second'"))
    assert second.round().is_leader
    assert not first.round().is_leader


def test_without_a_ledger_the_copy_goes_on_and_the_owner_of_the_infrastructure_is_paged(
    known: Ledger, tmp_path: Path
) -> None:
    receiver = Receiver()
    hold(known)
    watch_of(known, tmp_path, receiver).round()
    gone = Ledger("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    watch = watch_of(gone, tmp_path, receiver, NOW + timedelta(minutes=1))
    said = watch.round()
    assert Origin.LEDGER in said.silent
    watch.clock = lambda: NOW + timedelta(minutes=3)
    watch.round()
    assert receiver.said == [PAGE, (Action.TRIGGER, "t/component down/PostgreSQL")], "events.landed is not told again"
    watch.ledger = watch.lookout.ledger = known
    watch.clock = lambda: NOW + timedelta(minutes=4)
    watch.round()
    assert receiver.said[2:] == [(Action.RESOLVE, "t/component down/PostgreSQL")]
    with known.transaction() as session:
        rows = dict(session.execute(select(models.AlertIncident.kind, models.AlertIncident.closed_at)).tuples().all())
    assert rows.keys() == {"held", "component down"}, "what happened without a ledger is written down afterwards"
    assert rows["component down"] is not None


def test_whoever_stands_by_does_not_send_when_the_ledger_goes_down(known: Ledger, tmp_path: Path) -> None:
    receiver = Receiver()
    first, second = (watch_of(known, tmp_path / name, receiver, holder=name) for name in "ab")
    first.round()
    assert not second.round().is_leader
    gone = Ledger("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    for watch in (first, second):
        watch.ledger = watch.lookout.ledger = gone
    for minutes in (1, 4):
        first.clock = second.clock = lambda now=NOW + timedelta(minutes=minutes): now
        assert [first.round().is_leader, second.round().is_leader] == [True, False]
    assert receiver.said == [(Action.TRIGGER, "t/component down/PostgreSQL")]


def test_a_restored_older_ledger_gets_back_what_the_copy_knows(known: Ledger, tmp_path: Path) -> None:
    receiver = Receiver()
    hold(known)
    watch_of(known, tmp_path, receiver).round()
    with known.transaction() as session:
        for model in (models.AlertIncident, models.AlertDelivery):
            session.execute(model.__table__.delete())  # type: ignore[attr-defined]
    watch_of(known, tmp_path, receiver, NOW + timedelta(minutes=1)).round()
    assert receiver.said == [PAGE]
    with known.transaction() as session:
        assert session.scalar(select(func.count()).select_from(models.AlertDelivery)) == 1


def test_a_message_that_is_not_taken_is_tried_again_and_marked_if_it_may_have_arrived(
    known: Ledger, tmp_path: Path
) -> None:
    receiver = Receiver()
    hold(known)
    receiver.answer = Answer(Result.LATER, "no answer came", ambiguous=True)
    watch_of(known, tmp_path, receiver).round()
    receiver.answer = Answer(Result.DELIVERED)
    watch_of(known, tmp_path, receiver, NOW + timedelta(seconds=2)).round()
    assert len(receiver.got) == 1, "not yet"
    watch_of(known, tmp_path, receiver, NOW + timedelta(seconds=30)).round()
    assert [one.repeats for one in receiver.got] == [False, True]


def test_a_silence_is_a_row_of_the_ledger(known: Ledger, tmp_path: Path) -> None:
    receiver = Receiver()
    hold(known)
    with known.transaction() as session:
        outbox.silence(session, Silence("", "events.landed", (), "OPS-1", "ada", NOW, NOW + timedelta(hours=1)))
    assert watch_of(known, tmp_path, receiver).round().sent == []
    watch_of(known, tmp_path, receiver, NOW + timedelta(minutes=61)).round()
    assert receiver.said == [PAGE]
    assert "the silence of ada (OPS-1) has ended" in receiver.got[0].body


def test_the_first_round_waits_until_everything_has_answered(ledger: Ledger, tmp_path: Path, known: Ledger) -> None:
    with known.transaction() as session:
        session.execute(text("DELETE FROM alert_kinds"))
    receiver = Receiver()
    hold(known)
    watch = watch_of(known, tmp_path, receiver)
    watch.round()
    assert receiver.got == [], "Airflow has said nothing yet"
    watch.clock = lambda: NOW + timedelta(minutes=10)
    watch.round()
    assert [one.action for one in receiver.got] == [Action.NOTICE]
    assert "was red already" in receiver.got[0].body


def test_a_process_of_one_round_tells_although_airflow_never_answers(known: Ledger, tmp_path: Path) -> None:
    with known.transaction() as session:
        session.execute(text("DELETE FROM alert_kinds"))
    receiver = Receiver()
    hold(known)
    watch = watch_of(known, tmp_path, receiver)
    watch.waits = timedelta(0)
    watch.round()
    assert [one.action for one in receiver.got] == [Action.NOTICE]


def test_what_was_closed_long_ago_is_forgotten_with_its_messages(known: Ledger, tmp_path: Path) -> None:
    hold(known)
    watch_of(known, tmp_path, Receiver()).round()
    with known.transaction() as session:
        assert forget.alerts(session, NOW + timedelta(days=3650)) == 0, "it is open"
        session.execute(text("UPDATE alert_incidents SET closed_at = :at"), {"at": NOW})
        assert forget.alerts(session, NOW) == 0
        assert forget.alerts(session, NOW + timedelta(days=1)) == 1
        assert session.scalar(select(func.count()).select_from(models.AlertDelivery)) == 0


def test_the_copy_is_read_as_it_was_written_and_a_broken_one_is_none(known: Ledger, tmp_path: Path) -> None:
    hold(known)
    watch_of(known, tmp_path, Receiver()).round()
    path = tmp_path / "copy.json"
    with known.transaction() as session:
        assert outbox.load(session, NOW) == replace(outbox.read_copy(path), silences=())
    path.write_text("{half")
    assert outbox.read_copy(path) == Outbox()


CHILD = """
import os, signal, sys
from pathlib import Path
from feedmill.alerts import outbox, watch as watching
from feedmill.alerts.channels.notebook import Notebook
from feedmill.ledger.store import Ledger
from tests.alerts.test_watch import watch_of

url, folder, moment = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
watch = watch_of(Ledger(url), folder, Notebook("any", folder / "pages.md"))
if moment == "before the copy": outbox.write_copy = die
if moment == "before the ledger": outbox.save = die
if moment == "before it is sent": Notebook.send = die
if moment == "after it was sent":
    send = Notebook.send
    Notebook.send = lambda self, message: (send(self, message), die())
watch.round()
"""


@pytest.mark.parametrize(
    ("moment", "pages"),
    [("before the copy", 1), ("before the ledger", 1), ("before it is sent", 1), ("after it was sent", 2)],
)
def test_killed_at_any_moment_it_loses_no_page_and_marks_what_it_repeats(
    known: Ledger, tmp_path: Path, moment: str, pages: int
) -> None:
    hold(known)
    url = known.url
    done = subprocess.run(
        [sys.executable, "-c", CHILD, url, str(tmp_path), moment],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TEST_NOW": NOW.isoformat()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with known.transaction() as session:
        session.execute(text("DELETE FROM leases"))
    watch_of(known, tmp_path, Notebook("any", tmp_path / "pages.md"), NOW + timedelta(minutes=2)).round()
    written = (tmp_path / "pages.md").read_text()
    assert written.count("## trigger: events.landed") == pages
    assert ("This may have reached you already" in written) == (moment in ("before it is sent", "after it was sent"))
    with known.transaction() as session:
        (delivery,) = outbox.load(session, NOW).deliveries.values()
    assert delivery.stage is Stage.DELIVERED
