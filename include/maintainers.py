"""The teams that maintain tables, models, sources and services: who is told, where and when, and who stands in."""

from feedmill.spec import Maintainer, Maintainers

personalization = Maintainer(
    "personalization",
    description="The ranking models of the feed and the features that they read.",
    link="mailto:personalization@example.com",
    channels=("feedmill_alerts",),
    time_zone="Europe/Berlin",
    holidays="DE-BE",
)

feed_data = Maintainer(
    "feed-data",
    description="Engagement events from the landing zone to the roll-ups, and the item catalogue.",
    link="https://example.com/teams/feed-data",
    channels=("feedmill_alerts",),
    time_zone="Europe/Berlin",
    holidays="DE-BE",
    backup=personalization,
)

infrastructure = Maintainer(
    "infrastructure",
    description="Whoever runs Airflow, Spark and PostgreSQL.",
    link="mailto:infrastructure@example.com",
    channels=("feedmill_alerts",),
    time_zone="Europe/Berlin",
    holidays="DE-BE",
    backup=feed_data,
)

DEFAULT = feed_data
"""Told of whatever nobody owns: a source that is not in ``include/landing.py``, another team's DAG in this Airflow."""

INFRASTRUCTURE = infrastructure
"""Told when a component is down: Airflow, Spark, PostgreSQL, the landing zone, the disk, a channel."""

MAINTAINERS = Maintainers.found_in(globals())
