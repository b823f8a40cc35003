"""The form of a suite's file, checked by pydantic; every mistake is said with its field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from feedmill.checks.kinds import KINDS, ArgumentError, Kind
from feedmill.errors import Exit, FeedmillError, Turn


class FieldErrors(FeedmillError, ValueError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):  # noqa: N818 - it is a list of them
    """What is wrong with a document, field by field: ``expectations[3].kwargs.column: field required``."""

    def __init__(self, problems: Sequence[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Meta(_Model):
    """What people need to know of an expectation."""

    notes: str = ""


class Item(_Model):
    """One expectation as it stands in the file."""

    type: str
    kwargs: dict[str, Any] = {}
    severity: Literal["critical", "warning"]
    meta: Meta = Meta()


class Document(_Model):
    """A suite as it stands in the file. Other fields beside these two are Great Expectations' own."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str = Field(min_length=1)
    expectations: list[Item] = Field(min_length=1)


def read(content: Any) -> Document:
    """The content of a suite's file.

    Raises:
        FieldErrors: a field is unknown, missing or wrong.
    """
    try:
        document = Document.model_validate(content)
    except ValidationError as error:
        raise FieldErrors(list(_problems(error, "", 4))) from None
    problems = [p for number, item in enumerate(document.expectations) for p in _wrong_arguments(item, number)]
    if problems:
        raise FieldErrors(problems)
    return document


def _wrong_arguments(item: Item, number: int) -> list[str]:
    where = f"expectations[{number}]"
    if item.type not in KINDS:
        return [f"{where}.type: unknown expectation type {item.type!r}; known are {', '.join(sorted(KINDS))}"]
    try:
        # As JSON: the strict mode of pydantic takes no dictionary for a dataclass.
        _adapter(item.type).validate_json(json.dumps(item.kwargs))
    except ValidationError as error:
        takes = ", ".join(sorted(field.name for field in fields(KINDS[item.type])))
        return [
            f"{problem}; {item.type} takes {takes}" if problem.endswith(_NAMES) else problem
            for problem in _problems(error, f"{where}.kwargs", 1)
        ]
    return []


@cache
def _adapter(type_: str) -> TypeAdapter[Kind]:
    return TypeAdapter(KINDS[type_])


_SAYS: Mapping[str, str] = {
    "missing": "field required",
    "extra_forbidden": "unknown field",
    "unexpected_keyword_argument": "unknown field",
    "string_type": "must be text",
    "string_too_short": "is empty",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "too_short": "is empty; a table without expectations cannot be published",
    "none_required": "must be null",
}
"""Plain words for pydantic's error types."""

_NAMES = (_SAYS["missing"], _SAYS["unexpected_keyword_argument"])


def _problems(error: ValidationError, where: str, depth: int) -> Iterator[str]:
    """One line a field. ``depth``: how many steps lead to a field; pydantic names each way of a union as one more."""
    by_field: dict[str, list[Any]] = {}
    for one in error.errors(include_url=False):
        cause = (one.get("ctx") or {}).get("error")
        steps = [cause.argument] if isinstance(cause, ArgumentError) and cause.argument else one["loc"][:depth]
        by_field.setdefault(_path(where, steps), []).append(one)
    for field, ones in by_field.items():
        says = list(dict.fromkeys(_says(one) for one in ones))
        wrong_type = all(one["type"].endswith("_type") for one in ones)
        if len(says) > 1:  # a union of types; whole numbers are numbers
            says = [f"must be {' or '.join(say.removeprefix('must be ') for say in says if 'whole' not in say)}"]
        found = ones[0]["input"]
        shown = f", not {json.dumps(found)}" if wrong_type and not isinstance(found, dict | list) else ""
        yield f"{field}: {says[0]}{shown}" if field else f"{says[0]}{shown}"


def _says(one: Any) -> str:
    cause = (one.get("ctx") or {}).get("error")
    if isinstance(cause, ArgumentError):
        return str(cause)
    if one["type"] == "literal_error":
        return f"{one['input']!r} is not one of {one['ctx']['expected'].replace(' or ', ', ')}"
    return _SAYS.get(one["type"], one["msg"][:1].lower() + one["msg"][1:])


def _path(where: str, steps: Sequence[int | str]) -> str:
    for step in steps:
        where += f"[{step}]" if isinstance(step, int) else f".{step}" if where else step
    return where
