"""Whose each source of the landing zone is, and whether somebody is told when its files stop.

A source that is not listed here belongs to ``DEFAULT`` of ``include/maintainers.py``, and may stop unnoticed.
"""

from feedmill.spec import Expects, Landing
from include.maintainers import feed_data

LANDING = (
    Landing("events_jsonl", maintainer=feed_data, tier=1, expects=Expects.ALWAYS),
    Landing("events_parquet", maintainer=feed_data, tier=1, expects=Expects.ALWAYS),
    Landing("items_jsonl", maintainer=feed_data, tier=2, expects=Expects.ALWAYS),
    # The demo's data: landed once, by hand.
    Landing("kuairand", maintainer=feed_data, tier=3, expects=Expects.NEVER),
    Landing("kuairand_items", maintainer=feed_data, tier=3, expects=Expects.NEVER),
    Landing("open_bandit", maintainer=feed_data, tier=3, expects=Expects.NEVER),
    Landing("open_bandit_items", maintainer=feed_data, tier=3, expects=Expects.NEVER),
)
