"""serving.fallback_ranking: rules that serve every segment of the hour, and anyone else."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from include.spark.serving.fallback_ranking import ANYONE, FRESH_DAYS, LENGTH, QUOTA, TRENDING, transform
from tests.spark.plans import physical

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)

POPULARITY = "hour timestamp, item_id string, surface string, lower_bound double"
TREND = "hour timestamp, item_id string, surface string, is_trending boolean"
ENGAGEMENT = "hour timestamp, surface string, country string, impressions bigint, clicks bigint"
ITEMS = (
    "hour timestamp, day date, item_id string, categories array<struct<category: string, weight: double>>, "
    "published_at timestamp"
)

OLD = NOW - timedelta(days=3650)


def item(name, *categories, published=OLD):
    return {"hour": NOW, "item_id": name, "categories": list(categories), "published_at": published}


CROWD = {f"{category} {n:03d}": category for category in "abcdefg" for n in range(40)}
CATALOGUE = [
    *[item(name, (category, 1.0)) for name, category in CROWD.items()],
    item("trends", ("x", 1.0)),
    item("does not trend", ("x", 1.0)),
    item("new", ("y", 1.0), published=NOW + timedelta(hours=1)),
    item("a week old", ("y", 1.0), published=NOW + timedelta(hours=1) - timedelta(days=FRESH_DAYS)),
    item("of unknown age", ("y", 1.0), published=None),
    item("mostly z", ("x", 0.2), ("z", 0.8)),
    item("on search", ("s", 1.0)),
]
FEED = {name: 2.0 - int(name[-3:]) / 100 for name in CROWD} | {
    "trends": 3.0,
    "does not trend": 3.0,
    "new": 2.5,
    "a week old": 2.5,
    "of unknown age": 2.5,
    "mostly z": 2.5,
    "in no catalogue": 2.5,
}


@pytest.fixture(scope="module")
def inputs(frame):
    popular = [{"hour": NOW, "item_id": name, "surface": "feed", "lower_bound": b} for name, b in FEED.items()]
    popular.append({"hour": NOW, "item_id": "on search", "surface": "search", "lower_bound": 2.0})
    trends = [
        {"hour": NOW, "item_id": "trends", "surface": "feed", "is_trending": True},
        {"hour": NOW, "item_id": "does not trend", "surface": "feed", "is_trending": False},
        {"hour": NOW, "item_id": "does not trend", "surface": "search", "is_trending": True},
    ]
    engaged = [
        {"hour": NOW, "surface": surface, "country": country, "impressions": shown, "clicks": clicks}
        for surface, country, shown, clicks in [
            ("feed", "DE", 900, 90),
            ("search", "DE", 10, 0),
            ("search", "FR", 500, 10),
            ("a surface without items", "US", 1, 0),
            ("feed", "unknown", 0, 0),
        ]
    ]
    return [
        frame(POPULARITY, popular),
        frame(TREND, trends),
        frame(ENGAGEMENT, engaged),
        frame(ITEMS, CATALOGUE),
    ]


@pytest.fixture(scope="module")
def found(inputs):
    return sorted(transform(*inputs).collect(), key=lambda row: (row["segment"], row["rank"]))


@pytest.fixture(scope="module")
def rankings(found):
    segments = defaultdict(list)
    for row in found:
        segments[row["segment"]].append(row)
    return segments


def score(rankings, segment, name):
    return next(row["score"] for row in rankings[segment] if row["item_id"] == name)


def test_every_segment_of_the_hour_has_a_ranking_and_so_has_anyone_else(rankings):
    assert rankings.keys() == {"DE", "FR", "US", "unknown", ANYONE}
    for rows in rankings.values():
        assert {(row["segments"], row["segments_served"]) for row in rows} == {(5, 5)}


def test_ranks_are_dense_from_1_and_no_category_takes_more_than_its_quota(rankings):
    for rows in rankings.values():
        assert [row["rank"] for row in rows] == list(range(1, LENGTH + 1))
        assert {row["ranks"] for row in rows} == {LENGTH}
        assert max(Counter(row["category"] for row in rows).values()) <= QUOTA


def test_what_trends_on_a_surface_is_preferred_there(rankings):
    ratio = score(rankings, "DE", "trends") / score(rankings, "DE", "does not trend")
    assert ratio == pytest.approx(TRENDING)


def test_what_is_new_is_preferred_and_what_nobody_knows_the_age_of_is_old(rankings):
    new = score(rankings, "DE", "new")
    assert score(rankings, "DE", "a week old") / new == pytest.approx(0.75)
    assert score(rankings, "DE", "of unknown age") / new == pytest.approx(0.5)


def test_an_item_is_of_its_heaviest_category_and_without_one_of_none(rankings):
    categories = {row["item_id"]: row["category"] for row in rankings["DE"]}
    assert (categories["mostly z"], categories["in no catalogue"]) == ("z", "unknown")


def test_a_segment_s_ranking_is_of_the_surfaces_that_it_uses(rankings):
    assert rankings["FR"][0]["item_id"] == "on search"
    assert rankings["DE"][0]["item_id"] == "new"
    everybody = [row["item_id"] for row in rankings[ANYONE]]
    assert [row["item_id"] for row in rankings["unknown"]] == everybody, "of whom nothing is known: as anyone"


def test_a_ranking_is_what_scoring_every_item_for_every_segment_gives(frame):
    """Also of items that are the best of no surface, and are so of several together."""
    noise = np.random.default_rng(4)
    surfaces, segments, categories = ("feed", "search", "related"), ("DE", "FR", "US"), ("a", "b")
    bounds = {(f"i{n:02}", s): float(noise.gamma(4, 0.25)) for n in range(80) for s in surfaces if noise.random() < 0.9}
    bounds |= {("everywhere", s): 1.6 for s in surfaces}
    trends = {key for key in bounds if noise.random() < 0.1 and key[0] != "everywhere"}
    names = sorted({name for name, _ in bounds})
    category = {name: categories[n % 2] for n, name in enumerate(names)}
    counts = {(segment, s): int(noise.integers(0, 50)) for segment in segments for s in surfaces}
    found = transform(
        frame(
            POPULARITY, [{"hour": NOW, "item_id": i, "surface": s, "lower_bound": b} for (i, s), b in bounds.items()]
        ),
        frame(TREND, [{"hour": NOW, "item_id": i, "surface": s, "is_trending": True} for i, s in sorted(trends)]),
        frame(
            ENGAGEMENT,
            [
                {"hour": NOW, "surface": s, "country": segment, "impressions": count, "clicks": 0}
                for (segment, s), count in counts.items()
            ],
        ),
        frame(ITEMS, [item(name, (category[name], 1.0), published=None) for name in names]),
    ).collect()
    everybody = {s: sum(counts[segment, s] for segment in segments) / sum(counts.values()) for s in surfaces}
    for segment in (*segments, ANYONE):
        own = {s: counts.get((segment, s), 0) for s in surfaces}
        share = {s: (own[s] + everybody[s]) / (sum(own.values()) + 1) for s in surfaces}
        scores = {
            name: 0.5
            * sum(
                share[s] * bounds[name, s] * (TRENDING if (name, s) in trends else 1)
                for s in surfaces
                if (name, s) in bounds
            )
            for name in names
        }
        ordered = sorted(names, key=lambda name: (-scores[name], name))
        kept = [name for c in categories for name in [i for i in ordered if category[i] == c][:QUOTA]]
        mine = sorted((row for row in found if row["segment"] == segment), key=lambda row: row["rank"])
        assert [row["item_id"] for row in mine] == [name for name in ordered if name in kept]
        assert [row["score"] for row in mine] == pytest.approx([scores[row["item_id"]] for row in mine])
        assert {row["item_id"] for row in mine if row["is_trending"]} == {i for i, _ in trends} & set(kept)


def test_the_same_rows_in_other_parts_and_another_order_give_the_same_bits(inputs, found):
    mixed = transform(*[part.orderBy(part.columns[1], ascending=False).repartition(7) for part in inputs]).collect()
    assert sorted(mixed, key=lambda row: (row["segment"], row["rank"])) == found


def test_the_plan_has_no_python_and_no_cross_join(inputs):
    plan = physical(transform(*inputs))
    assert "Python" not in plan
    assert "NestedLoop" not in plan
    assert "Cartesian" not in plan
    assert "WindowGroupLimit" in plan, "of items × segments only the best of each task are shuffled"
