"""A red flag goes to the model's maintainer, or to the table's whose data explains it."""

from dataclasses import replace

import pytest

from feedmill.alerts.scene import RedFlag
from tests.alerts.world import OWNERS, World, at, only, ranking


@pytest.fixture
def world() -> World:
    made = World(now=at(9.5))
    made.publish_all(at(9))
    return made


def flags(world: World, *found: RedFlag) -> None:
    owners = replace(OWNERS, models={"bts": (ranking, 2), "random": (ranking, 3)})
    world.more = {"red_flags": found, "owners": owners}


def flag(model: str = "bts", metric: str = "revenue", suspect: str = "") -> RedFlag:
    return RedFlag(model, metric, "below", at(8), 12, 80.5, suspect)


def test_the_flags_of_a_model_are_one_incident_of_its_maintainer_until_the_newest_hour_has_none(world):
    flags(world, flag(), flag(metric="opt-outs"))
    found = only(world.round())
    assert (found.kind, found.condition.subject, found.maintainer) == ("red flag", "bts", "ranking")
    assert found.condition.tier == 2
    assert found.condition.evidence["revenue"] == "12, below the expected 80.5, in 2026-05-04T08"
    flags(world)
    assert world.round(minutes=1) == []


def test_flags_that_the_data_of_a_table_explains_are_one_incident_of_the_table_s_maintainer(world):
    flags(world, flag(suspect="events.clean"), flag("random", suspect="events.clean"))
    found = only(world.round())
    assert (found.condition.subject, found.maintainer) == ("events.clean", "data")
    assert list(found.condition.evidence) == ["bts, revenue", "random, revenue"]


def test_a_model_that_nobody_knows_and_a_table_that_has_left_the_map(world):
    flags(world, flag("new", suspect="events.gone"))
    found = only(world.round())
    assert (found.condition.subject, found.maintainer) == ("new", "data")
