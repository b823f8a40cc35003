"""What a message says: its first line, its next step, its links, and no credential. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedmill.alerts.channels.channel import SUMMARY, Action, Message
from feedmill.alerts.dispatch import STORM
from feedmill.alerts.incident import Condition, Delivery, Ending, Impact, Incident, Part, Purpose
from feedmill.alerts.kinds import KINDS
from feedmill.alerts.page import LISTED, NEXT_STEPS, Ground, message
from feedmill.alerts.scrub import scrubbed
from feedmill.alerts.tables import fingerprint
from tests.alerts.world import OWNERS, TABLES, World, at, clean, feature, landed, only, rollup, serving

GROUND = Ground(OWNERS.known, TABLES, "https://airflow.example.com/", "https://docs.example.com")

WORDS = st.text(st.sampled_from("abcxyzABCXYZ0123456789-_.~+/=!$%^*@:#"), min_size=12, max_size=40)


def incident(kind: str = "task failed", subject: str = "events.landed", **condition) -> Incident:
    made = Condition(subject, at(6), "data", 1, "is wrong")
    return Incident(f"{kind}/{subject}", f"test/{kind}/{subject}", kind, replace(made, **condition), at(8), at(8))


def said(one: Incident, purpose: Purpose = Purpose.PAGE, listed=(), maintainer: str = "data", **delivery) -> Message:
    made = Delivery("d1", one.id, purpose, "pager", maintainer, "tier 1: at once", at(8))
    return message(replace(made, **delivery), one, listed, GROUND)


def messages(world: World, *purposes: Purpose) -> list[Message]:
    """What the world's watch has sent for these purposes."""
    known = world.outbox.incidents
    return [
        message(one, known[one.incident_id], [known[ident] for ident in one.lists], GROUND)
        for one in world.outbox.deliveries.values()
        if one.purpose in purposes
    ]


@pytest.fixture
def world() -> World:
    """Monday, 9:30 in UTC, 11:30 in Berlin: all is well."""
    made = World(now=at(9.5))
    made.publish_all(made.now)
    assert made.round() == []
    return made


def late(world: World, *waiting) -> None:
    """A partition of the past is held, and these tables wait for it."""
    for table in (landed, *waiting):
        world.published[table.name].pop(at(6))
    world.hold(landed, at(6))
    world.round()


# The first line


def test_the_first_line_names_the_subject_then_what_then_why(world):
    late(world)
    (page,) = messages(world, Purpose.PAGE)
    assert page.summary == "events.landed 2026-05-04T06 failed the check: 3 rows are bad"


def test_the_first_line_of_a_failure_says_once_that_it_failed(world):
    world.published["events.clean"].pop(at(6))
    world.fail(clean, at(6))
    world.round()
    (page,) = messages(world, Purpose.PAGE)
    assert page.summary == "events.clean 2026-05-04T06 failed: ValueError: no"


@given(st.text(max_size=400), st.text(max_size=400), st.sampled_from(Purpose))
@example("events.landed", "key=a " * 40, Purpose.PAGE)
def test_the_first_line_is_short_and_one_line_whatever_happens(subject, why, purpose):
    one = replace(incident(subject=subject, why=why), closed_at=at(9))
    summary = said(one, purpose, [one] * 20).summary
    assert len(summary) <= SUMMARY
    assert len(summary.splitlines()) == 1


def test_the_first_line_says_that_it_is_still_so_that_it_came_back_and_that_it_is_over():
    one = incident(why="it broke")
    assert said(one, Purpose.REPEAT).summary == "Still: events.landed is wrong: it broke"
    assert said(replace(one, times=3)).summary == "events.landed is wrong (opened 3 times): it broke"
    over = replace(incident("import error", "dags/a.py", what="cannot be imported"), closed_at=at(9))
    assert said(over, Purpose.RESOLVE).summary == "Over: dags/a.py could not be imported"


# Credentials


@pytest.mark.parametrize(
    "text",
    [
        "password={}",
        "password = {}",
        "db_password={}",
        "PGPASSWORD={} psql",
        "AWS_SECRET_ACCESS_KEY={}",
        "token: {}",
        "token: Bearer {}",
        "Authorization: Basic {}",
        "Authorization: GenieKey {}",
        "client_secret={}",
        "api-key: {}",
        "routing_key={}",
        "key={}",
        "{{'token': '{}'}}",
        '{{"password": "{}"}}',
        '{{\\"token\\": \\"{}\\"}}',
        '{{"password": "two {}"}}',
        "--password {}",
        "--db-token {}",
        "postgresql://user:{}@db.example.com/x",
        "https://example.com/x?access_token={}&a=b",
        "curl -H 'X-Token: {}'",
        "bearer {}",
        "https://hooks.slack.com/services/{}",
    ],
)
@given(secret=WORDS)
def test_no_credential_shows_wherever_it_stands(text, secret):
    why = f"ValueError: no answer, {text.format(secret)}"
    one = incident(why=why, evidence={"error": why})
    listed = incident("disk", "/data", why=why)
    shown = [said(one), said(one, Purpose.REPEAT), said(one, Purpose.DIGEST, [one]), said(one, because=why)]
    shown += [said(incident(STORM), Purpose.STORM, [listed])]
    assert [secret in f"{m.summary} {m.body} {dict(m.details)}" for m in shown] == [False] * 5
    assert secret not in fingerprint(why)  # it is a part of the key that a receiver keeps


@pytest.mark.parametrize(
    "shape", ["AKIA" + "A1B2" * 4, "ghp_" + "a1B2" * 9, "xoxb-1-" + "a" * 12, "eyJhbGciOiJ.eyJz.c2"]
)
def test_a_key_that_shows_what_it_is_needs_no_name(shape):
    assert shape not in said(incident(why=f"refused: {shape}")).body


def test_half_of_a_credential_is_not_left_at_the_end_of_the_first_line():
    for filler in range(60, 130):
        summary = said(incident(why="x" * filler + " postgresql://user:hunter2hunter2@db")).summary
        assert "hun" not in summary


def test_a_fact_whose_name_says_that_it_is_a_credential_is_hidden():
    page = said(incident(evidence={"token": "two hunter2", "rows": "17"}))
    assert (page.details["token"], page.details["rows"]) == ("*****", "17")
    assert "hunter2" not in page.body


@pytest.mark.parametrize(
    "text",
    [
        "3 rows are bad",
        "KeyError: 'user_id'",
        "17 rows have a negative duration_ms",
        "https://airflow.example.com/dags/events.clean/runs/1",
        "it was due at 2026-05-04 11:00 UTC",
        "the tokenizer: 12 tests failed",
        "s3://lake/events/hour=2026-05-04T06/part-0.parquet",
    ],
)
def test_what_is_no_credential_stays(text):
    assert scrubbed(text) == text


# What to do


@pytest.mark.parametrize("kind", [*KINDS, STORM])
def test_each_kind_has_a_next_step(kind):
    body = said(incident(kind, "the_subject")).body
    assert "**Next:** " in body
    assert not {"{", "}"} & set(body)


def test_there_is_no_next_step_of_a_kind_that_does_not_exist():
    assert set(NEXT_STEPS) == {*KINDS, STORM}


def test_a_held_page_has_the_command_that_accepts_the_rows(world):
    late(world)
    (page,) = messages(world, Purpose.PAGE)
    assert "`feedmill accept b200 2026-05-04T06 " in page.body


def test_a_page_says_whether_readers_have_rows(world):
    late(world)
    assert "Readers do not have this partition." in messages(world, Purpose.PAGE)[0].body
    part = Part("events.landed", at(6), at(8))
    assert "Readers do not have these partitions." in said(incident("held", parts=(part,))).body
    assert "Readers still have the rows" in said(incident("held", parts=(part,), wakes=False)).body


# Lists


@pytest.mark.parametrize("purpose", [Purpose.DIGEST, Purpose.SUMMARY, Purpose.STORM])
@pytest.mark.parametrize("number", [1, LISTED, LISTED + 1, 1_100])
def test_a_list_names_twelve_and_says_how_many_more(purpose, number):
    listed = [incident(subject=f"t{n:04}", why="it broke") for n in range(number)]
    one = incident(STORM, "data") if purpose is Purpose.STORM else listed[0]
    body = said(one, purpose, listed).body
    assert body.count(" is wrong: it broke") == min(number, LISTED)
    assert ("more" in body) == (number > LISTED)
    if number > LISTED:
        assert f"- … and {number - LISTED:,} more" in body


def test_a_storm_begins_with_the_oldest_as_its_next_step_says():
    listed = [incident(subject=f"t{n}", since=at(8 - n)) for n in range(3)]
    body = said(incident(STORM, "data"), Purpose.STORM, listed).body
    assert body.index("t2 is") < body.index("t1 is") < body.index("t0 is")


def test_a_digest_names_its_subjects_on_the_first_line():
    listed = [incident(subject=f"t{n}") for n in range(5)]
    assert said(listed[0], Purpose.DIGEST, listed).summary == "Digest of data: 5 incidents: t0, t1 and 3 more"


# Links


def test_a_held_incident_links_its_check_page_its_dag_and_its_table(world):
    late(world)
    (page,) = messages(world, Purpose.PAGE)
    assert [url for _, url in page.links] == [
        "https://airflow.example.com/feedmill/checks/events.landed/b200",
        "https://airflow.example.com/dags/events.landed",
        "https://docs.example.com/tables/events.landed.md",
    ]


def test_a_failed_incident_links_the_log_of_its_build(world):
    world.published["events.clean"].pop(at(6))
    world.fail(clean, at(6))
    world.round()
    (page,) = messages(world, Purpose.PAGE)
    assert page.links[0] == ("Task log", "https://airflow.example.com/dags/events.clean/runs/run_200/tasks/build")
    assert not any("/checks/" in url for _, url in page.links)


@pytest.mark.parametrize(("kind", "task"), [("held", "check"), ("failed", "build")])
def test_the_log_is_that_of_the_task_that_went_wrong_and_its_run_is_quoted(kind, task):
    part = Part("events.landed", at(6), at(7), 1, "b1", "events.landed/scheduled__2026-05-04T06:00:00+00:00")
    url = dict(said(incident(kind, parts=(part,))).links)["Task log"]
    assert url.endswith(f"/runs/scheduled__2026-05-04T06%3A00%3A00%2B00%3A00/tasks/{task}")


def test_a_build_from_a_terminal_has_no_log_in_airflow():
    part = Part("events.landed", at(6), at(7), 1, "b1", "cli/ada")
    assert "Task log" not in dict(said(incident("failed", parts=(part,))).links)


# For whom


def test_an_impact_names_the_readers_own_tables_first_and_nothing_to_mend(world):
    late(world, clean, rollup, feature, serving)
    world.round(hours=6)
    note = messages(world, Purpose.IMPACT)[0]
    assert note.summary.startswith("serving.hourly, features.hourly and 1 more are late: events.landed ")
    yours = note.body.partition("**Your tables that are late:**")[2].partition("**What else")[0]
    assert [name in yours for name in ("serving", "features", "rollups", "clean")] == [True, True, True, False]
    assert "**Next:** There is nothing to mend in your tables: it is an incident of data." in note.body
    assert "feedmill accept" not in note.body
    assert note.action is Action.NOTICE


def test_an_impact_that_is_over_by_the_time_it_is_sent_still_reads_well():
    of_another = Impact("events.clean", "data", 2, 1, 1)
    note = said(incident(impact=(of_another,)), Purpose.IMPACT, maintainer="ranking")
    assert note.summary == "a table of ranking is late: events.landed is wrong"


def test_the_page_has_the_maintainers_own_time_with_its_day():
    one = incident(since=at(23.5))
    assert "2026-05-04 23:30 UTC (Tue 01:30 Europe/Berlin)" in said(one).body
    assert "since 2026-05-04 23:30 UTC." in said(one, maintainer="ops").body


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "0 minutes"), (1, "1 minute"), (119, "119 minutes"), (180, "3 hours"), (7200, "5 days")]
)
def test_a_resolve_says_how_long_it_lasted(minutes, words):
    over = replace(incident("held"), closed_at=at(6) + timedelta(minutes=minutes), ending=Ending.HEALED)
    assert f"It is over, after {words}." in said(over, Purpose.RESOLVE).body


def test_a_page_and_its_resolve_have_one_key_and_a_repeat_says_so(world):
    late(world)
    world.calm(1)
    world.publish(landed, at(6), begin=300)
    world.round()
    (page,), (end,) = messages(world, Purpose.PAGE), messages(world, Purpose.RESOLVE)
    assert page.alias == end.alias == only(list(world.outbox.incidents.values())).alias
    assert (page.action, end.action) == (Action.TRIGGER, Action.RESOLVE)
    assert "may have reached you already" in said(incident(), ambiguous=True).body
