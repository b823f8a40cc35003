"""What ``feedmill demo --full`` shows: affinities and recommendations of two users, and the fallback ranking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedmill.cli.output import listing
from feedmill.timeline import DAY, HOUR, Range

if TYPE_CHECKING:
    from rich.console import RenderableType

    from feedmill.deployment import Deployment

ROLL_UPS = ("rollups.item_engagement_hourly", "rollups.item_engagement_daily")
AFFINITIES, RANKS = 6, 8
"""Lines of each list."""


@dataclass(frozen=True)
class Person:
    """A user of the simulated feed, and the user's rows in the tables of the last simulated day."""

    kind: str
    user_id: str
    segment: str
    impressions: float
    """Weighted by age, over 56 days."""
    affinities: list[dict[str, Any]] = field(default_factory=list)
    recommendations: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """Everything that the full demo shows."""

    weeks: Range
    events: int
    seed: int
    users: int
    equal: bool
    """Whether the roll-ups of the simulated weeks hold what the simulator counted."""
    people: list[Person]
    fallback_segment: str
    fallback: list[dict[str, Any]]

    @property
    def day(self) -> datetime:
        """The last simulated day."""
        return self.weeks.end - DAY.length

    def plain(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            **{key: value for key, value in asdict(self).items() if key != "weeks"},
            "start": self.weeks.start,
            "end": self.weeks.end,
        }


def look(deployment: Deployment, folder: Path, weeks: Range) -> Shown:
    """Read the published tables and the simulator's truth.

    Raises:
        DemoError: the tables of the last simulated day hold no users any more.
    """
    from feedmill.demo import full as demo_full
    from feedmill.demo import week as demo
    from feedmill.explore.sql import ask
    from feedmill.simulate import truth

    def rows(sql: str) -> list[dict[str, Any]]:
        answer = ask(sql, deployment.tables, deployment.lake)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]

    day = weeks.end - DAY.length
    made = truth.manifest(folder)
    true = {
        (row["user_id"], row["category"]): row["ratio"]
        for row in truth.affinity(folder, day).select(["user_id", "category", "ratio"]).to_pylist()
    }
    people = []
    for kind, order in (("well known", "DESC"), ("sparse", "ASC")):
        chosen = rows(_somebody(day, order))
        if not chosen:
            raise demo.DemoError(
                f"features.user_category_affinity has no users on {day:%Y-%m-%d}, because the simulated weeks are past "
                "their retention; run `make clean` and begin again"
            )
        person = Person(kind, **chosen[0])
        affinities = rows(_affinities(day, person.user_id))
        for row in affinities:
            row["truth"] = true.get((person.user_id, row["category"]))
        people.append(
            Person(
                kind,
                person.user_id,
                person.segment,
                person.impressions,
                affinities,
                rows(_recommendations(day, person.user_id)),
            )
        )
    hour = weeks.end - HOUR.length
    # "*" serves users whose segment has no ranking of its own.
    segment, fallback = next(
        (name, found) for name in (people[-1].segment, "*") if (found := rows(_fallback(hour, name))) or name == "*"
    )
    wanted = demo_full.expected(folder)
    equal = all(
        demo.counts(ask(demo.totals_query(name, weeks), deployment.tables, deployment.lake).rows) == wanted
        for name in ROLL_UPS
    )
    return Shown(weeks, made["rows"]["events"], made["seed"], made["users"], equal, people, segment, fallback)


def text(shown: Shown, week: Range) -> RenderableType:
    """The text form, for people."""
    from rich.columns import Columns
    from rich.console import Group

    last = shown.weeks.end - timedelta(days=1)
    sentence = (
        "Their roll-ups hold exactly what the simulator counted."
        if shown.equal
        else "Their roll-ups DIFFER from what the simulator counted: `feedmill status` shows what is not published."
    )
    return Group(
        f"\nSimulated: {shown.weeks.start:%Y-%m-%d} to {last:%Y-%m-%d} (UTC), {shown.events:,} events of "
        f"{shown.users:,} users by `feedmill simulate`, seed {shown.seed}. {sentence}",
        f"Real:      {week.start:%Y-%m-%d} to {week.end - timedelta(days=1):%Y-%m-%d}, Open Bandit. It has no user "
        "ids, so nobody below is real.\n",
        f"Affinity at the end of {shown.day:%Y-%m-%d}: engagement as a multiple of the average user's. Truth is the "
        "simulator's.\n",
        Columns([_affinity_list(person) for person in shown.people], padding=(0, 6)),
        "\nRecommended for the next day, nothing seen before (serving.user_recommendations): affinity × √engaged × (1 "
        "+ evidence); evidence is what the user's own items say of it.\n",
        Columns([_recommended(person) for person in shown.people], padding=(0, 6)),
        f"\nWhoever has no recommendation, segment {shown.fallback_segment}: serving.fallback_ranking at the end of "
        f"that day.\n",
        _ranking(shown.fallback, ("rank", "item_id", "category", "score", "is_trending")),
    )


def _somebody(day: datetime, order: str) -> str:
    """The user with the most, or the fewest, impressions of those who engaged with anything.

    Whoever has seen most items is passed over: nothing but what nobody likes is left to recommend.
    """
    items = f"FROM rollups.user_items_daily WHERE day <= DATE '{day:%Y-%m-%d}'"
    return f"""
        SELECT user_id, any_value(segment) AS segment, sum(impressions)::DOUBLE AS impressions
        FROM features.user_category_affinity WHERE day = DATE '{day:%Y-%m-%d}' AND horizon = 'long' AND user_id IN (
            SELECT user_id {items} GROUP BY user_id
            HAVING 2 * count(DISTINCT item_id) <= (SELECT count(DISTINCT item_id) {items}))
        GROUP BY user_id HAVING sum(observed) > 0 ORDER BY impressions {order}, user_id LIMIT 1"""


def _affinities(day: datetime, user_id: str) -> str:
    return f"""
        SELECT category, impressions::DOUBLE AS impressions, observed::DOUBLE AS observed, expected::DOUBLE AS expected,
            affinity, lower_bound, credibility
        FROM features.user_category_affinity
        WHERE day = DATE '{day:%Y-%m-%d}' AND horizon = 'long' AND user_id = {_quoted(user_id)}
        ORDER BY rank LIMIT {AFFINITIES}"""


def _recommendations(day: datetime, user_id: str) -> str:
    return f"""
        SELECT rank, item_id, category, affinity, engaged, evidence, score FROM serving.user_recommendations
        WHERE day = DATE '{day:%Y-%m-%d}' AND user_id = {_quoted(user_id)} ORDER BY rank LIMIT {RANKS}"""


def _fallback(hour: datetime, segment: str) -> str:
    return f"""
        SELECT rank, item_id, category, score, is_trending FROM serving.fallback_ranking
        WHERE hour = '{hour:%Y-%m-%d %H:%M}' AND segment = {_quoted(segment)} ORDER BY rank LIMIT {RANKS}"""


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _affinity_list(person: Person) -> RenderableType:
    from rich.console import Group

    headers = ["category", "shown", "engaged", "expected", "affinity", "5 % bound", "credibility", "truth"]
    cells = [
        (
            row["category"],
            f"{row['impressions']:,.1f}",
            f"{row['observed']:,.1f}",
            f"{row['expected']:,.1f}",
            f"{row['affinity']:.2f}",
            f"{row['lower_bound']:.2f}",
            f"{row['credibility']:.2f}",
            "" if row["truth"] is None else f"{row['truth']:.2f}",
        )
        for row in person.affinities
    ]
    head = f"{person.user_id} ({person.segment}), {person.kind}: {person.impressions:,.1f} impressions, by age\n"
    return Group(head, listing(headers, cells, right=headers[1:]))


def _recommended(person: Person) -> RenderableType:
    from rich.console import Group

    if not person.recommendations:
        return f"{person.user_id}, {person.kind}: none; the ranking below serves this user"
    columns = ("rank", "item_id", "category", "affinity", "engaged", "evidence", "score")
    return Group(f"{person.user_id}, {person.kind}\n", _ranking(person.recommendations, columns))


def _ranking(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> RenderableType:
    def cell(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else ""
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    numbers = [name for name in columns if name in ("rank", "affinity", "engaged", "evidence", "score")]
    headers = {"item_id": "item", "is_trending": "trends"}
    return listing(
        [headers.get(name, name) for name in columns],
        [[cell(row[name]) for name in columns] for row in rows],
        right=numbers,
    )
