"""A small map with two teams, and a world in which things go wrong, for the tests of alerts. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from feedmill.alerts import dispatch
from feedmill.alerts.catching_up import remember
from feedmill.alerts.incident import Delivery, Incident, Outbox, Stage
from feedmill.alerts.incidents import judge, outages
from feedmill.alerts.kinds import KINDS
from feedmill.alerts.scene import AirflowReport, Component, Dag, Health, Origin, Owners, Scene
from feedmill.freshness.facts import AirflowFacts, Facts, Held, Knowledge, Published, Try
from feedmill.freshness.states import Picture
from feedmill.spec import Files, Input, Maintainer, Table
from feedmill.timeline import DAY, HOUR, days, hours

ops = Maintainer("ops", "runs it", "mailto:ops@example.com", channels=("ops_pager",))
ranking = Maintainer("ranking", "ranks", "mailto:r@example.com", channels=("ranking_pager",), backup=ops)
data = Maintainer(
    "data",
    "lands",
    "mailto:d@example.com",
    channels=("data_pager", "data_chat"),
    time_zone="Europe/Berlin",
    holidays="DE-BE",
    backup=ops,
)
OWNERS = Owners({one.name: one for one in (data, ranking, ops)}, data, ops, {"events_jsonl": (data, 1)})

landed = Table("events.landed", HOUR, [Files("events")], data, 1, days(90), due=hours(1))
clean = Table("events.clean", HOUR, [Input(landed)], data, 2, days(90))
rollup = Table("rollups.hourly", HOUR, [Input(clean)], ranking, 2, days(90))
feature = Table("features.hourly", HOUR, [Input(rollup)], ranking, 2, days(90))
serving = Table("serving.hourly", HOUR, [Input(feature)], ranking, 1, days(90))
report = Table("dashboards.daily", DAY, [Input(clean)], ranking, 3, days(90), due=hours(4))
TABLES = (landed, clean, rollup, feature, serving, report)

SINCE = datetime(2026, 5, 4, 6, tzinfo=UTC)
"""A Monday, 8 o'clock in Berlin."""


def at(hour: float, day: int = 4) -> datetime:
    """A moment of May 2026; the 4th is a Monday."""
    return datetime(2026, 5, day, tzinfo=UTC) + timedelta(hours=hour)


@dataclass
class World:
    """What is true now; tests change it, and :meth:`round` lets ``watch`` see it."""

    now: datetime = field(default_factory=lambda: at(8))
    since: datetime | None = SINCE
    published: dict[str, dict[datetime, int]] = field(default_factory=dict)
    """By table and partition: the begin of the published build."""
    numbers: dict[tuple[str, datetime], int] = field(default_factory=dict)
    """By table and partition: the number of the publish."""
    rows: dict[tuple[str, datetime], int] = field(default_factory=dict)
    """By table and partition: the rows that were published, 10 where it does not matter."""
    code: str = "code"
    """The identity of whatever is published."""
    held: dict[str, dict[datetime, Held]] = field(default_factory=dict)
    tries: dict[str, list[Try]] = field(default_factory=dict)
    building: dict[str, list[tuple]] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    silent: set[Origin] = field(default_factory=set)
    health: dict[Component, Health] = field(default_factory=dict)
    tables: Sequence[Table] = TABLES
    outbox: Outbox = field(default_factory=lambda: Outbox(kinds=dict.fromkeys(KINDS)))
    more: dict[str, object] = field(default_factory=dict)
    """Other fields of the scene."""
    setting: dispatch.Setting = field(
        default_factory=lambda: dispatch.Setting("test", tuple(KINDS), OWNERS, frozenset({"data_pager", "ops_pager"}))
    )
    down: set[str] = field(default_factory=set)
    """Channels that take nothing."""
    messages: list[tuple[datetime, str, str, str]] = field(default_factory=list)
    """When, to which channel, for which purpose, about which key."""

    def publish(self, table: Table, *hours_of_day: datetime, begin: int = 100) -> None:
        """A build with this begin is published."""
        for partition in hours_of_day:
            self.published.setdefault(table.name, {})[partition] = begin
            self.numbers[table.name, partition] = len(self.numbers) + 1
            self.held.get(table.name, {}).pop(partition, None)
            kept = [one for one in self.tries.get(table.name, []) if one.begin > begin or partition not in one.span]
            self.tries[table.name] = kept

    def publish_all(self, until: datetime, *, besides: Sequence[Table] = ()) -> None:
        """Every partition that has ended is published."""
        for table in self.tables:
            partition = table.every.floor(SINCE)
            while table not in besides and partition + table.every.length <= until:
                wrong = partition in self.held.get(table.name, {}) or any(
                    partition in one.span for one in self.tries.get(table.name, [])
                )
                if partition not in self.published.get(table.name, {}) and not wrong:
                    self.publish(table, partition)
                partition += table.every.length

    def hold(self, table: Table, partition: datetime, message: str = "3 rows are bad", begin: int = 200) -> None:
        """A check fails."""
        made = Held(f"b{begin}", message, begin, message.split()[-1], self.now)
        self.held.setdefault(table.name, {})[partition] = made

    def fail(self, table: Table, partition: datetime, error: str = "ValueError: no", begin: int = 200) -> None:
        """A build fails."""
        owner = f"{table.dag_id}/run_{begin}"
        span = table.one(partition)
        one = Try(span, begin, f"b{begin}", owner, f"failed: {error}", self.now)
        self.tries.setdefault(table.name, []).append(one)

    def picture(self) -> Picture:
        """The states now."""
        published = {
            name: {
                p: Published(begin, self.numbers[name, p], self.code, self.rows.get((name, p), 10))
                for p, begin in mine.items()
            }
            for name, mine in self.published.items()
        }
        airflow = AirflowFacts(frozenset(self.paused), frozenset(self.alive))
        known = Knowledge(
            Facts(published, {"events": {}}, since=self.since),
            self.held,
            self.building,
            tries=self.tries,
            airflow=None if Origin.AIRFLOW in self.silent else airflow,
        )
        return Picture.of(self.tables, known, self.now)

    def scene(self) -> Scene:
        """What can be known now."""
        dags = {t.dag_id: Dag(t.dag_id, (t.maintainer.name,), (), "f.py") for t in self.tables}
        made = Scene(
            self.now,
            OWNERS,
            frozenset(Origin) - self.silent,
            picture=None if Origin.LEDGER in self.silent else self.picture(),
            airflow=None if Origin.AIRFLOW in self.silent else AirflowReport(dags),
            components=self.health,
        )
        return replace(made, **self.more)

    def round(self, **later: float) -> list[Incident]:
        """Some time passes, then ``watch`` looks, judges, decides and sends. The open incidents."""
        self.now += timedelta(**later)
        known = self.outbox
        scene = self.scene()
        known = replace(known, outages={**known.outages, **outages(known.outages, scene.components, self.now)})
        open_ = tuple(one for one in known.incidents.values() if one.closed_at is None)
        scene = replace(scene, open=open_, outages=tuple(known.outages.values()))
        known = replace(known, tables={**known.tables, **remember(known.tables, scene)})
        scene = replace(scene, remembered=known.tables)
        known = known.with_incidents(list(judge(KINDS, scene, known.incidents, "test").values()))
        self.outbox = dispatch.decide(known, self.setting, self.now)
        self._send()
        return [one for one in self.outbox.incidents.values() if one.is_open]

    def rounds(self, until: datetime, minutes: float = 5) -> list[Incident]:
        """Rounds until then."""
        found = self.round()
        while self.now < until:
            found = self.round(minutes=minutes)
        return found

    def calm(self, hours: float, minutes: float = 60) -> list[Incident]:
        """Some hours pass in which whatever is not wrong is published in time."""
        end = self.now + timedelta(hours=hours)
        found: list[Incident] = []
        while self.now < end:
            self.now = min(self.now + timedelta(minutes=minutes), end)
            self.publish_all(self.now)
            found = self.round()
        return found

    def _send(self) -> None:
        for delivery in list(self.outbox.deliveries.values()):
            if delivery.stage is not Stage.DUE:
                continue
            tried: dict[str, object] = {
                "attempts": delivery.attempts + 1,
                "first_tried_at": delivery.first_tried_at or self.now,
            }
            if delivery.channel in self.down:
                made = replace(delivery, error="it does not answer", **tried)
            else:
                made = replace(delivery, stage=Stage.DELIVERED, done_at=self.now, error="", **tried)
                self.messages.append((self.now, delivery.channel, delivery.purpose.value, self._key(delivery)))
            self.outbox = self.outbox.with_deliveries([made])

    def _key(self, delivery: Delivery) -> str:
        return self.outbox.incidents[delivery.incident_id].alias.removeprefix("test/")

    def sent(self, *purposes: str) -> list[tuple[str, str, str]]:
        """Channel, purpose and key of every message, or of these purposes."""
        return [(c, p, k) for _, c, p, k in self.messages if not purposes or p in purposes]


def keys(found: Sequence[Incident]) -> list[str]:
    """The keys of incidents, in order."""
    return sorted(one.alias.removeprefix("test/") for one in found)


def only(mapping: Mapping[str, Incident] | Sequence[Incident]) -> Incident:
    """The one incident that there is."""
    (found,) = mapping.values() if isinstance(mapping, Mapping) else mapping
    return found
