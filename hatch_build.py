"""Gives the wheel its dependencies from requirements.txt, so that the list has one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Requirements(MetadataHookInterface):
    """Reads the lines that are not comments."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill the dynamic field ``dependencies``."""
        lines = Path(self.root, "requirements.txt").read_text(encoding="utf-8").splitlines()
        metadata["dependencies"] = [line for line in lines if line and not line.startswith("#")]
