"""Who is told, by which channel, and when; from the world's point of view: which messages arrive."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedmill.alerts.dispatch import route, standing
from feedmill.alerts.incident import Outbox, Silence, Stage
from feedmill.alerts.kinds import KINDS
from feedmill.alerts.look import undeliverable
from tests.alerts.world import OWNERS, TABLES, World, at, clean, data, feature, landed, only, report, rollup, serving

HELD = "held/events.landed/bad"


@pytest.fixture
def world() -> World:
    """Monday, 9:30 in UTC, 11:30 in Berlin: all is well."""
    return well(World(now=at(9.5)))


def well(world: World) -> World:
    world.publish_all(world.now)
    assert world.round() == []
    return world


def night(world: World) -> World:
    """It is 22:30 in UTC."""
    world.now = at(22.5)
    return well(world)


def unpublished(world: World, table=landed):
    """A partition of the past that lost its rows: due at once."""
    world.published[table.name].pop(at(6))
    world.hold(table, at(6))


def test_tier_1_is_told_once_at_night_and_resolved_on_the_same_channel():
    world = night(World())
    unpublished(world)
    world.calm(3)
    assert world.sent() == [("data_pager", "page", HELD)]
    world.publish(landed, at(6), begin=200)
    world.calm(2)
    assert world.sent() == [
        ("data_pager", "page", HELD),
        ("data_pager", "resolve", HELD),
    ]


def test_a_held_rebuild_of_tier_1_waits_for_working_hours_since_readers_have_the_rows_of_before():
    world = night(World())
    world.hold(landed, at(6))
    assert only(world.round()).condition.tier == 1
    assert world.sent() == []
    world.calm(8.4)
    assert world.now == at(6.9, 5)
    assert world.sent() == []
    world.calm(0.1)
    assert world.now == at(7, 5), "9 o'clock in Berlin"
    assert world.sent() == [("data_pager", "page", HELD)]


def test_what_heals_before_the_working_day_is_told_to_nobody():
    world = night(World())
    world.hold(landed, at(6))
    assert len(world.calm(1)) == 1
    world.publish(landed, at(6), begin=200)
    world.calm(20)
    assert world.sent() == []


def test_tier_2_is_told_in_the_maintainer_s_own_working_hours(world):
    world.hold(clean, at(6))
    world.round(minutes=1)
    assert world.sent() == [("data_pager", "page", "held/events.clean/bad")]


def test_tier_3_is_told_in_one_digest_on_the_next_working_day(world):
    other = replace(report, name="dashboards.other")
    world.tables = (*TABLES, other)
    world.calm(24)
    world.hold(report, at(0))
    world.hold(other, at(0))
    world.calm(23)
    assert world.now == at(8.5, 6)
    assert world.sent() == [], "ranking works from 9 o'clock in UTC"
    world.calm(6)
    assert world.sent() == [("ranking_pager", "digest", "held/dashboards.daily/bad")]
    assert len(only(world.outbox.deliveries).lists) == 2


def test_more_than_ten_at_once_are_one_message_that_is_resolved_when_the_last_one_heals(world):
    names = [f"rollups.t{n}" for n in range(12)]
    tables = [replace(rollup, name=name) for name in names]
    world.tables = (*TABLES, *tables)
    world.publish_all(world.now)
    for table in tables:
        world.hold(table, at(6))
    world.round(minutes=1)
    assert world.sent() == [("ranking_pager", "storm", "storm/ranking")]
    for table in tables[1:]:
        world.publish(table, at(6), begin=200)
    world.round(minutes=1)
    assert len(world.sent()) == 1
    world.publish(tables[0], at(6), begin=200)
    world.round(minutes=1)
    assert world.sent() == [("ranking_pager", "storm", "storm/ranking"), ("ranking_pager", "resolve", "storm/ranking")]


def test_who_waits_for_another_team_gets_one_notice_and_no_page(world):
    for table in (clean, rollup, feature, serving):
        world.published[table.name].pop(at(8))
    world.hold(clean, at(8))
    for hour in (9, 10):
        world.publish(landed, at(hour))
        world.publish(clean, at(hour))
    world.rounds(at(12))
    assert world.sent("impact") == [("ranking_pager", "impact", "held/events.clean/bad")]
    assert {channel for channel, _, _ in world.sent("page")} == {"data_pager"}, (
        "twice: with serving.hourly it is tier 1"
    )


def test_a_channel_that_takes_nothing_for_five_minutes_is_passed_over_and_is_an_incident(world):
    world.down = {"data_pager"}
    world.hold(clean, at(6))
    world.rounds(world.now + timedelta(minutes=4), minutes=1)
    assert world.sent() == []

    def see():
        world.more = {"undeliverable": undeliverable(world.outbox)}

    see()
    world.round(minutes=2)
    assert sorted(world.sent()) == [
        ("data_chat", "page", "held/events.clean/bad"),
        ("ops_pager", "page", "channel down/data_pager"),
    ]
    see()
    world.publish(clean, at(6), begin=200)
    world.round(minutes=1)
    assert ("data_chat", "resolve", "held/events.clean/bad") in world.sent()
    assert ("data_pager", "resolve", "held/events.clean/bad") not in world.sent()


def test_after_the_last_channel_the_backup_is_told(world):
    world.down = {"data_pager", "data_chat"}
    world.hold(clean, at(6))
    world.rounds(world.now + timedelta(minutes=12), minutes=1)
    assert ("ops_pager", "page", "held/events.clean/bad") in world.sent()


def test_a_page_that_may_have_arrived_is_resolved_there_too(world):
    world.hold(clean, at(6))
    world.down = {"data_pager"}
    world.round(minutes=1)
    (page,) = world.outbox.deliveries.values()
    world.outbox = world.outbox.with_deliveries([replace(page, ambiguous=True)])
    world.publish(clean, at(6), begin=200)
    world.down = set()
    world.round(minutes=1)
    assert world.sent() == [("data_pager", "resolve", "held/events.clean/bad")]


def test_a_page_that_nobody_got_is_cancelled_and_not_resolved(world):
    world.hold(clean, at(6))
    world.down = {"data_pager"}
    world.round(minutes=1)
    world.publish(clean, at(6), begin=200)
    world.down = set()
    world.rounds(world.now + timedelta(minutes=20))
    assert world.sent() == []


def test_a_redirected_incident_is_resolved_there_and_paged_here(world):
    world.hold(clean, at(6))
    (one,) = world.round(minutes=1)
    world.outbox = world.outbox.with_incidents([replace(one, redirected_to="ranking")])
    world.calm(2)
    assert sorted(world.sent()) == [
        ("data_pager", "page", "held/events.clean/bad"),
        ("data_pager", "resolve", "held/events.clean/bad"),
        ("ranking_pager", "page", "held/events.clean/bad"),
    ]


def test_an_incident_that_is_handed_back_is_paged_again(world):
    world.hold(clean, at(6))
    for name in ("ranking", "data"):
        world.round(minutes=1)
        (one,) = [one for one in world.outbox.incidents.values() if one.is_open]
        world.outbox = world.outbox.with_incidents([replace(one, redirected_to=name)])
        world.calm(0.5, minutes=1)
    assert [purpose for channel, purpose, _ in world.sent() if channel == "data_pager"] == ["page", "resolve", "page"]
    assert [purpose for channel, purpose, _ in world.sent() if channel == "ranking_pager"] == ["page", "resolve"]


def silence(world, until, subject="events.clean", kinds=()):
    made = Silence(f"s{until}", subject, kinds, "OPS-12", "ada", world.now, until)
    world.outbox = replace(world.outbox, silences=(made,))


def test_a_silence_is_kept_and_its_end_pages_and_says_so(world):
    silence(world, at(10.5))
    world.hold(clean, at(6))
    world.rounds(at(10.4))
    assert world.sent() == []
    (one,) = [one for one in world.outbox.incidents.values() if one.is_open]
    assert "silenced by ada (OPS-12)" in standing(world.outbox, world.setting, one, world.now)
    world.round(minutes=10)
    assert world.sent() == [("data_pager", "page", "held/events.clean/bad")]
    assert "the silence of ada (OPS-12) has ended" in only(world.outbox.deliveries).because


def test_a_silence_of_other_kinds_or_subjects_silences_nothing(world):
    silence(world, at(10.5), kinds=("failed",))
    world.hold(clean, at(6))
    world.round(minutes=1)
    assert len(world.sent()) == 1


def test_in_a_maintenance_window_nobody_is_told_of_anything(world):
    silence(world, at(10.5), subject="*")
    for table in (landed, clean, rollup, feature, serving):
        world.hold(table, at(6))
    world.rounds(at(10.4))
    assert world.sent() == []


def test_a_rise_in_tier_pages_again(world):
    world.now = at(9.5)
    world.publish(landed, at(9), at(10))
    world.published[clean.name].pop(at(8))
    for table in (rollup, feature, serving):
        world.published[table.name].pop(at(8))
    world.hold(clean, at(8))
    world.round(minutes=1)
    assert only([one for one in world.outbox.incidents.values() if one.is_open]).condition.tier == 2
    world.publish(clean, at(9), at(10))
    world.rounds(at(11.2))
    pages = [d for d in world.outbox.deliveries.values() if d.purpose == "page"]
    assert [page.tier for page in pages] == [2, 1]
    assert "it was tier 2 before" in pages[1].because


def test_a_channel_without_acknowledgements_repeats_an_open_tier_1_page_every_four_hours():
    world = night(World())
    unpublished(world)
    world.setting = replace(world.setting, keyed=frozenset())
    world.calm(9)
    assert [p for _, p, k in world.sent() if k == HELD] == ["page", "repeat", "repeat"]


def test_the_first_round_of_an_installation_is_one_summary_to_each_and_no_page():
    world = World(now=at(9.5), outbox=Outbox())
    world.publish_all(world.now)
    for table in (landed, clean, rollup):
        world.hold(table, at(6))
    world.calm(4)
    assert [(c, p) for c, p, _ in world.sent()] == [("data_pager", "summary"), ("ranking_pager", "summary")]
    world.publish(clean, at(6), begin=200)
    world.round(minutes=1)
    assert len(world.sent()) == 2, "what was never paged is not resolved"
    world.hold(clean, at(6), begin=300)
    world.round(minutes=1)
    assert world.sent()[2:] == [("data_pager", "page", "held/events.clean/bad")]


def test_a_kind_that_is_new_runs_unsent_for_a_day():
    known = Outbox(kinds={name: None for name in KINDS if name != "held"})
    world = well(World(now=at(9.5), outbox=known))
    world.hold(clean, at(6))
    world.calm(23)
    assert world.sent() == []
    world.calm(2)
    assert world.sent() == [("data_pager", "page", "held/events.clean/bad")]


def test_whoever_has_no_channel_has_the_backup_s_and_then_the_default_s(world):
    nobody = replace(data, name="nobody", channels=(), backup=None)
    assert route(nobody, OWNERS) == ["data_pager", "data_chat", "ops_pager"]
    assert route(replace(nobody, backup=OWNERS.infrastructure), OWNERS) == ["ops_pager"]


CHANNELS = ("data_pager", "data_chat", "ranking_pager", "ops_pager")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.sampled_from((landed, clean, rollup))),
        st.tuples(st.just("publish"), st.sampled_from((landed, clean, rollup))),
        st.tuples(st.just("down"), st.sampled_from(CHANNELS)),
        st.tuples(st.just("up"), st.sampled_from(CHANNELS)),
        st.tuples(st.just("wait"), st.integers(1, 600)),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens_every_channel_that_got_a_page_gets_its_resolve_and_no_other_does(steps):
    world = well(World(now=at(9.5)))
    begin = 200
    for what, subject in steps:
        begin += 1
        if what == "hold":
            world.hold(subject, at(6), begin=begin)
        elif what == "publish":
            world.publish(subject, at(6), begin=begin)
        elif what == "down":
            world.down.add(subject)
        elif what == "up":
            world.down.discard(subject)
        else:
            world.now += timedelta(minutes=subject)
            world.publish_all(world.now)
        world.round(minutes=1)
    world.down.clear()
    for table in (landed, clean, rollup):
        world.publish(table, at(6), begin=begin + 1)
    for _ in range(4):
        world.publish_all(world.now)
        world.round(minutes=40)
    assert [one for one in world.outbox.incidents.values() if one.is_open] == []
    assert not [d for d in world.outbox.deliveries.values() if d.stage is Stage.DUE]
    for channel in CHANNELS:
        for key in {k for _, _, k in world.sent()}:
            mine = [p for c, p, k in world.sent("page", "repeat", "resolve") if (c, k) == (channel, key)]
            assert (mine or ["resolve"])[-1] == "resolve", (channel, key, world.messages)
            assert (mine or ["page"])[0] != "resolve", (channel, key, world.messages)
            assert "resolve resolve" not in " ".join(mine)
