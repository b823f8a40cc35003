"""The log formats that Feedmill reads.

Each is a folder of the landing zone: ``<landing>/<source>/<arrival hour>/<file>``.
"""

from feedmill.spec import Source
from include.spark.sources import (
    events_jsonl,
    events_parquet,
    items_jsonl,
    kuairand,
    kuairand_items,
    open_bandit,
    open_bandit_items,
)

MODULES = (events_jsonl, events_parquet, items_jsonl, kuairand, kuairand_items, open_bandit, open_bandit_items)

SOURCES: dict[str, Source] = {module.SOURCE.name: module.SOURCE for module in MODULES}
