"""Who gets a free slot first: the tier decides, whatever the verb."""

from __future__ import annotations

from itertools import pairwise

import pytest

from feedmill.airflow.dag import table_dag
from feedmill.airflow.housekeeping import housekeeping_dag
from include.tables import TABLES


@pytest.fixture(scope="module")
def weights() -> dict[int, set[int]]:
    """By tier: the weights that Airflow's scheduler sorts the tasks by, as it computes them."""
    from airflow.task.priority_strategy import validate_and_load_priority_weight_strategy

    found: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}
    for table in TABLES:
        for task in table_dag(table).tasks:
            strategy = validate_and_load_priority_weight_strategy(task.weight_rule)
            assert type(strategy).__name__ == "_AbsolutePriorityWeightStrategy"
            found[table.tier].add(task.priority_weight)
    return found


def test_no_task_of_a_lower_tier_is_taken_before_one_of_a_higher(weights: dict[int, set[int]]) -> None:
    for higher, lower in pairwise(sorted(tier for tier, found in weights.items() if found)):
        assert min(weights[higher]) > max(weights[lower])


def test_housekeeping_is_taken_last(weights: dict[int, set[int]]) -> None:
    last = max(task.priority_weight for task in housekeeping_dag(TABLES).tasks)
    assert last < min(min(found) for found in weights.values() if found)
