"""What the ledger shows besides states: volumes, builds at work and warnings; on a real one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, update

from feedmill.alerts import ledger_facts
from feedmill.alerts.incident import Outbox
from feedmill.alerts.look import Lookout
from feedmill.alerts.scene import Landed, Newest, Origin, Warned
from feedmill.freshness.load import picture
from feedmill.ledger import builds, files, models, publishes, verdicts
from feedmill.ledger.builds import Written
from feedmill.ledger.files import FoundFile
from feedmill.ledger.store import lock_counter
from feedmill.spec import Map
from feedmill.timeline import HOUR, hours
from tests.alerts.world import OWNERS, TABLES, clean, landed

NOW = datetime.now(UTC)
LAST = HOUR.floor(NOW) - hours(1)


def read(ledger, now=NOW):
    with ledger.transaction() as session:
        return ledger_facts.read(session, ["events_jsonl"], picture(session, TABLES, {}, now))


def found(hour, source="events_jsonl", name="a"):
    return FoundFile(f"/{source}/{hour:%d%H}{name}", source, "events", hour, 10, "etag", hour, None)


def test_the_bytes_of_each_source_by_hour_and_until_when_they_are_complete(ledger):
    old = LAST - timedelta(days=40)
    with ledger.transaction() as session:
        files.register(session, [found(LAST), found(LAST, name="b"), found(old), found(LAST, "other")], NOW)
    assert read(ledger).landed == {}, "nobody has looked"
    with ledger.transaction() as session:
        lock_counter(session)
        files.seal(session, "events", landed.range(LAST - hours(1), LAST + hours(1)))
    assert read(ledger).landed == {"events_jsonl": Landed({LAST: 20}, LAST + hours(1))}


def test_a_look_at_everything_has_them_and_reads_them_once_a_minute(ledger, monkeypatch):
    for conn_id in ("feedmill_airflow", "spark_default", "iceberg_default"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}", raising=False)
    lookout = Lookout(Map(TABLES), replace(OWNERS, expected=frozenset({"events_jsonl"})), ledger)
    scene = lookout.scene(NOW, Outbox())
    assert (scene.landed, scene.services) == ({}, [])
    assert {Origin.LEDGER, Origin.SERVICES} <= scene.answered
    with ledger.transaction() as session:
        files.register(session, [found(LAST)], NOW)
        files.seal(session, "events", landed.one(LAST))
    assert lookout.scene(NOW + timedelta(seconds=59), Outbox()).landed == {}
    assert lookout.scene(NOW + timedelta(seconds=60), Outbox()).landed.keys() == {"events_jsonl"}


def built(session, table, partition, took=timedelta(minutes=3), findings=(), passed=True):
    build = builds.begin(session, table, table.one(partition), f"{table.dag_id}/run", "code")
    builds.finish(session, build.id, 1, [Written(partition, 3, "digest", {})])
    started = update(models.Build).where(models.Build.id == build.id).values(started_at=func.now() - took)
    session.execute(started)
    made = session.get_one(models.Build, build.id)
    session.refresh(made)
    verdicts.record(session, made, [(partition, passed, list(findings))], "suite")
    return made


def test_a_build_that_is_at_work_for_an_hour_with_what_the_builds_before_it_took(ledger):
    with ledger.transaction() as session:
        for n in range(3):
            built(session, clean, LAST - hours(n))
        quick = builds.begin(session, landed, landed.one(LAST), "events.landed/run", "code")
        slow = builds.begin(session, clean, clean.one(LAST), "events.clean/run", "code")
        session.flush()
        started = update(models.Build).where(models.Build.id == slow.id)
        session.execute(started.values(started_at=NOW - timedelta(hours=2)))
        dead = builds.begin(session, clean, clean.one(LAST - hours(1)), "events.clean/other", "code")
        session.flush()
        session.execute(update(models.Build).where(models.Build.id == dead.id).values(started_at=NOW - hours(3)))
        gone = update(models.Claim).where(models.Claim.build_id == dead.id)
        session.execute(gone.values(heartbeat_at=NOW - timedelta(minutes=2)))
        slow_id, quick_id = slow.id, quick.id
    work = read(ledger).work
    assert list(work) == [slow_id]
    assert quick_id not in work
    assert work[slow_id].owner == "events.clean/run"
    assert work[slow_id].started_at == NOW - timedelta(hours=2)
    assert [(round(took / timedelta(minutes=1)), count) for took, count in work[slow_id].lately] == [(3, 1)] * 3


def test_the_warnings_of_the_newest_published_partition_of_each_table(ledger):
    findings = [
        {"severity": "critical", "message": "accepted", "expectation": "must"},
        {"severity": "warning", "message": "few rows", "expectation": "volume"},
    ]
    with ledger.transaction() as session:
        for table, partition, some in ((clean, LAST, findings), (clean, LAST - hours(1), []), (landed, LAST, [])):
            build = built(session, table, partition, findings=some)
            moved = [publishes.Moved(partition, 3, "digest", {})]
            publishes.record(session, build, moved, 7)
        for table, partition in ((clean, LAST + hours(1)), (landed, LAST - hours(100))):
            built(session, table, partition, findings=findings)
    newest = read(ledger).newest
    assert newest.keys() == {"events.clean", "events.landed"}
    one = newest["events.clean"]
    expected = (Warned("volume", "few rows"),)
    assert one == Newest("events.clean", LAST, one.build_id, "events.clean/run", one.judged_at, expected)
    assert newest["events.landed"].warnings == ()
    assert read(ledger, NOW + timedelta(days=3)).newest == {}


def test_two_builds_of_the_same_inputs_and_code_with_other_rows(ledger):
    def made(partition, digest, pins, identity="code"):
        with ledger.transaction() as session:
            build = builds.begin(session, clean, clean.one(partition), "events.clean/run", identity)
            builds.pin(session, build.id, pins)
            builds.finish(session, build.id, 1, [Written(partition, 3, digest, {})])
            return build.id

    pins = {"events.landed": 7, "recorded": {"events.landed": 7}}
    made(LAST, "a", pins)
    made(LAST, "a", pins)
    made(LAST, "b", {**pins, "events.landed": 8})
    made(LAST, "b", pins, "other code")
    made(LAST - timedelta(days=10), "a", pins)
    made(LAST - timedelta(days=10), "b", pins)
    assert read(ledger).differing == {}
    first = made(LAST - hours(1), "a", pins)
    second = made(LAST - hours(1), "b", pins)
    one = read(ledger).differing["events.clean"]
    assert (one.partition, one.identity, one.builds) == (LAST - hours(1), "code", (first, second))
    assert one.owner == "events.clean/run"
