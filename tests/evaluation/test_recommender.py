"""Rankings: what counts as found, and what may not be recommended."""

import numpy as np
import pandas as pd
import pytest

from evaluation import recommender
from evaluation.data import Impressions, shares_of
from evaluation.recommender import NOTHING, Task, coverage, diversity, ndcg, popularity, recall

ITEMS = [f"i{number:02}" for number in range(14)]


def impressions(rows):
    frame = pd.DataFrame(rows, columns=["user", "item", "engaged"]).assign(surface="s", day=0)
    categories = pd.DataFrame({"item": ITEMS, "category": ["even" if n % 2 == 0 else "odd" for n in range(14)]})
    return Impressions(frame, shares_of(frame, categories))


@pytest.fixture
def task():
    train = [("many", item, 1) for item in ITEMS] + [("u", "i00", 1), ("u", "i01", 0)]
    return Task.of(
        impressions(train), impressions([("u", "i02", 1), ("u", "i03", 0), ("u", "i00", 1), ("new", "i02", 1)])
    )


def test_wanted_is_what_was_engaged_with_and_not_shown_before(task):
    assert list(task.users) == ["u"]
    assert list(task.items[task.wanted.toarray()[0] > 0]) == ["i02"]


def test_what_was_shown_is_not_recommended(task):
    best = task.best(np.ones((1, 14), dtype=np.float32))
    assert list(task.items[best[0]]) == ITEMS[2:12]


def test_a_list_that_is_too_short_finds_nothing_where_it_ends(task):
    rows = pd.DataFrame({"user_id": ["u", "u", "other"], "rank": [2, 11, 1], "item_id": ["i02", "i03", "i04"]})
    best = task.listed(rows)
    assert best.tolist() == [[NOTHING, 2, *[NOTHING] * 8]]
    assert ndcg(task, best) == pytest.approx([1 / np.log2(3)])
    assert coverage(task, best) == pytest.approx(1 / 14)


def test_ndcg_and_recall_of_a_hit_at_the_second_place(task):
    scores = np.zeros((1, 14), dtype=np.float32)
    scores[0, [3, 2]] = 2, 1
    best = task.best(scores)
    assert ndcg(task, best) == pytest.approx([1 / np.log2(3)])
    assert recall(task, best) == pytest.approx([1.0])


def test_coverage_and_diversity_of_a_list(task):
    best = task.best(popularity(task))
    assert coverage(task, best) == pytest.approx(10 / 14)
    # Five of each category: 20 of 45 pairs are alike.
    assert diversity(task, best) == pytest.approx(1 - 20 / 45)


def test_category_ctr_prefers_the_category_that_was_liked(task):
    scores = recommender.category_ctr(task)[0]
    assert scores[::2].min() > scores[1::2].max()
