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
from contract_frames import CONTRACT, FIRST, expectation, suite

from feedmill.checks import words
from feedmill.checks.judge import Finding, Verdict
from feedmill.checks.page import PARTITIONS_SHOWN, Report, render, sentence
from feedmill.checks.query import failing_rows, on_command_line
from feedmill.checks.suite import Suite
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


def test_a_long_outage_stays_readable(lab: Suite) -> None:
    found = verdicts(lab, PARTITIONS_SHOWN + 5, *range(PARTITIONS_SHOWN + 5))
    page = render(report(lab, found))
    assert page.count("In Trino") == PARTITIONS_SHOWN
    assert HOUR.name_of(found[-1].partition) in page


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
    sql = failing_rows(e, "events.clean", "b7", FIRST, "hour", HOUR)
    assert where in sql
    assert "FROM feedmill.events.clean FOR VERSION AS OF 'build_b7'" in sql
    assert "WHERE hour = TIMESTAMP '2026-05-01 12:00:00 UTC'" in sql
    assert "WHERE hour = DATE '2026-05-01'" in failing_rows(e, "events.clean", "b7", FIRST, "hour", DAY)


def test_every_kind_has_a_query_that_trino_can_parse_and_words(tmp_path: Path) -> None:
    import sqlglot

    for e in suite(tmp_path, *CONTRACT).expectations:
        sql = failing_rows(e, "events.clean", "b7", FIRST, "hour", HOUR)
        assert sqlglot.parse_one(sql.replace(" FOR VERSION AS OF 'build_b7'", ""), dialect="trino")
        assert words.describe(e)
        for column in e.columns:
            assert column in words.complain(e, 2 if e.kind.rows else None, None)


def test_the_command_asks_duckdb_the_same_question() -> None:
    sql = (
        "SELECT *\nFROM feedmill.rollups.clicks FOR VERSION AS OF 'build_ab'\n"
        "WHERE hour = TIMESTAMP '2026-05-01 11:00:00 UTC'\n  AND clicks < 0\nLIMIT 100"
    )
    command = on_command_line(sql, "rollups.clicks", "ab")
    asked = shlex.split(command)
    assert asked[:4] == ["feedmill", "sql", "--as-of-build", "ab"]
    assert asked[4] == (
        "SELECT * FROM rollups.clicks WHERE hour = TIMESTAMPTZ '2026-05-01 11:00:00+00' AND clicks < 0 LIMIT 100"
    )
