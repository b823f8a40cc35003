"""The NumPy version of neighbours and scores, term by term."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from evaluation.neighbours import PRODUCT, pairs, scores, strongest

HISTORIES = np.array([*[[1, 1, 0, 0]] * 5, *[[0, 0, 1, 1]] * 5, [1, 0, 0, 1], [1, 1, 1, 0], [0, 1, 0, 0]])


def test_expected_and_variance_are_sums_over_all_pairs_of_items():
    found = pairs(csr_matrix(HISTORIES))
    users = HISTORIES.sum(axis=0)
    together = {(i, j): HISTORIES[:, i] @ HISTORIES[:, j] for i, j in combinations(range(4), 2)}
    per_pair = sum(together.values()) / sum(users[i] * users[j] for i, j in together)
    expected = {(i, j): per_pair * users[i] * users[j] for i, j in together}
    above = sum((together[pair] - e) ** 2 - together[pair] for pair, e in expected.items())
    assert found.variance > 0
    assert found.variance == pytest.approx(above / sum(e * e for e in expected.values()))
    for i, j, o, e in zip(found.item, found.other, found.together, found.expected, strict=True):
        assert o == together[min(i, j), max(i, j)]
        assert e == pytest.approx(expected[min(i, j), max(i, j)])


def test_the_strongest_are_kept_of_each_item():
    found = pairs(csr_matrix(HISTORIES))
    kept = strongest(found, HISTORIES.sum(axis=0).astype(float), 1)
    assert kept.getnnz(axis=1).tolist() == [1, 1, 1, 1]
    assert kept.indices.tolist() == [1, 0, 3, 2]


def test_a_score_is_the_root_of_engagements_times_one_and_the_user_s_lifts_by_their_place():
    users, items = pd.Index(["a", "new"]), pd.Index(["i", "j", "k", "l"])
    rows = [(f"u{row}", items[column], 1) for row, column in zip(*HISTORIES.nonzero(), strict=True)]
    rows += [("a", "k", 1), ("a", "i", 1), ("a", "j", 0), ("new", "i", 0)]
    train = pd.DataFrame(rows, columns=["user", "item", "engaged"])
    found = scores(train, users, items)
    histories = np.vstack([HISTORIES, [1, 0, 1, 0]])
    count = histories.sum(axis=0)
    lifts = strongest(pairs(csr_matrix(histories)), count.astype(float), PRODUCT.kept).toarray()
    older = 0.5 ** (1 / PRODUCT.half_life)
    assert found[0] == pytest.approx(np.sqrt(count) * (1 + lifts[0] + older * lifts[2]), rel=1e-6)
    assert found[1] == pytest.approx(np.sqrt(count), rel=1e-6)
