"""What Airflow itself loads of Feedmill: the check pages."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class FeedmillPlugin(AirflowPlugin):
    """Serves the pages that the ``Check page`` button of a check opens."""

    name = "feedmill"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The web app; a property, because only the api-server asks for it, and it alone shall pay the import."""
        from feedmill.airflow.web import app
        from feedmill.checks.pages import MOUNT

        return [{"app": app, "url_prefix": MOUNT, "name": "Feedmill"}]
