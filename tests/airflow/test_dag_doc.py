"""A DAG's doc is the table's generated page, readable in Airflow."""

import re

from feedmill.airflow.dag import table_dag
from include.tables import clean


def test_the_doc_says_grain_columns_and_how_to_restate_and_has_no_dead_link() -> None:
    doc = table_dag(clean).doc_md
    assert doc is not None
    for part in ("One row per event", "event_id", "by touches", clean.maintainer.name, "start"):
        assert part in doc
    targets = re.findall(r"\]\(([^)]*)\)", doc)
    assert [target for target in targets if not target.startswith(("https:", "mailto:"))] == []
