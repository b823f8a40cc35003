"""The map's own checks: each mistake fails at import, in a sentence that names the table and the file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from feedmill.spec import Files, Input, Maintainer, Maintainers, Map, MapError, Service, Table, require_files
from feedmill.timeline import DAY, HOUR, Range, days, hours

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")


def table(name: str = "a.x", **facts: Any) -> Table:
    defaults: dict[str, Any] = {"every": HOUR, "inputs": [Files("events")], "maintainer": TEAM, "tier": 2}
    return Table(name, **{**defaults, "keep": days(90), **facts})


def refused(*tables: Table, words: str) -> None:
    with pytest.raises(MapError, match=words):
        Map(tables, "include/tables.py")


def test_inputs_stand_before_their_readers_whatever_the_order_of_writing() -> None:
    first = table("a.first")
    second = table("b.second", inputs=[Input(first)])
    third = table("a.third", inputs=[Input(second), Files("events")])
    tables = Map([third, first, second])
    assert [t.name for t in tables] == ["a.first", "b.second", "a.third"]
    assert tables.in_schema("a") == [first, third]
    assert tables.in_schema("nothing") == []
    assert tables.readers(first) == [second]
    assert tables.readers(third) == []
    assert len(tables) == 3
    assert tables["b.second"] is second


def test_an_unknown_name_lists_the_tables_that_there_are() -> None:
    with pytest.raises(MapError, match=r"include/tables\.py has no table 'a\.y'; it has a\.x"):
        Map([table("a.x")])["a.y"]


def test_a_circle_is_shown_with_its_tables() -> None:
    first = table("a.first", inputs=[])
    second = table("a.second", inputs=[Input(first)])
    first.inputs.append(Input(second))  # type: ignore[attr-defined]
    refused(first, second, words=r"tables\.py.*in a circle: a\.(first|second) -> .* -> a\.")


def test_one_name_for_two_tables_is_refused() -> None:
    refused(table(), table(), words=r"include/tables\.py: a\.x is defined twice")


def test_a_name_without_a_schema_is_refused() -> None:
    with pytest.raises(MapError, match=r"'x' must be named <schema>\.<name>"):
        table("x")


@pytest.mark.parametrize("whoever", ["team", None])
def test_a_maintainer_that_is_none_of_the_map_is_refused(whoever: object) -> None:
    refused(table(maintainer=whoever), words=r"tables\.py: a\.x has no maintainer of include/maintainers\.py")


def test_a_table_without_inputs_is_refused() -> None:
    refused(table(inputs=[]), words=r"a\.x has no inputs")


def test_an_input_that_is_not_in_the_map_is_refused() -> None:
    refused(table("a.y", inputs=[Input(table("a.x"))]), words=r"a\.y reads a\.x, which is not in the map")


def test_an_input_that_is_another_object_of_the_same_name_is_refused() -> None:
    refused(table("a.x"), table("a.y", inputs=[Input(table("a.x"))]), words=r"a\.y reads a\.x, which is not in the map")


def test_two_inputs_for_one_parameter_are_refused() -> None:
    first, namesake = table("a.x"), table("b.x")
    reader = table("c.y", inputs=[Input(first), Input(namesake)])
    refused(first, namesake, reader, words=r"c\.y reads x twice")


def test_an_hourly_table_cannot_read_the_same_day_s_daily_one_but_may_read_it_as_of() -> None:
    daily = table("a.daily", every=DAY)
    refused(
        daily,
        table("a.hourly", inputs=[Input(daily)]),
        words=r"tables\.py: a\.hourly is hourly and reads the daily a\.daily by interval.*read it as_of=True",
    )
    refused(daily, table("a.hourly", inputs=[Input(daily, lookback=days(2))]), words="by interval")
    Map([daily, table("a.hourly", inputs=[Input(daily, as_of=True)])])


def test_a_window_longer_than_its_input_s_retention_is_refused_and_one_just_as_long_is_not() -> None:
    kept = table("a.short", every=DAY, keep=days(28))
    refused(
        kept,
        table("a.reader", every=DAY, inputs=[Input(kept, lookback=days(28))]),
        words=r"tables\.py: a\.reader needs 29 days of a\.short, which is kept 28 days only.*keep a\.short longer",
    )
    Map([kept, table("a.reader", every=DAY, inputs=[Input(kept, lookback=days(27))])])


def test_a_dimension_that_expires_before_its_lag_has_passed_is_refused() -> None:
    kept = table("a.dimension", every=DAY, keep=days(3))
    refused(
        kept,
        table("a.reader", every=DAY, inputs=[Input(kept, as_of=True, lag=days(3))]),
        words=r"a\.reader needs 4 days of a\.dimension, which is kept 3 days only",
    )
    Map([kept, table("a.reader", every=DAY, inputs=[Input(kept, as_of=True, lag=days(2))])])
    # One hour of lag, and the newest day of the evening is the one before.
    late = table("a.late", every=DAY, keep=hours(47))
    reader = table("a.reader", every=DAY, inputs=[Input(late, as_of=True, lag=hours(1))])
    refused(late, reader, words="keep a.late longer")
    # At 23:00 the newest day that has ended began 47 hours ago.
    day = table("a.day", every=DAY, keep=hours(46))
    refused(
        day,
        table("a.hour", inputs=[Input(day, as_of=True)]),
        words=r"a\.hour needs 1 days of a\.day, which is kept 1 days only",
    )


def test_a_lookback_is_made_of_whole_partitions_and_never_negative() -> None:
    daily = table("a.daily", every=DAY)
    reader = table("a.reader", every=DAY, inputs=[Input(daily, lookback=hours(36))])
    refused(daily, reader, words="not whole partitions")
    refused(table(inputs=[Files("events", lookback=hours(-1))]), words="negative lookback on event_records")
    refused(table(inputs=[Files("events", lookback=timedelta(minutes=30))]), words=r"a\.x.*not whole")


def test_touches_need_one_period_and_no_window() -> None:
    hourly = table("a.hourly")
    refused(
        hourly,
        table("a.daily", every=DAY, inputs=[Input(hourly, by="touches")]),
        words=r"a\.daily reads a\.hourly by touches; both must have the same period",
    )
    with pytest.raises(MapError, match=r"a\.hourly.*touches.*window"):
        Input(hourly, by="touches", lookback=hours(3))


def test_an_as_of_input_has_no_window_and_a_lag_reaches_no_further_than_the_lookback() -> None:
    daily = table("a.daily", every=DAY)
    with pytest.raises(MapError, match=r"a\.daily is as_of and has a window too"):
        Input(daily, as_of=True, lookback=days(1))
    with pytest.raises(MapError, match=r"a\.daily is as_of and has a window too"):
        Input(daily, as_of=True, by="touches")
    with pytest.raises(MapError, match=r"a\.daily has a lag .* give it a lookback of 2 days or more"):
        Input(daily, lookback=days(1), lag=days(2))
    with pytest.raises(MapError, match=r"a\.daily is by touches and has a window too"):
        Input(daily, by="touches", lag=days(1))
    reader = table("a.reader", every=DAY, inputs=[Input(daily, lookback=days(2), lag=hours(36))])
    refused(daily, reader, words=r"a\.reader lags 1 day, 12:00:00 on the daily a\.daily: not whole partitions")
    Map([daily, table("a.reader", every=DAY, inputs=[Input(daily, lookback=days(28), lag=days(1))])])
    with pytest.raises(MapError, match=r"a\.daily has a negative lag"):
        Input(daily, as_of=True, lag=days(-1))
    with pytest.raises(MapError, match=r"a\.daily is optional but is not as_of"):
        Input(daily, lookback=days(1), optional=True)


def test_a_window_reaches_back_from_the_reader_s_start_to_its_end() -> None:
    start = datetime(2026, 5, 3, tzinfo=UTC)
    reader = Range(start, start + days(2), DAY)
    assert Input(table("a.daily", every=DAY), lookback=days(2)).window(reader) == (start - days(2), start + days(2))
    assert Input(table("a.daily", every=DAY), lookback=days(28), lag=days(1)).window(reader) == (
        start - days(28),
        start + days(1),
    )
    assert Files("items", lookback=hours(5)).window(reader) == (start - hours(5), start + days(2))


@pytest.mark.parametrize(
    ("gone", "what"),
    [
        ("include/sql/a/x.sql", "DDL"),
        ("include/spark/a/x.py", "transform"),
        ("expectations/a/x.json", "suite"),
    ],
)
def test_a_missing_file_is_named_with_its_table_and_the_command_that_writes_it(
    tmp_path: Path, gone: str, what: str
) -> None:
    subject = table()
    for path in (subject.ddl_path, subject.transform_path, subject.suite_path):
        if str(path) != gone:
            (tmp_path / path).parent.mkdir(parents=True)
            (tmp_path / path).touch()
    with pytest.raises(
        MapError, match=rf"^a\.x of include/tables\.py has no {what}: {gone} is missing.*new-table a\.x"
    ):
        require_files(subject, tmp_path)
    (tmp_path / gone).parent.mkdir(parents=True)
    (tmp_path / gone).touch()
    require_files(subject, tmp_path)


def test_one_name_everywhere() -> None:
    subject = table("rollups.item")
    assert subject.dag_id == "rollups.item"
    assert [str(p) for p in (subject.ddl_path, subject.transform_path, subject.suite_path, subject.test_path)] == [
        "include/sql/rollups/item.sql",
        "include/spark/rollups/item.py",
        "expectations/rollups/item.json",
        "tests/spark/rollups/test_item.py",
    ]
    assert subject.transform_module == "include.spark.rollups.item"


def maintainer(name: str = "team", **facts: Any) -> Maintainer:
    return Maintainer(name, **{"description": "tests", "link": "mailto:team@example.com", **facts})


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"link": "team@example.com"}, r"link 'team@example\.com': begin it with https:// or mailto:"),
        ({"link": "javascript:alert(1)"}, "link 'javascript"),
        ({"time_zone": "Europe/Bonn"}, "time_zone 'Europe/Bonn', which does not exist"),
        ({"time_zone": "Europe"}, "time_zone 'Europe'"),
        ({"time_zone": "../secrets"}, "time_zone"),
        ({"time_zone": ""}, "time_zone ''"),
        ({"working_hours": (17, 9)}, r"working_hours \(17, 9\): give it two hours from 0 to 24"),
        ({"working_hours": (9, 9)}, "working_hours"),
        ({"working_hours": (-1, 9)}, "working_hours"),
        ({"working_hours": (9, 25)}, "working_hours"),
        ({"backup": maintainer("other", backup=maintainer())}, "in a circle: team -> other -> team"),
        ({"backup": maintainer()}, "in a circle: team -> team"),
    ],
)
def test_a_maintainer_s_mistake_is_named_with_its_field(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(MapError, match=f"maintainer team has .*{words}"):
        Maintainers([maintainer(**facts)])


def test_a_maintainer_may_work_all_day_and_a_backup_may_have_one_too() -> None:
    third = maintainer("third", working_hours=(0, 24))
    chain = maintainer(backup=maintainer("second", backup=third))
    assert chain.backup is not None
    assert chain.backup.backup is third


def test_maintainers_are_found_once_whatever_their_variables_are_called() -> None:
    first = maintainer("first")
    second = maintainer("second", backup=first)
    found = Maintainers.found_in({"first": first, "second": second, "DEFAULT": first, "else": 1})
    assert list(found) == [first, second]
    assert found["second"] is second
    assert first in found
    assert maintainer("first") not in found, "another object of that name"
    with pytest.raises(MapError, match=r"include/maintainers\.py has no maintainer 'third'; it has first, second"):
        found["third"]


def test_two_maintainers_of_one_name_are_refused() -> None:
    with pytest.raises(MapError, match=r"include/maintainers\.py: two maintainers have the name team"):
        Maintainers([maintainer(), maintainer(description="another")])


def test_a_backup_that_is_not_in_the_file_is_refused() -> None:
    with pytest.raises(MapError, match="maintainer team has the backup other, which is not there"):
        Maintainers([maintainer(backup=maintainer("other"))])


@pytest.mark.parametrize("holidays", ["XX", "de", "DE-XX", "Germany and France"])
def test_holidays_that_the_library_does_not_know_are_refused_when_asked_for(holidays: str) -> None:
    maintainers = Maintainers([maintainer("fine", holidays="DE-BE"), maintainer("none"), maintainer(holidays=holidays)])
    with pytest.raises(
        MapError, match=f"maintainer team has the holidays '{holidays}': .*; give it a country such as DE"
    ):
        maintainers.require_holidays()


def test_holidays_of_a_country_or_of_a_part_of_one_are_fine() -> None:
    Maintainers([maintainer(holidays="DE"), maintainer("b", holidays="US-CA"), maintainer("c")]).require_holidays()


def service(**facts: Any) -> Service:
    defaults: dict[str, Any] = {
        "description": "tests",
        "maintainer": TEAM,
        "tier": 1,
        "conn_id": "prometheus_default",
        "good": 'sum(increase(seconds_bucket{le="0.2"}[{window}]))',
        "total": "sum(increase(seconds_count[{window}]))",
        "runbook": "https://example.com/ranker",
    }
    return Service("ranker", **{**defaults, **facts})


def test_a_service_s_queries_ask_for_the_window_and_keep_their_other_braces() -> None:
    assert service().queries(timedelta(hours=1)) == (
        'sum(increase(seconds_bucket{le="0.2"}[3600s]))',
        "sum(increase(seconds_count[3600s]))",
    )


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"good": "sum(increase(good[5m]))"}, r"no \{window\} in its query 'good'"),
        ({"total": "sum(increase(all[5m]))"}, r"no \{window\} in its query 'total'"),
        ({"objective": 99.9}, r"objective 99\.9: give it a share such as 0\.999"),
        ({"objective": 1.0}, "objective"),
        ({"minimum": 0}, "minimum 0"),
        ({"runbook": "ask Ada"}, "runbook 'ask Ada': begin it with https://"),
    ],
)
def test_a_service_s_mistake_is_named_with_its_field(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(MapError, match=f"service ranker has .*{words}"):
        service(**facts)
