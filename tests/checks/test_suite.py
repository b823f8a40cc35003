"""A suite that could not be judged is refused when it is read, with the file and the field named."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from contract_frames import CONTRACT, expectation, suite

from feedmill.checks.kinds import KINDS
from feedmill.checks.suite import Suite, SuiteError, load, validate_with_gx

NOT_NULL = expectation("expect_column_values_to_not_be_null", notes="Ask upstream.", column="event_id")
BETWEEN = "expect_column_values_to_be_between"


def test_a_suite_keeps_what_the_file_says(tmp_path: Path) -> None:
    read = suite(tmp_path, NOT_NULL)
    (only,) = read.expectations
    assert (read.name, only.type, only.kwargs) == ("lab.events", NOT_NULL["type"], {"column": "event_id"})
    assert (only.severity, only.notes) == ("critical", "Ask upstream.")
    assert only.id == "expect_column_values_to_not_be_null(event_id)"
    assert read[only.id] is only


def test_only_what_is_judged_changes_the_digest(tmp_path: Path) -> None:
    before = suite(tmp_path, NOT_NULL).digest
    assert suite(tmp_path, NOT_NULL | {"meta": {"notes": "Other words."}}).digest == before
    assert suite(tmp_path, NOT_NULL, expectation("expect_column_to_exist", column="a")).digest != before
    column = expectation("expect_column_values_to_not_be_null", column="item_id")
    assert suite(tmp_path, column).digest != before
    low = expectation(BETWEEN, "warning", column="a", min_value=0)
    assert suite(tmp_path, NOT_NULL, low).digest != suite(tmp_path, NOT_NULL, low | {"severity": "critical"}).digest


def test_a_moved_threshold_keeps_the_id_unless_two_need_it_apart(tmp_path: Path) -> None:
    hard = expectation(BETWEEN, column="a", min_value=0)
    soft = expectation(BETWEEN, "warning", column="a", min_value=5)
    assert [e.id for e in suite(tmp_path, hard).expectations] == [f"{BETWEEN}(a)"]
    assert [e.id for e in suite(tmp_path, hard, soft).expectations] == [
        f"{BETWEEN}(a; min_value=0)",
        f"{BETWEEN}(a; min_value=5)",
    ]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"gone\.json: the file is missing"):
        load(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"name": "x",\n oops}', r"s\.json:2: not JSON"),
        ("[]", r"s\.json: must be an object"),
        ('{"expectations": []}', r"s\.json: name: field required"),
        ('{"name": "", "expectations": []}', r"s\.json: name: is empty"),
        ('{"name": "x", "expectations": []}', r"s\.json: expectations: is empty"),
        ('{"name": "x"}', r"s\.json: expectations: field required"),
        ('{"name": "x", "expectations": [3]}', r"s\.json: expectations\[0\]: must be an object"),
    ],
)
def test_a_document_that_is_no_suite_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(SuiteError, match=says):
        load(tmp_path / "s.json")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (expectation("expect_magic", column="a"), r"expectations\[1\]\.type: unknown expectation type 'expect_magic'"),
        (expectation("expect_column_values_to_be_of_type", column="a"), "unknown expectation type"),
        (expectation(BETWEEN, "fatal", column="a", min_value=0), r"expectations\[1\]\.severity: 'fatal'"),
        (
            expectation(BETWEEN, column="a", min_value=0, minimum=0),
            r"expectations\[1\]\.kwargs\.minimum: unknown field; expect_\w+ takes column, max_value, min_value, mostly",
        ),
        (expectation(BETWEEN, min_value=0), r"expectations\[1\]\.kwargs\.column: field required"),
        (expectation(BETWEEN, column="a"), r"expectations\[1\]\.kwargs: needs min_value or max_value"),
        (expectation(BETWEEN, column=3, min_value=0), r"expectations\[1\]\.kwargs\.column: must be text, not 3"),
        (expectation(BETWEEN, column="a", min_value=[0]), r"kwargs\.min_value: must be a number or text$"),
        (
            expectation(BETWEEN, column="a", min_value=0, strict_min=1),
            r"kwargs\.strict_min: must be true or false, not 1",
        ),
        (expectation(BETWEEN, column="a", min_value=3, max_value=2), "min_value 3 is greater than max_value 2"),
        (expectation(BETWEEN, column="a", min_value="3", max_value=4), "different kinds"),
        (expectation(BETWEEN, column="a", min_value=0, mostly=95), r"mostly: 95 is not a share"),
        (expectation("expect_column_values_to_be_in_set", column="a", value_set=[]), "value_set: must be a list"),
        (NOT_NULL, "stands twice"),
        (NOT_NULL | {"note": "x"}, r"expectations\[1\]\.note: unknown field"),
        (NOT_NULL | {"meta": {"notes": 3}}, r"meta\.notes: must be text"),
        (NOT_NULL | {"kwargs": []}, r"kwargs: must be an object"),
        (expectation("expect_multicolumn_sum_to_equal", column_list=["a"], sum_total="many"), "must be a number"),
    ],
)
def test_a_wrong_expectation_is_named(tmp_path: Path, bad: dict[str, Any], says: str) -> None:
    with pytest.raises(SuiteError, match=says) as caught:
        suite(tmp_path, NOT_NULL, bad)
    assert "suite.json: expectations" in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        suite(tmp_path, expectation(BETWEEN, min_value=0), NOT_NULL, expectation(BETWEEN, column=3, max_value=None))
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["expectations[0].kwargs.column", "expectations[2].kwargs.column"]
    assert all(line.startswith(f"{tmp_path / 'suite.json'}: ") for line in lines)


def test_a_suite_that_can_hold_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no expectation has severity critical"):
        suite(tmp_path, NOT_NULL | {"severity": "warning"})


def test_great_expectations_takes_every_kind_and_argument(tmp_path: Path) -> None:
    from great_expectations.expectations.registry import get_expectation_impl

    validate_with_gx(suite(tmp_path, *CONTRACT))
    for name, kind in KINDS.items():
        known = get_expectation_impl(name).__fields__
        assert {field.name for field in fields(kind)} <= known.keys(), name
    assert {e["type"] for e in CONTRACT} == KINDS.keys(), "the engines' contract leaves a kind out"


def test_what_great_expectations_refuses_is_named(tmp_path: Path) -> None:
    good = suite(tmp_path, expectation("expect_multicolumn_sum_to_equal", column_list=["a", "b"], sum_total=1))
    bad = replace(good.expectations[0], kwargs={"column_list": ["a", "b"], "sum_total": "many"})
    with pytest.raises(SuiteError, match=r"suite lab\.events: expect_multicolumn_sum_to_equal\(a, b\)"):
        validate_with_gx(Suite(good.name, (bad,), good.digest))


def test_loading_does_not_import_great_expectations(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "s.json").write_text(json.dumps({"name": "x", "expectations": [NOT_NULL]}))
    code = (
        "import sys, pathlib, feedmill.checks.judge, feedmill.checks.page; from feedmill.checks.suite import load;"
        "assert 'pydantic' not in sys.modules;"
        f"load(pathlib.Path({str(tmp_path / 's.json')!r}));"
        "sys.exit(bool({'great_expectations', 'pandas', 'pyspark', 'jinja2'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
