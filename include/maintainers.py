"""The teams that maintain tables and models: who is paged, when, and who stands in for them."""

from feedmill.spec import Maintainer

personalization = Maintainer(
    "personalization",
    description="The ranking models of the feed and the features that they read.",
    link="mailto:personalization@example.com",
    time_zone="Europe/Berlin",
)

feed_data = Maintainer(
    "feed-data",
    description="Engagement events from the landing zone to the roll-ups, and the item catalogue.",
    link="https://example.com/teams/feed-data",
    time_zone="Europe/Berlin",
    backup=personalization,
)
