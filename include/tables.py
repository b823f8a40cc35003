"""The map: every table that Feedmill builds, what it reads, whose it is and how long it is kept."""

from feedmill.spec import Files, Input, Map, Ripple, Table
from feedmill.timeline import DAY, HOUR, days, hours
from include.maintainers import feed_data, personalization

landed = Table(
    "events.landed",
    every=HOUR,
    inputs=[Files("events")],
    maintainer=feed_data,
    tier=1,
    keep=days(90),
    due=hours(1),
)

rejected = Table(
    "events.rejected",
    every=HOUR,
    inputs=[Files("events"), Files("items")],
    maintainer=feed_data,
    tier=3,
    keep=days(90),
)

clean = Table(
    "events.clean",
    every=HOUR,
    inputs=[Input(landed, by="touches")],
    maintainer=feed_data,
    tier=1,
    keep=days(400),
)

items = Table(
    "catalog.items",
    every=DAY,
    inputs=[Files("items", lookback=days(90))],
    maintainer=feed_data,
    tier=2,
    keep=days(400),
    due=hours(4),
)

item_engagement_hourly = Table(
    "rollups.item_engagement_hourly",
    every=HOUR,
    inputs=[Input(clean)],
    maintainer=feed_data,
    tier=2,
    keep=days(400),
)

item_engagement_daily = Table(
    "rollups.item_engagement_daily",
    every=DAY,
    inputs=[Input(item_engagement_hourly)],
    maintainer=feed_data,
    tier=2,
    keep=days(1100),
    due=hours(4),
)

position_engagement_daily = Table(
    "rollups.position_engagement_daily",
    every=DAY,
    inputs=[Input(clean), Input(items)],
    maintainer=feed_data,
    tier=2,
    keep=days(400),
    due=hours(5),
)

engagement_baseline = Table(
    "features.engagement_baseline",
    every=DAY,
    inputs=[Input(position_engagement_daily, lookback=days(28), lag=days(1), ripple=Ripple.LATEST)],
    maintainer=personalization,
    tier=2,
    keep=days(400),
    due=hours(5),
)

item_evidence_hourly = Table(
    "rollups.item_evidence_hourly",
    every=HOUR,
    inputs=[Input(clean), Input(engagement_baseline, as_of=True, optional=True, lag=hours(6))],
    maintainer=personalization,
    tier=2,
    keep=days(400),
)

item_evidence_daily = Table(
    "rollups.item_evidence_daily",
    every=DAY,
    inputs=[Input(item_evidence_hourly)],
    maintainer=personalization,
    tier=2,
    keep=days(400),
    due=hours(4),
)

user_category_daily = Table(
    "rollups.user_category_daily",
    every=DAY,
    inputs=[Input(clean), Input(items), Input(engagement_baseline)],
    maintainer=personalization,
    tier=2,
    keep=days(120),
    due=hours(6),
)

user_category_window = Table(
    "rollups.user_category_window",
    every=DAY,
    inputs=[Input(user_category_daily, lookback=days(55), ripple=Ripple.LATEST)],
    maintainer=personalization,
    tier=2,
    keep=days(30),
    due=hours(7),
)

affinity_variances = Table(
    "features.affinity_variances",
    every=DAY,
    inputs=[Input(user_category_window)],
    maintainer=personalization,
    tier=2,
    keep=days(400),
    due=hours(7),
)

user_category_affinity = Table(
    "features.user_category_affinity",
    every=DAY,
    inputs=[Input(user_category_window), Input(affinity_variances)],
    maintainer=personalization,
    tier=2,
    keep=days(90),
    due=hours(8),
)

surface_evidence_hourly = Table(
    "rollups.surface_evidence_hourly",
    every=HOUR,
    inputs=[Input(item_evidence_hourly)],
    maintainer=personalization,
    tier=3,
    keep=days(400),
)

item_popularity_daily = Table(
    "features.item_popularity_daily",
    every=DAY,
    inputs=[Input(item_evidence_daily, lookback=days(27), ripple=Ripple.LATEST), Input(items, ripple=Ripple.LATEST)],
    maintainer=personalization,
    tier=2,
    keep=days(90),
    due=hours(5),
)

item_popularity_hourly = Table(
    "features.item_popularity_hourly",
    every=HOUR,
    inputs=[
        # From the end of the day that is read: 05:00 to 04:00, and the five hours before; and a day more, so that
        # nothing is missing where a day is late or held.
        Input(item_evidence_hourly, lookback=hours(52), ripple=Ripple.LATEST),
        Input(item_popularity_daily, as_of=True, optional=True, lag=hours(6), ripple=Ripple.LATEST),
    ],
    maintainer=personalization,
    tier=2,
    keep=days(30),
)

item_trending = Table(
    "features.item_trending",
    every=HOUR,
    inputs=[
        Input(item_evidence_hourly, lookback=hours(2), ripple=Ripple.LATEST),
        Input(surface_evidence_hourly, lookback=days(28), lag=hours(3), ripple=Ripple.LATEST),
        # Popularity as it was before the three hours: what is judged must not explain itself.
        Input(item_popularity_hourly, lookback=hours(3), lag=hours(3), ripple=Ripple.LATEST),
        Input(item_popularity_daily, as_of=True, optional=True, lag=hours(6), ripple=Ripple.LATEST),
    ],
    maintainer=personalization,
    tier=2,
    keep=days(90),
)

user_items_daily = Table(
    "rollups.user_items_daily",
    every=DAY,
    inputs=[Input(clean)],
    maintainer=personalization,
    tier=2,
    keep=days(90),
    due=hours(4),
)

item_neighbours = Table(
    "features.item_neighbours",
    every=DAY,
    inputs=[Input(user_items_daily, lookback=days(27), ripple=Ripple.LATEST)],
    maintainer=personalization,
    tier=2,
    keep=days(30),
    due=hours(6),
)

user_recommendations = Table(
    "serving.user_recommendations",
    every=DAY,
    inputs=[
        Input(user_category_affinity),
        Input(item_popularity_daily),
        Input(items),
        Input(user_items_daily, lookback=days(27), ripple=Ripple.LATEST),
        Input(item_neighbours),
    ],
    maintainer=personalization,
    tier=2,
    keep=days(30),
    due=hours(9),
)

fallback_ranking = Table(
    "serving.fallback_ranking",
    every=HOUR,
    inputs=[
        Input(item_popularity_hourly),
        Input(item_trending),
        Input(item_engagement_hourly, lookback=hours(23), ripple=Ripple.LATEST),
        Input(items, as_of=True, optional=True, lag=hours(6), ripple=Ripple.LATEST),
    ],
    maintainer=personalization,
    tier=2,
    keep=days(30),
)

TABLES = Map.found_in(globals())
