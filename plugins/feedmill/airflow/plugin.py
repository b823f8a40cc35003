"""The plugin that Airflow loads: from the wheel's entry point, or through ``plugins/feedmill_plugin.py``."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from feedmill.airflow.timetable import SinceTimetable


class FeedmillPlugin(AirflowPlugin):
    """Knows the tables' schedule, and serves the pages that the button ``Check page`` of a check opens."""

    name = "feedmill"
    timetables = [SinceTimetable]  # noqa: RUF012 - an instance's in Airflow's class

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # a list in Airflow's class
        """The web app. A property, because only the API server asks for it, and no other process should import it."""
        from feedmill.airflow.web import app
        from feedmill.checks.pages import MOUNT

        return [{"app": app, "url_prefix": MOUNT, "name": "Feedmill"}]
