"""A look that reads only what changed gives the picture of one that reads everything, after any changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update

from feedmill.freshness.facts import AirflowFacts
from feedmill.freshness.load import Look, picture
from feedmill.freshness.states import Picture, State
from feedmill.ledger import builds, files, forget, publishes, quarantine, verdicts
from feedmill.ledger.builds import Written
from feedmill.ledger.claims import CLAIM_EXPIRES
from feedmill.ledger.files import FoundFile
from feedmill.ledger.models import Build, Claim, Partition, Touch
from feedmill.ledger.publishes import Moved
from feedmill.ledger.quarantine import DecisionError, Defect
from feedmill.ledger.store import Ledger
from feedmill.spec import Files, Input, Maintainer, Map, Table
from feedmill.timeline import DAY, HOUR, days, hours

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")
DAY_1 = datetime(2026, 5, 1, tzinfo=UTC)
SINCE = DAY_1 + hours(3)

LANDED = Table("e.landed", HOUR, [Files("events")], TEAM, 2, days(90), since=SINCE)
CLEAN = Table("e.clean", HOUR, [Input(LANDED, by="touches")], TEAM, 2, days(90), since=SINCE)
DAILY = Table("r.daily", DAY, [Input(CLEAN)], TEAM, 2, days(90), since=SINCE)
WINDOW = Table("f.window", DAY, [Input(DAILY, lookback=days(1))], TEAM, 2, days(90), since=SINCE)
TABLES = Map([LANDED, CLEAN, DAILY, WINDOW])
PARTITIONS = [(t, DAY_1 + n * t.every.length) for t in TABLES for n in range(2 if t.every is DAY else 9)]
NOW = DAY_1 + timedelta(days=2, minutes=10)


class World:
    """Everything that happens to a ledger, one transaction a step."""

    def __init__(self, ledger: Ledger):
        self.ledger = ledger
        self.begun: list[str] = []
        self.files = 0
        self.codes = {table.name: "code" for table in TABLES}
        self.airflow: AirflowFacts | None = None

    def begin(self, table: Table, partition: datetime) -> None:
        with self.ledger.transaction() as session:
            owner = f"{table.name}/{len(self.begun)}"
            session.execute(update(Claim).values(heartbeat_at=func.now() - 2 * CLAIM_EXPIRES))
            code = self.codes[table.name]
            self.begun.append(builds.begin(session, table, table.one(partition), owner, code).id)

    def build(self, at: tuple[Table, datetime], how: str, shift: int) -> None:
        """A build from its begin to its end."""
        self.begin(*at)
        self.end(len(self.begun) - 1, how, shift)

    def rewrite(self, table: Table) -> None:
        """A person changes the table's code."""
        self.codes[table.name] += "'"

    def hear(self, airflow: AirflowFacts | None) -> None:
        """Airflow says something else, or does not answer."""
        self.airflow = airflow

    def end(self, which: int, how: str, shift: int) -> None:
        """The chosen build ends: built, failed or stopped; then it is checked, and published or accepted."""
        if not self.begun:
            return
        with self.ledger.transaction() as session:
            build = session.get(Build, self.begun[which % len(self.begun)])
            if build is None:  # forgotten
                return
            touched = {build.range_start: 5, build.range_start - hours(shift): 1}
            touches = touched if build.table_name == LANDED.name else None
            written = Written(build.range_start, shift, f"d{shift}", touches)
            if how == "failed":
                builds.failed(session, build.id, "ValueError: a reason\nand its second line")
            elif how == "stopped":
                builds.interrupted(session, build.id, "a person stopped it")
            elif build.state == "running":
                builds.finish(session, build.id, 7, [written])
            if build.state != "built":
                return
            critical = [{"severity": "critical", "message": "17 rows"}]
            if how in ("held", "accepted"):
                verdicts.record(session, build, [(build.range_start, False, critical)], "suite")
            if how == "accepted":
                verdicts.accept(session, build, build.range_start, "ada", "they are right")
            if how in ("published", "accepted"):
                publishes.record(session, build, [Moved(build.range_start, shift, f"d{shift}", touches)], 8)

    def land(self, hour: datetime) -> None:
        self.files += 1
        found = FoundFile(f"file:///{self.files}", "s", "events", hour, 1, "e", hour, None)
        with self.ledger.transaction() as session:
            files.register(session, [found], NOW)

    def rule(self, which: int, how: str) -> None:
        """One of the files becomes a defect, is disowned, or is readmitted; what is not possible changes nothing."""
        path = f"file:///{1 + which % max(self.files, 1)}"
        with suppress(DecisionError, LookupError), self.ledger.transaction() as session:
            if how == "declare":
                quarantine.declare(session, {path: Defect("it cannot be read", "reader")})
            elif how == "disown":
                quarantine.disown(session, path, "ada", "it is wrong", TABLES)
            elif how == "readmit":
                seen = FoundFile(path, "s", "events", DAY_1, 2, "e2", DAY_1, None)
                quarantine.readmit(session, seen, "ada", "it is right", TABLES)

    def forget(self, _: datetime) -> None:
        with self.ledger.transaction() as session:
            files.forget(session, [f"file:///{self.files}"], TABLES)

    def expire(self, which: int) -> None:
        with self.ledger.transaction() as session:
            known = session.scalars(select(Partition).order_by(Partition.table_name, Partition.partition)).all()
            if known:
                row = known[which % len(known)]
                row.expired_at = NOW
                session.query(Touch).filter_by(table_name=row.table_name, partition=row.partition, rows=0).delete()

    def tidy(self, _: int) -> None:
        """Housekeeping forgets the builds that say nothing any more: no state may change."""
        with self.ledger.transaction() as session:
            before = seen(picture(session, TABLES, dict(self.codes), NOW, self.airflow))
        for table in TABLES:
            with self.ledger.transaction() as session:
                forget.builds(session, table, datetime(2100, 1, 1, tzinfo=UTC), DAY_1 - days(1), [])
        with self.ledger.transaction() as session:
            assert seen(picture(session, TABLES, dict(self.codes), NOW, self.airflow)) == before

    def die(self, _: int) -> None:
        """No build that runs gives a sign of life any more."""
        with self.ledger.transaction() as session:
            session.execute(update(Claim).values(heartbeat_at=func.now() - 2 * CLAIM_EXPIRES))


HOURS = st.sampled_from([DAY_1 + hours(n) for n in range(9)])
SMALL = st.integers(0, 6)
ENDS = st.sampled_from(["published", "published", "built", "failed", "stopped", "held", "accepted"])
DAGS = st.sets(st.sampled_from([table.dag_id for table in TABLES]))
AIRFLOWS = st.none() | st.builds(
    AirflowFacts,
    paused=DAGS,
    alive=st.sets(st.tuples(st.sampled_from(list(TABLES)), SMALL).map(lambda at: f"{at[0].name}/{at[1]}")),
)
STEPS = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from(PARTITIONS)).map(lambda s: (s[0], *s[1])),
    st.tuples(st.just("end"), SMALL, ENDS, SMALL),
    st.tuples(st.just("build"), st.sampled_from(PARTITIONS), ENDS, SMALL),
    st.tuples(st.just("build"), st.sampled_from(PARTITIONS), st.just("published"), SMALL),
    st.tuples(st.just("land"), HOURS),
    st.tuples(st.just("rule"), SMALL, st.sampled_from(["declare", "disown", "readmit"])),
    st.tuples(st.just("forget"), HOURS),
    st.tuples(st.just("expire"), SMALL),
    st.tuples(st.just("die"), SMALL),
    st.tuples(st.just("rewrite"), st.sampled_from(list(TABLES))),
    st.tuples(st.just("hear"), AIRFLOWS),
    st.tuples(st.just("tidy"), SMALL),
    st.tuples(st.just("look"), st.integers(0, 30)),
)


@contextmanager
def emptied(ledger: Ledger) -> Iterator[None]:
    """One database for all examples: making a new one for each would take longer than the examples."""
    files = "files, file_decisions, sealed_hours"
    tables = f"{files}, builds, built_partitions, claims, verdicts, acceptances, intents, publishes"
    with ledger.transaction() as session:
        session.execute(text(f"TRUNCATE {tables}, partitions, touches CASCADE"))
    yield


def seen(made: Picture) -> dict[str, list[object]]:
    """All that a picture says, in words too."""
    return {
        status.table.name: [
            *(cell for cell in status.cells),
            *(
                (cell.partition, made.blocked_by(status.table, cell.partition))
                for cell in status.within([State.BLOCKED])
            ),
        ]
        for status in made.all()
    }


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=4, max_size=25), st.booleans())
def test_a_warm_look_equals_a_cold_one_after_any_changes(ledger: Ledger, steps: list[tuple], often: bool) -> None:
    with emptied(ledger):
        world, warm, now = World(ledger), Look(TABLES), NOW
        for verb, *values in [*steps, ("look", 0)]:
            if verb == "look":
                now += timedelta(minutes=values[0])
            else:
                getattr(world, verb)(*values)
            if often or verb == "look":
                with ledger.transaction() as session:
                    after = warm.again(session, dict(world.codes), now, world.airflow)
                    found = seen(after)
                with ledger.transaction() as session:
                    assert found == seen(picture(session, TABLES, dict(world.codes), now, world.airflow))
        ledger.engine.dispose()


def test_a_change_that_was_under_way_at_the_last_look_is_seen_by_the_next(ledger: Ledger) -> None:
    """It got its number before the look, and shows itself after it: the largest number seen would pass it over."""
    world, warm, identities = World(ledger), Look(TABLES), {t.name: "code" for t in TABLES}
    late = FoundFile("file:///late", "s", "events", DAY_1 + hours(5), 1, "e", DAY_1, None)
    with ledger.transaction() as slow:
        slow.execute(text("SELECT pg_current_xact_id()"))
        world.land(DAY_1 + hours(6))
        with ledger.transaction() as session:
            before = warm.again(session, identities, NOW).columns.files["events"].within(*span(5, 7)).tolist()
        files.register(slow, [late], NOW)
    with ledger.transaction() as session:
        after = warm.again(session, identities, NOW).columns.files["events"].within(*span(5, 7)).tolist()
    assert before[0] == -1
    assert after[0] == max(after) > before[1] > 0


def span(first: int, end: int) -> tuple[int, int]:
    start = int(DAY_1.timestamp()) // 3600
    return start + first, start + end


def test_what_is_decided_about_a_file_makes_its_hour_stale_in_a_later_look_too(ledger: Ledger) -> None:
    world, warm, identities = World(ledger), Look(TABLES), {t.name: "code" for t in TABLES}
    world.land(DAY_1 + hours(3))
    for n, how in enumerate(["declare", "disown", "readmit"]):
        world.begin(LANDED, DAY_1 + hours(3))
        world.end(n, "published", 1)
        with ledger.transaction() as session:
            assert not of_landed(warm.again(session, identities, NOW))
        world.rule(0, how)
        with ledger.transaction() as session:
            assert of_landed(warm.again(session, identities, NOW)) == [DAY_1 + hours(3)], how


def of_landed(made: Picture) -> list[datetime]:
    (status,) = [status for status in made.all() if status.table is LANDED]
    return [cell.partition for cell in status.within([State.STALE])]


def test_a_quiet_ledger_costs_a_later_look_no_row_of_it(ledger: Ledger) -> None:
    world, warm = World(ledger), Look(TABLES)
    identities = {t.name: "code" for t in TABLES}
    for n in range(5):
        world.begin(CLEAN, DAY_1 + hours(n))
        world.end(n, "published", 3)
    with ledger.transaction() as session:
        warm.again(session, identities, NOW)
    # One more transaction: the last one of before is the oldest that may have been at work.
    world.land(DAY_1)
    rows: list[int] = []
    with ledger.transaction() as session:
        warm.again(session, identities, NOW)
    with ledger.transaction() as session:
        original = warm._partitions
        warm._partitions = lambda *given: rows.append(given[-1]) or original(*given)  # type: ignore[method-assign,func-returns-value]
        warm.again(session, identities, NOW)
    with ledger.transaction() as session:
        again = session.scalar(select(func.count()).select_from(Partition).where(Partition.change >= rows[0]))
    assert again == 0


def test_every_fact_that_is_written_carries_the_number_of_its_transaction(ledger: Ledger) -> None:
    world = World(ledger)
    world.land(DAY_1)
    world.begin(CLEAN, DAY_1)
    world.end(0, "accepted", 1)
    for model in ("files", "builds", "verdicts", "acceptances", "partitions"):
        with ledger.transaction() as session:
            now = session.scalar(text("SELECT pg_current_xact_id()::text::bigint"))
            changes = session.scalars(text(f"SELECT change FROM {model}")).all()
            assert changes, model
            assert all(0 < change < now for change in changes), model
            session.execute(text(f"UPDATE {model} SET change = 0"))
            assert set(session.scalars(text(f"SELECT change FROM {model}"))) == {now}, model
