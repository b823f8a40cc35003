"""The page says what failed, why, whose it is and what to do, and trusts nothing that stands in the data."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from contract_frames import CONTRACT, FIRST, HOURS, expectation, mixed, suite

from feedmill.checks import pages
from feedmill.checks.blocks import blocks
from feedmill.checks.engine_pandas import frame_from_arrow
from feedmill.checks.findings import Finding, Verdict, about_all, about_error, about_rows
from feedmill.checks.judge import judge
from feedmill.checks.page import RANGES_SHOWN, Report, render, sentence
from feedmill.checks.query import Branch
from feedmill.checks.suite import Expectation, Suite
from feedmill.spec import Maintainer
from feedmill.timeline import DAY, HOUR, Range

BETWEEN = expectation("expect_column_values_to_be_between", column="duration_ms", min_value=0)
TEAM = Maintainer("Feed <data>", "Owns the feed.", "https://chat.example.com/feed")


def finding(suite_: Suite, **changes: Any) -> Finding:
    e = suite_.expectations[0]
    message = "17 rows have a negative duration_ms"
    samples = ({"duration_ms": -5, "event_id": "<script>alert(1)</script>", "user_id": None},)
    known = Finding(e.id, e.type, e.severity, e.columns, message, [-5], 17, samples, "Ask <the> player team.")
    return replace(known, **changes)


def verdicts(suite_: Suite, count: int, *held: int, **changes: Any) -> list[Verdict]:
    return [
        Verdict(FIRST + timedelta(hours=i), i not in held, 10, (finding(suite_, **changes),) if i in held else ())
        for i in range(count)
    ]


def report(suite_: Suite, found: list[Verdict], **changes: Any) -> Report:
    span = Range(found[0].partition, found[-1].partition + timedelta(hours=1), HOUR)
    at = datetime(2026, 5, 8, 3, 17, tzinfo=UTC)
    known = Report("events.clean", "b7", span, "hour", TEAM, suite_, found, "pandas", 0.84, at)
    return replace(known, **changes)


@pytest.fixture
def lab(tmp_path: Path) -> Suite:
    return suite(tmp_path, BETWEEN, expectation("expect_column_to_exist", "warning", column="hour"))


def test_a_month_is_one_sentence(lab: Suite) -> None:
    assert sentence(verdicts(lab, 168, 1), HOUR) == (
        "167 of 168 partitions passed; 2026-05-01T13 is held: 17 rows have a negative duration_ms"
    )
    assert sentence(verdicts(lab, 168), HOUR) == "all 168 partitions passed"
    assert sentence(verdicts(lab, 9, 1, 2, 3, 4, 5), HOUR).endswith("; 2 more are held")
    assert sentence(verdicts(lab, 9, 1, 2, 3, 4), HOUR).endswith("; 1 more is held")
    assert sentence(verdicts(lab, 1), DAY) == "passed"
    assert sentence(verdicts(lab, 1, 0), DAY) == "2026-05-01 is held: 17 rows have a negative duration_ms"


def test_a_warning_is_not_called_held(lab: Suite) -> None:
    warned = [replace(v, passed=True) for v in verdicts(lab, 3, 1, severity="warning")]
    assert sentence(warned, HOUR) == (
        "3 of 3 partitions passed; 2026-05-01T13 with a warning: 17 rows have a negative duration_ms"
    )
    page = render(report(lab, warned))
    assert "feedmill accept" not in page
    assert "passed with a warning" in page
    assert "<h2>Warnings</h2>" in page


def test_the_page_of_a_held_partition_says_what_whose_and_what_next(lab: Suite) -> None:
    page = render(report(lab, verdicts(lab, 3, 1)))
    for part in (
        "events.clean",
        "2026-05-01T12 to 2026-05-01T15",
        '<a href="https://chat.example.com/feed">Feed &lt;data&gt;</a>',
        "duration_ms is 0 or more",
        "Ask &lt;the&gt; player team.",
        "1 of 17 failing rows",
        "feedmill.events.clean FOR VERSION AS OF &#39;build_b7&#39;",
        "feedmill accept b7 2026-05-01T13 --name … --reason …",
        "expectations/events/clean.json",
        "2 of 3",
        "3 of 3",
        lab.digest[:12],
        "pandas, 0.8 s",
    ):
        assert part in page, part


def test_nothing_in_the_data_becomes_markup(lab: Suite) -> None:
    page = render(report(lab, verdicts(lab, 2, 1, message="<b>bold</b>", observed="<i>", notes="<img src=x>")))
    assert not re.search(r"<(script|b|i|img)\b", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    unsafe = replace(TEAM, link="javascript:alert(1)")
    assert "javascript:" not in render(report(lab, verdicts(lab, 2, 1), maintainer=unsafe))


def test_the_page_is_whole_html_and_fetches_nothing(lab: Suite) -> None:
    page = render(report(lab, verdicts(lab, 3, 1)))
    open_: list[str] = []

    class Check(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "img", "iframe"}
            assert all(not name.startswith("on") for name, _ in attributes)
            if tag not in {"meta", "br"}:
                open_.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_.pop() == tag

    Check().feed(page)
    assert open_ == []
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"url\(|@import", page)


def at(hour: int, *findings: Finding) -> Verdict:
    passed = all(finding.severity != "critical" for finding in findings)
    return Verdict(FIRST + timedelta(hours=hour), passed, 100 + hour, findings)


def negative(e: Expectation, hour: int, count: int) -> Finding:
    samples = tuple({"duration_ms": -i, "hour": f"hour {hour}", "event_id": f"e{hour}-{i}"} for i in range(count))
    return about_rows(e, count, samples[:20])


def test_hours_that_fail_alike_are_one_block(lab: Suite) -> None:
    (e, _) = lab.expectations
    found = [at(hour, negative(e, hour, 1 + hour % 7)) for hour in range(720)]
    page = render(report(lab, found))
    assert page.count("In Trino") == 1
    assert page.count("<h3>") == 1
    assert "2,877 rows have a negative duration_ms" in page
    assert page.count("2026-05-01T12 to 2026-05-31T12</li>") == 1
    assert "720 partitions, 330,840 rows" in page
    assert "2026-05-01T18</td><td>7 rows have a negative duration_ms</td>" in page, (
        "examples have the most failing rows"
    )
    assert page.count("rows have a negative duration_ms</td>") == 5
    assert "8 of 2,877 failing rows" in page
    for hour in range(8):
        assert f">hour {hour}</td>" in page, "the rows are of different partitions"
    assert (
        "WHERE (hour &gt;= TIMESTAMP &#39;2026-05-01 12:00:00 UTC&#39; "
        "AND hour &lt; TIMESTAMP &#39;2026-05-31 12:00:00 UTC&#39;)" in page
    )
    assert "Repeat it for each of the 720 that you accept" in page
    assert len(page) < 40_000


def test_hours_that_fail_differently_are_blocks_of_their_own_with_their_ranges(tmp_path: Path) -> None:
    count = expectation("expect_table_row_count_to_be_between", min_value=10)
    both = suite(
        tmp_path, expectation("expect_column_mean_to_be_between", "warning", column="rate", max_value=1), count
    )
    mean, rows = both.expectations
    found = [
        at(0, about_all(rows, 0)),
        at(1, about_all(mean, 1.5), about_all(rows, 3)),
        at(2),
        at(3, about_all(mean, 2.25), about_all(rows, 1)),
        at(4, about_error(mean, "no column 1")),
        at(5, about_error(mean, "no column 2")),
    ]
    shown = [
        (block.severity, block.message, [v.partition.hour for v in block.verdicts], block.observed)
        for block in blocks(both, found)
    ]
    assert shown == [
        ("critical", "cannot judge expect_column_mean_to_be_between(rate): no column 1", [16, 17], None),
        ("critical", "there are no rows", [12], 0),
        ("critical", "the number of rows is not 10 or more", [13, 15], [1, 3]),
        ("warning", "the mean rate is not 1 or less", [13, 15], [1.5, 2.25]),
    ]
    page = render(report(both, found))
    assert "1.5 to 2.25" in page
    assert "<td>there is 1 row, not 10 or more</td>" in page
    assert "2026-05-01T12 to 2026-05-01T14, 2026-05-01T15 to 2026-05-01T18" in page, "what is held, in ranges"


def test_many_ranges_are_folded_and_none_is_lost(lab: Suite) -> None:
    (e, _) = lab.expectations
    found = [at(hour, *[negative(e, hour, 1)] * (hour % 2)) for hour in range(40)]
    page = render(report(lab, found))
    assert f"and {20 - RANGES_SHOWN} more ranges" in page
    assert page.index("<details>") < page.index(HOUR.name_of(found[39].partition))
    for verdict in found:
        assert (f"{HOUR.name_of(verdict.partition)}</li>" in page) == bool(verdict.findings)


def test_every_finding_of_every_partition_is_in_one_block(tmp_path: Path) -> None:
    whole = suite(tmp_path, *CONTRACT)
    judged = judge(whole, frame_from_arrow(mixed()), HOURS, "hour")
    found = blocks(whole, judged)
    assert sorted((v.partition, f.expectation) for b in found for v, f in zip(b.verdicts, b.findings, strict=True)) == (
        sorted((v.partition, f.expectation) for v in judged for f in v.findings)
    )
    for block in found:
        assert {f.severity for f in block.findings} == {block.severity}
    assert len(render(report(whole, judged)).split("<h3>")) == 1 + len(found)


def test_a_page_has_one_place() -> None:
    for base in ("gs://bucket/pages", "gs://bucket/pages/"):
        assert pages.file(base, "events.clean", "b7") == "gs://bucket/pages/events.clean/b7.html"
    for web in ("https://airflow.example.com", "https://airflow.example.com/"):
        assert pages.link(web, "events.clean", "b7") == "https://airflow.example.com/feedmill/checks/events.clean/b7"
    assert pages.pattern(pages.folder("gs://bucket/pages", "events.clean")) == "gs://bucket/pages/events.clean/*.html"


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (BETWEEN, "AND duration_ms < 0"),
        (expectation(BETWEEN["type"], column="a", min_value=0, max_value=1, strict_max=True), "AND (a < 0 OR a >= 1)"),
        (expectation(BETWEEN["type"], column="a", max_value="2026-05-01"), "AND a > DATE '2026-05-01'"),
        (expectation("expect_column_values_to_not_be_null", column="order"), 'AND "order" IS NULL'),
        (expectation("expect_column_values_to_be_in_set", column="a", value_set=["o'b", 1]), "a NOT IN ('o''b', 1)"),
        (
            expectation("expect_column_pair_values_a_to_be_greater_than_b", column_A="a", column_B="b", or_equal=True),
            "AND a < b",
        ),
        (
            expectation("expect_compound_columns_to_be_unique", column_list=["a", "b"]),
            "GROUP BY a, b\nHAVING count(*) > 1",
        ),
        (expectation("expect_table_row_count_to_be_between", min_value=1), "SELECT count(*)"),
        (expectation("expect_column_mean_to_be_between", column="a", min_value=1), "SELECT avg(a)"),
    ],
)
def test_the_query_shows_the_failing_rows(tmp_path: Path, given: dict[str, Any], where: str) -> None:
    (e,) = suite(tmp_path, given).expectations
    branch = Branch("events.clean", "b7", "hour", HOUR)
    sql = e.kind.query(branch.rows([FIRST]))
    assert where in sql
    assert "FROM feedmill.events.clean FOR VERSION AS OF 'build_b7'" in sql
    assert "WHERE hour = TIMESTAMP '2026-05-01 12:00:00 UTC'" in sql
    assert "WHERE hour = DATE '2026-05-01'" in e.kind.query(
        replace(branch, period=DAY).rows([HOURS[0].replace(hour=0)])
    )


def test_the_query_of_several_partitions_tells_them_apart(tmp_path: Path) -> None:
    unique = expectation("expect_compound_columns_to_be_unique", column_list=["hour", "event_id"])
    mean = expectation("expect_column_mean_to_be_between", column="a", min_value=1)
    branch = Branch("events.clean", "b7", "hour", HOUR)
    rows = branch.rows([HOURS[0], HOURS[1], HOURS[3]])
    by_row, by_mean, by_sign = (e.kind.query(rows) for e in suite(tmp_path, unique, mean, BETWEEN).expectations)
    assert "GROUP BY hour, event_id\n" in by_row
    assert by_mean.startswith("SELECT hour, avg(a)\n")
    assert by_mean.endswith("GROUP BY hour\nORDER BY hour")
    assert (
        "WHERE ((hour >= TIMESTAMP '2026-05-01 12:00:00 UTC' AND hour < TIMESTAMP '2026-05-01 14:00:00 UTC')"
        " OR hour = TIMESTAMP '2026-05-01 15:00:00 UTC')\n  AND duration_ms < 0" in by_sign
    )
    scattered = branch.rows([FIRST + timedelta(hours=2 * i) for i in range(20)])
    assert scattered.within == (
        "(hour >= TIMESTAMP '2026-05-01 12:00:00 UTC' AND hour < TIMESTAMP '2026-05-03 03:00:00 UTC')"
    )


@pytest.mark.parametrize("partitions", [HOURS[:1], HOURS[:2], [HOURS[0], HOURS[3]]])
def test_every_kind_has_a_query_that_trino_can_parse_and_words(tmp_path: Path, partitions: list[datetime]) -> None:
    import sqlglot

    for e in suite(tmp_path, *CONTRACT).expectations:
        sql = e.kind.query(Branch("events.clean", "b7", "hour", HOUR).rows(partitions))
        assert sqlglot.parse_one(sql.replace(" FOR VERSION AS OF 'build_b7'", ""), dialect="trino")
        assert e.kind.describe()
        for column in e.columns:
            assert column in e.kind.complain(2 if e.kind.by_row else None, None)
            assert column in e.kind.deny()


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ("clicks < 0", 'AND clicks < 0 LIMIT 100"'),
        ("NOT regexp_like(item, '^[a-z]\\d+$')", "AND NOT regexp_like(item, '\"'\"'^[a-z]\\d+$'\"'\"') LIMIT 100'"),
    ],
)
def test_the_command_asks_duckdb_the_same_question(condition: str, shown: str) -> None:
    sql = (
        "SELECT *\nFROM feedmill.rollups.clicks FOR VERSION AS OF 'build_ab'\n"
        f"WHERE hour = TIMESTAMP '2026-05-01 11:00:00 UTC'\n  AND {condition}\nLIMIT 100"
    )
    command = Branch("rollups.clicks", "ab", "hour", HOUR).on_command_line(sql)
    assert command.endswith(shown)
    asked = shlex.split(command)
    assert asked[:4] == ["feedmill", "sql", "--as-of-build", "ab"]
    assert asked[4] == (
        f"SELECT * FROM rollups.clicks WHERE hour = TIMESTAMPTZ '2026-05-01 11:00:00+00' AND {condition} LIMIT 100"
    )
