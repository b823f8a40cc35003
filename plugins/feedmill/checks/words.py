"""Expectations in plain words: what should hold, and what a failure says."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from feedmill.checks.suite import Expectation

_NAMES = {
    "expect_column_max_to_be_between": "largest",
    "expect_column_mean_to_be_between": "mean",
    "expect_column_min_to_be_between": "smallest",
    "expect_column_stdev_to_be_between": "standard deviation of",
    "expect_column_sum_to_be_between": "sum of",
    "expect_column_unique_value_count_to_be_between": "number of different values of",
    "expect_column_proportion_of_unique_values_to_be_between": "share of different values of",
}


def describe(expectation: Expectation) -> str:
    """What the expectation says, as a sentence without its full stop: ``duration_ms is 0 or more``."""
    text = _statement(expectation)
    mostly = expectation.kwargs.get("mostly", 1)
    return text if mostly == 1 else f"{text}, in at least {_number(mostly * 100)} % of the rows"


def complain(expectation: Expectation, unexpected: int | None, observed: Any) -> str:
    """What is wrong, for a sentence after the partition's name: ``17 rows have a negative duration_ms``.

    ``unexpected`` counts failing rows, and is None where the expectation is about all rows together;
    ``observed`` is then the value that was found.
    """
    if unexpected is None:
        return _complain_about_all(expectation, observed)
    rows, have, are = ("1 row", "has", "is") if unexpected == 1 else (f"{unexpected:,} rows", "have", "are")
    kwargs, column = expectation.kwargs, expectation.columns[0]
    match expectation.type:
        case "expect_column_values_to_not_be_null":
            text = f"{rows} {have} no {column}"
        case "expect_column_values_to_be_null":
            text = f"{rows} {have} {_a(column)}, which should be empty"
        case "expect_column_values_to_be_unique":
            text = f"{rows} {'shares its' if unexpected == 1 else 'share their'} {column} with another row"
        case "expect_compound_columns_to_be_unique":
            text = f"{rows} {are} not unique in {_list(expectation.columns)}"
        case "expect_column_values_to_be_between" if kwargs.get("min_value") == 0 and kwargs.get("max_value") is None:
            word = "zero or negative" if kwargs.get("strict_min") else "negative"
            text = f"{rows} {have} a {word} {column}"
        case "expect_column_values_to_be_between":
            text = f"{rows} {have} {_a(column)} that is not {_interval(kwargs)}"
        case "expect_column_values_to_be_in_set":
            text = f"{rows} {have} another {column} than {_values(kwargs['value_set'])}"
        case "expect_column_values_to_not_be_in_set":
            text = f"{rows} {have} the {column} {_values(kwargs['value_set'])}"
        case "expect_column_values_to_match_regex":
            text = f"{rows} {have} {_a(column)} that does not match {kwargs['regex']}"
        case "expect_column_values_to_not_match_regex":
            text = f"{rows} {have} {_a(column)} that matches {kwargs['regex']}"
        case "expect_column_value_lengths_to_be_between" | "expect_column_value_lengths_to_equal":
            length = str(kwargs["value"]) if "value" in kwargs else _interval(kwargs)
            text = f"{rows} {have} {_a(column)} whose length is not {length}"
        case "expect_multicolumn_sum_to_equal":
            text = f"in {rows} {' + '.join(expectation.columns)} is not {_number(kwargs['sum_total'])}"
        case "expect_select_column_values_to_be_unique_within_record":
            text = f"{rows} {have} the same value twice in {_list(expectation.columns)}"
        case "expect_column_pair_values_a_to_be_greater_than_b":
            sign = "below" if kwargs.get("or_equal") else "not above"
            text = f"{rows} {have} {_a(column)} {sign} {kwargs['column_B']}"
        case "expect_column_pair_values_to_be_equal":
            text = f"{rows} {have} {_a(column)} that differs from {kwargs['column_B']}"
        case other:
            raise KeyError(f"no words for {other}")
    mostly = kwargs.get("mostly", 1)
    return text if mostly == 1 else f"{text} (up to {_number((1 - mostly) * 100)} % are allowed)"


def _statement(expectation: Expectation) -> str:
    kwargs, columns = expectation.kwargs, expectation.columns
    column = columns[0] if columns else ""
    match expectation.type:
        case "expect_column_values_to_not_be_null":
            return f"{column} is always there"
        case "expect_column_values_to_be_null":
            return f"{column} is empty"
        case "expect_column_values_to_be_unique":
            return f"no two rows share {_a(column)}"
        case "expect_column_values_to_be_between":
            return f"{column} is {_interval(kwargs)}"
        case "expect_column_values_to_be_in_set":
            return f"{column} is one of {_values(kwargs['value_set'])}"
        case "expect_column_values_to_not_be_in_set":
            return f"{column} is none of {_values(kwargs['value_set'])}"
        case "expect_column_values_to_match_regex":
            return f"{column} matches {kwargs['regex']}"
        case "expect_column_values_to_not_match_regex":
            return f"{column} does not match {kwargs['regex']}"
        case "expect_column_value_lengths_to_be_between":
            return f"the length of {column} is {_interval(kwargs)}"
        case "expect_column_value_lengths_to_equal":
            return f"the length of {column} is {kwargs['value']}"
        case "expect_column_pair_values_a_to_be_greater_than_b":
            sign = "at least" if kwargs.get("or_equal") else "greater than"
            return f"{column} is {sign} {kwargs['column_B']}"
        case "expect_column_pair_values_to_be_equal":
            return f"{column} equals {kwargs['column_B']}"
        case "expect_compound_columns_to_be_unique":
            return f"{_list(columns)} together are unique"
        case "expect_select_column_values_to_be_unique_within_record":
            return f"{_list(columns)} differ from each other in every row"
        case "expect_multicolumn_sum_to_equal":
            return f"{' + '.join(columns)} is {_number(kwargs['sum_total'])}"
        case "expect_column_distinct_values_to_be_in_set":
            return f"the values of {column} are among {_values(kwargs['value_set'], 'and')}"
        case "expect_column_distinct_values_to_contain_set":
            return f"{_values(kwargs['value_set'], 'and')} all occur in {column}"
        case "expect_column_distinct_values_to_equal_set":
            return f"the values of {column} are exactly {_values(kwargs['value_set'], 'and')}"
        case "expect_table_row_count_to_be_between":
            return f"the number of rows is {_interval(kwargs)}"
        case "expect_table_row_count_to_equal":
            return f"the number of rows is {kwargs['value']:,}"
        case "expect_table_column_count_to_equal":
            return f"there are {kwargs['value']} columns"
        case "expect_table_column_count_to_be_between":
            return f"the number of columns is {_interval(kwargs)}"
        case "expect_table_columns_to_match_ordered_list":
            return f"the columns are {_list(kwargs['column_list'])}, in this order"
        case "expect_table_columns_to_match_set":
            only = "" if kwargs.get("exact_match", True) else "at least "
            return f"the columns are {only}{_list(kwargs['column_set'])}"
        case "expect_column_to_exist":
            return f"there is a column {column}"
        case other:
            return f"the {_NAMES[other]} {column} is {_interval(kwargs)}"


def _complain_about_all(expectation: Expectation, observed: Any) -> str:
    kwargs = expectation.kwargs
    if expectation.type.startswith("expect_table_row_count"):
        if observed == 0:
            return "there are no rows"
        expected = f"{kwargs['value']:,}" if "value" in kwargs else _interval(kwargs)
        return f"there {'is 1 row' if observed == 1 else f'are {observed:,} rows'}, not {expected}"
    if expectation.type in _NAMES:
        found = "unknown (no values)" if observed is None else value(observed)
        return f"the {_NAMES[expectation.type]} {expectation.columns[0]} is {found}, not {_interval(kwargs)}"
    text = f"it does not hold that {_statement(expectation)}"
    return text if observed is None else f"{text}; found {value(observed)}"


def value(found: Any) -> str:
    """An observed JSON value for a reader: numbers grouped, lists joined, nothing longer than a line."""
    if isinstance(found, bool) or found is None:
        return {True: "true", False: "false", None: "null"}[found]
    if isinstance(found, int | float):
        return _number(found)
    text = ", ".join(value(item) for item in found) if isinstance(found, list) else str(found)
    return text if len(text) <= 200 else text[:199] + "…"


def _interval(kwargs: Any) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    strict_low, strict_high = kwargs.get("strict_min", False), kwargs.get("strict_max", False)
    if high is None:
        return f"above {_bound(low)}" if strict_low else f"{_bound(low)} or more"
    if low is None:
        return f"below {_bound(high)}" if strict_high else f"{_bound(high)} or less"
    if not strict_low and not strict_high:
        return f"between {_bound(low)} and {_bound(high)}"
    start, end = "above" if strict_low else "from", "and below" if strict_high else "to"
    return f"{start} {_bound(low)} {end} {_bound(high)}"


def _bound(bound: Any) -> str:
    if isinstance(bound, datetime):
        return bound.isoformat()
    return _number(bound) if isinstance(bound, int | float) else str(bound)


def _number(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:,.6g}"


def _values(values: Any, word: str = "or") -> str:
    shown = [str(item) for item in values[:12]]
    rest = len(values) - len(shown)
    return _list(shown, word) if not rest else f"{', '.join(shown)} {word} {rest} more"


def _a(column: str) -> str:
    return f"{'an' if column[:1].lower() in 'aeio' else 'a'} {column}"


def _list(names: Any, word: str = "and") -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
