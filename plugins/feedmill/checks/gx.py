"""Great Expectations over frames in memory: no project, no files, no progress bars, and no log lines of its own."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from feedmill.checks.findings import SAMPLES, Finding, about_all, about_error, about_rows
from feedmill.checks.samples import first_object, json_safe, moment_of, samples, scalar_columns
from feedmill.checks.suite import Expectation

if TYPE_CHECKING:
    import pandas as pd

FEW = 10_000
"""If fewer rows of a range fail an expectation, they are looked up, and only their partitions are judged alone."""


class Gx:
    """Great Expectations over frames of one engine."""

    def __init__(self, add: Callable[[Any], Any]):
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._batches = add(context).add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")

    @classmethod
    def pandas(cls) -> Gx:
        """Over pandas frames."""
        return cls(lambda context: context.data_sources.add_pandas("pandas"))

    @classmethod
    def spark(cls) -> Gx:
        """Over Spark frames."""
        # persist=True, the default, caches every row first: 8.8 against 6.3 roll-ups when it was measured.
        return cls(lambda context: context.data_sources.add_spark("spark", persist=False))

    def holds(self, frame: Any, expectations: Sequence[Expectation]) -> set[str]:
        """Ids of those that every row meets, and so every part of the rows, also where a share of them would do."""
        strict = [e.strict for e in expectations if e.kind.hereditary]
        results = self._validate(frame, strict, {"result_format": "BOOLEAN_ONLY"})
        return {name for name, result in results.items() if not isinstance(result, Exception) and result.success}

    def failing(self, frame: pd.DataFrame, expectations: Sequence[Expectation]) -> dict[str, list[int] | None]:
        """By id, the positions of the rows that fail it; None if it is not about single rows, or many rows fail."""
        strict = [e.strict for e in expectations if e.kind.by_row]
        columns = list(dict.fromkeys(name for e in strict for name in e.columns))
        wanted = {"result_format": "SUMMARY", "partial_unexpected_count": FEW}
        found: dict[str, list[int] | None] = {e.id: None for e in expectations}
        # Those columns alone: GX hashes whatever it is given, twice.
        for name, result in self._validate(frame[columns], strict, wanted).items():
            details = {} if isinstance(result, Exception) else result.result
            count = details.get("unexpected_count")
            if count is not None and count < FEW:
                found[name] = details.get("partial_unexpected_index_list")
        return found

    def finding(self, frame: pd.DataFrame, expectation: Expectation) -> Finding | None:
        """What is wrong with one expectation about the number of rows or the columns of a frame."""
        found = self.findings(frame, [expectation], None)
        return found[0] if found else None

    def findings(self, frame: Any, expectations: Sequence[Expectation], partition_column: str | None) -> list[Finding]:
        """The expectations that these rows, all of one partition, do not meet."""
        import pandas as pd

        wanted: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": SAMPLES}
        if not isinstance(frame, pd.DataFrame):
            read = [column for expectation in expectations for column in expectation.columns]
            wanted["unexpected_index_column_names"] = list(dict.fromkeys([*read, *scalar_columns(frame)]))
        results = self._validate(frame, expectations, wanted)
        found = []
        for expectation in expectations:
            result = results[expectation.id]
            if isinstance(result, Exception):
                found.append(about_error(expectation, str(result)))
            elif not result.success:
                found.append(_finding(expectation, result, frame, partition_column))
        return found

    def _validate(
        self, frame: Any, expectations: Sequence[Expectation], result_format: dict[str, Any]
    ) -> dict[str, Any]:
        """GX's result of each expectation by id, or the exception that kept it from being asked."""
        from great_expectations.core import ExpectationSuite
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

        times = _times(frame)
        results: dict[str, Any] = {}
        asked = []
        for expectation in expectations:
            try:
                kwargs, meta = _arguments(expectation, times), {"feedmill": expectation.id}
                asked.append(ExpectationConfiguration(type=expectation.type, kwargs=kwargs, meta=meta).to_domain_obj())
            except ValueError as error:  # a bound that is no time on a column of times, for example
                results[expectation.id] = error
        if asked:
            suite = ExpectationSuite(name="suite", expectations=asked)
            validated = self._batches.get_batch({"dataframe": frame}).validate(suite, result_format=result_format)
            results.update({r.expectation_config.meta["feedmill"]: r for r in validated.results})
        return results


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Great Expectations' own logging and deprecation warnings out of a task's log."""
    import great_expectations  # noqa: F401  first, since importing it sets the levels of its loggers

    logger, null = logging.getLogger("great_expectations"), logging.NullHandler()
    propagate = logger.propagate
    logger.addHandler(null)
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(null)


def _finding(expectation: Expectation, result: Any, frame: Any, partition_column: str | None) -> Finding:
    if (error := _exception(result)) is not None:
        return about_error(expectation, error)
    details = result.result
    count = details.get("unexpected_count") if expectation.kind.by_row else None
    if count is None:
        observed = json_safe(details.get("observed_value"))
        if observed is None:  # where values lie outside a set, GX names those instead
            observed = json_safe(details.get("partial_unexpected_list")) or None
        return about_all(expectation, observed)
    index = details.get("partial_unexpected_index_list") or []
    return about_rows(expectation, int(count), samples(index, frame, expectation, partition_column))


def _exception(result: Any) -> str | None:
    """The message of the first error; GX nests them by metric, or not, depending on where it was raised."""
    info = result.exception_info or {}
    for entry in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if entry.get("raised_exception"):
            return str(entry.get("exception_message") or "unknown error").removeprefix("Error: ").strip()
    return None


def _times(frame: Any) -> dict[str, Literal["aware", "naive", "date"]]:
    """The columns of times and dates, and how their values look to Python on this engine."""
    import pandas as pd

    times: dict[str, Literal["aware", "naive", "date"]] = {}
    if not isinstance(frame, pd.DataFrame):
        for field in frame.schema.fields:
            name = field.dataType.typeName()
            if name in {"timestamp_ntz", "date"}:
                times[field.name] = "date" if name == "date" else "naive"
        return times
    for column, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.DatetimeTZDtype):
            times[str(column)] = "aware"
        elif isinstance(first := first_object(frame[column]), date) and not isinstance(first, datetime):
            times[str(column)] = "date"
    return times


def _arguments(expectation: Expectation, times: Mapping[str, str]) -> dict[str, Any]:
    """The arguments for GX; texts become times or dates where the column holds such, since JSON has none."""
    kwargs = dict(expectation.kwargs)
    if expectation.kind.ignore_row_if is not None:
        kwargs["ignore_row_if"] = expectation.kind.ignore_row_if
    if time := times.get(kwargs.get("column", "")):
        for key in {"min_value", "max_value"} & kwargs.keys():
            kwargs[key] = _typed(kwargs[key], time)
        if "value_set" in kwargs:
            kwargs["value_set"] = [_typed(value, time) for value in kwargs["value_set"]]
    return kwargs


def _typed(value: Any, time: str) -> Any:
    if not isinstance(value, str):
        return value
    moment = datetime.fromisoformat(value)
    if time == "date":
        return moment.date()
    moment = moment_of(moment)
    return moment.replace(tzinfo=None) if time == "naive" else moment
