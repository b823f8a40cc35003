"""``airflow_settings.yaml`` in Astronomer's format, with ``${NAME}`` filled in.

Placeholders are filled after parsing, value by value, so that no password can change the file's structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedmill.errors import Exit, FeedmillError, Turn

PLACEHOLDER = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


class SettingsError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """The file uses a placeholder that has no value; the message names it."""


@dataclass(frozen=True)
class Pool:
    """An Airflow pool."""

    name: str
    slots: int
    description: str


@dataclass(frozen=True)
class Settings:
    """The contents of the file."""

    connections: dict[str, dict[str, Any]]
    """By connection id: its fields, named as in Airflow's JSON form."""
    pools: list[Pool]
    variables: dict[str, str]


def load(path: Path, values: Mapping[str, str]) -> Settings:
    """Read the file and fill its placeholders from ``values``.

    Raises:
        SettingsError: ``values`` lacks a placeholder.
    """
    import yaml

    airflow = (yaml.safe_load(path.read_text()) or {}).get("airflow") or {}
    filled = fill(airflow, values, path)
    return Settings(
        connections={
            entry["conn_id"]: {
                "conn_type": entry.get("conn_type"),
                "host": entry.get("conn_host"),
                "port": entry.get("conn_port"),
                "login": entry.get("conn_login"),
                "password": entry.get("conn_password"),
                "schema": entry.get("conn_schema"),
                "extra": entry.get("conn_extra"),
            }
            for entry in filled.get("connections") or []
            if entry and entry.get("conn_id")
        },
        pools=[
            Pool(entry["pool_name"], int(entry["pool_slot"]), entry.get("pool_description") or "")
            for entry in filled.get("pools") or []
            if entry and entry.get("pool_name")
        ],
        variables={
            entry["variable_name"]: str(entry.get("variable_value") or "")
            for entry in filled.get("variables") or []
            if entry and entry.get("variable_name")
        },
    )


def fill(value: Any, values: Mapping[str, str], path: Path) -> Any:
    """``value`` with every ``${NAME}`` replaced, at any depth."""
    if isinstance(value, str):

        def named(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise SettingsError(
                    f"{path.name} uses ${{{match[1]}}}, which the local stack does not define. "
                    "If the stack is of an earlier version, `make up` defines what is new."
                )
            return values[match[1]]

        return PLACEHOLDER.sub(named, value)
    if isinstance(value, dict):
        return {key: fill(item, values, path) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, values, path) for item in value]
    return value
