"""docs/evaluation/recommender.md: rankings for users, beside popularity, category CTR, implicit ALS and EASE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product as pairs

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation import credibility, data
from evaluation.affinity import RESAMPLES, SEED
from evaluation.baselines import Known, Rates
from evaluation.data import Impressions
from evaluation.metrics import Floats, Interval, Resamples
from evaluation.report import Page

TOP = 10
KEPT = (5, 20, None)
"""Training ratings kept of each user of ML-100K; None keeps all."""

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """Rank, for each test user, the items of the training data that the user was not shown."""

    train: Impressions
    users: pd.Index
    """Users with training impressions and at least one item to be found."""
    items: pd.Index
    engaged: csr_matrix
    """All training users × items, 1 where engaged; the first rows are ``users``."""
    seen: csr_matrix
    wanted: csr_matrix
    """``users`` × items: what they engaged with in the test."""

    @classmethod
    def of(cls, train: Impressions, test: Impressions) -> Task:
        """Items that the training data does not know cannot be ranked by anybody, and are left out."""
        items = pd.Index(sorted(train.rows["item"].unique()))
        known = set(train.rows["user"])
        later = test.rows[(test.rows["engaged"] == 1) & test.rows["user"].isin(known) & test.rows["item"].isin(items)]
        shown = set(zip(train.rows["user"], train.rows["item"], strict=True))
        fresh = [pair not in shown for pair in zip(later["user"], later["item"], strict=True)]
        later = later[fresh]
        users = pd.Index(sorted(later["user"].unique()))
        everyone = users.append(pd.Index(sorted(known - set(users))))

        def matrix(rows: pd.DataFrame) -> csr_matrix:
            shape = (len(everyone), len(items))
            cells = (everyone.get_indexer(rows["user"]), items.get_indexer(rows["item"]))
            built = csr_matrix((np.ones(len(rows), dtype=np.float32), cells), shape=shape)
            built.data[:] = 1
            return built

        return cls(
            train,
            users,
            items,
            matrix(train.rows[train.rows["engaged"] == 1]),
            matrix(train.rows)[: len(users)],
            matrix(later)[: len(users)],
        )

    def best(self, scores: Scores) -> NDArray[np.int64]:
        """The first items of each user, seen ones left out; ties by the item's place in the alphabet."""
        falling = -scores.astype(np.float64)
        # Far below any difference that a method means.
        falling += np.arange(scores.shape[1]) * 1e-12
        falling[self.seen.nonzero()] = np.inf
        first = np.argpartition(falling, TOP, axis=1)[:, :TOP]
        order = np.argsort(np.take_along_axis(falling, first, axis=1), axis=1)
        return np.take_along_axis(first, order, axis=1)

    def categories(self) -> csr_matrix:
        """Items × categories: shares."""
        shares = self.train.shares.join(self.train.rows["item"], on="row").drop_duplicates(["item", "category"])
        names = pd.Index(sorted(shares["category"].unique()))
        cells = (self.items.get_indexer(shares["item"]), names.get_indexer(shares["category"]))
        return csr_matrix((shares["weight"], cells), shape=(len(self.items), len(names)))

    def category_names(self) -> pd.Index:
        """Of the columns of :meth:`categories`."""
        return pd.Index(sorted(self.train.shares["category"].unique()))


def popularity(task: Task) -> Scores:
    """The number of engagements, the same for all."""
    count = np.asarray(task.engaged.sum(axis=0)).ravel()
    return np.tile(count, (len(task.users), 1)).astype(np.float32)


def category_ctr(task: Task) -> Scores:
    """The user's raw CTR in the item's categories (the average where there is none); ties by popularity."""
    shares = task.train.shares.join(task.train.rows[["user", "engaged"]], on="row")
    sums = (
        shares.assign(yes=shares["weight"] * shares["engaged"]).groupby(["user", "category"])[["yes", "weight"]].sum()
    )
    rate = (sums["yes"] / sums["weight"]).unstack().reindex(index=task.users, columns=task.category_names())
    rate = rate.fillna(task.train.rows["engaged"].mean()).to_numpy()
    count = popularity(task)[:1]
    return ((task.categories() @ rate.T).T + 1e-6 * count / count.max()).astype(np.float32)


def affinity_times_popularity(task: Task, power: float) -> Scores:
    """Affinity × engagements to a power: affinities of the estimator, which the product's tables hold too."""
    rates = Rates(task.train)
    fitted = credibility.fit(Known.of(task.train, rates.of(task.train)))
    own = fitted.affinity.unstack().reindex(index=task.users, columns=task.category_names()).to_numpy()
    means = pd.Series(fitted.user_mean, fitted.users).reindex(task.users).fillna(fitted.mean).to_numpy()
    ratio = np.maximum(np.where(np.isnan(own), means[:, None], own), 0.01)
    count = popularity(task)[:1]
    return ((task.categories() @ ratio.T).T * (count + 0.1) ** power).astype(np.float32)


def als(task: Task, factors: int, regularization: float, alpha: float) -> Scores:
    """Implicit ALS (Hu, Koren & Volinsky 2008) of the library implicit."""
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=factors, regularization=regularization, alpha=alpha, iterations=15, random_state=SEED, num_threads=1
    )
    model.fit(task.engaged, show_progress=False)
    return (model.user_factors[: len(task.users)] @ model.item_factors.T).astype(np.float32)


def ease(task: Task, regularization: float) -> Scores:
    """EASE (Steck 2019) of the library rectools."""
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import EASEModel

    rows, columns = task.engaged.nonzero()
    pairs_ = pd.DataFrame(
        {Columns.User: rows, Columns.Item: columns, Columns.Weight: 1.0, Columns.Datetime: "2026-05-01"}
    )
    dataset = Dataset.construct(pairs_)
    model = EASEModel(regularization=regularization)
    model.fit(dataset)
    known = dataset.item_id_map.external_ids.astype(int)
    scores = np.zeros((len(task.users), len(task.items)), dtype=np.float32)
    scores[:, known] = task.engaged[: len(task.users)][:, known] @ model.weight
    return scores


GRIDS: Mapping[str, tuple[Callable[..., Scores], list[tuple[float, ...]]]] = {
    "affinity × popularity": (affinity_times_popularity, [(0.5,), (1.0,), (2.0,)]),
    "popularity": (popularity, [()]),
    "raw category CTR": (category_ctr, [()]),
    "implicit ALS": (als, list(pairs((16, 64), (0.1, 10.0), (1.0, 10.0)))),
    "EASE": (ease, [(50.0,), (300.0,)]),
}
FEEDMILL = next(iter(GRIDS))


def ndcg(task: Task, best: NDArray[np.int64]) -> Floats:
    """NDCG@10 of each user."""
    hit = np.take_along_axis(task.wanted.toarray(), best, axis=1)
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    count = np.minimum(np.asarray(task.wanted.sum(axis=1)).ravel().astype(int), TOP)
    return hit @ discount / np.cumsum(discount)[count - 1]


def recall(task: Task, best: NDArray[np.int64]) -> Floats:
    """Recall@10 of each user."""
    hit = np.take_along_axis(task.wanted.toarray(), best, axis=1)
    return hit.sum(axis=1) / np.asarray(task.wanted.sum(axis=1)).ravel()


def coverage(task: Task, best: NDArray[np.int64]) -> float:
    """The share of items that are recommended to anybody."""
    return len(np.unique(best)) / len(task.items)


def diversity(task: Task, best: NDArray[np.int64]) -> float:
    """1 − the mean cosine of the categories of two items of one user's list."""
    shares = task.categories()
    norm = np.sqrt(np.asarray(shares.multiply(shares).sum(axis=1)).ravel())
    unit = shares.multiply(1 / np.maximum(norm, 1e-9)[:, None]).tocsr()
    total = 0.0
    for row in best:
        sums = np.asarray(unit[row].sum(axis=0)).ravel()
        total += ((sums @ sums) - TOP) / (TOP * (TOP - 1))
    return 1 - total / len(best)


def run() -> None:
    """Measure and write the page."""
    page = Page("recommender", "Recommender: rankings for users")
    page.text(
        f"NDCG@{TOP} and recall@{TOP} of the items that a user engages with in the test and was not shown in training. "
        "Parameters of each method are chosen by NDCG on a validation split of the training data. Intervals: bootstrap "
        f"of users, {RESAMPLES} resamples; differences are paired. Coverage: share of items that anybody is "
        "recommended; diversity: 1 − mean cosine of the categories of two items of a list.",
        f"`serving.user_recommendations` is not in the map. *{FEEDMILL}* is the plainest ranking from the estimator of "
        "features.user_category_affinity (its NumPy version): affinity of the item's categories × engagements of the "
        "item to a power, which is chosen as the others' parameters are.",
    )
    impressions = data.movielens()
    place, held = data.place_by_time(impressions)
    for kept in KEPT:
        label = "all" if kept is None else str(kept)
        print(f"recommender on ML-100K, {label} ratings …", flush=True)
        most = np.inf if kept is None else kept
        _section(
            page,
            f"ML-100K, {label} training ratings",
            "The last fifth of each user's ratings (by time) is the test, the fifth before it the validation; of those "
            f"before, the latest {'ones are all' if kept is None else kept} kept.",
            impressions.where((place >= held) & (place < held + most)),
            impressions.where(place < held),
            impressions.where((place >= 2 * held) & (place < 2 * held + most)),
            impressions.where((place >= held) & (place < 2 * held)),
            (20, 100) if kept is None else (),
        )
    print("recommender on KuaiRand …", flush=True)
    impressions = data.kuairand()
    day = impressions.rows["day"].to_numpy()
    last = int(day.max())
    _section(
        page,
        "KuaiRand",
        "All days but the last are the training, the last is the test; the last but one the validation. What a user "
        "could engage with was chosen by the recommender of the time, which every ranking is measured by here.",
        impressions.where(day < last),
        impressions.where(day == last),
        impressions.where(day < last - 1),
        impressions.where(day == last - 1),
        (2, 6),
    )
    print(page.write())


def _section(
    page: Page,
    title: str,
    text: str,
    train: Impressions,
    test: Impressions,
    before: Impressions,
    validation: Impressions,
    edges: tuple[int, ...],
) -> None:
    task, trial = Task.of(train, test), Task.of(before, validation)
    values: dict[str, tuple[Floats, Floats, float, float]] = {}
    chosen = []
    for name, (method, grid) in GRIDS.items():
        parameters = max(grid, key=lambda each: float(ndcg(trial, trial.best(method(trial, *each))).mean()))
        best = task.best(method(task, *parameters))
        values[name] = (ndcg(task, best), recall(task, best), coverage(task, best), diversity(task, best))
        if parameters:
            chosen.append(f"{name} {', '.join(f'{value:g}' for value in parameters)}")
    likes = np.asarray(task.engaged[: len(task.users)].sum(axis=1)).ravel()
    groups = {"all": np.ones(len(likes), dtype=bool)}
    for low, high in zip((0, *edges), (*edges, None), strict=True) if edges else ():
        label = f"{low}–{high - 1}" if high else f"{low}+"
        groups[f"{label} likes"] = (likes >= low) & (likes < (high or np.inf))
    page.head(title)
    page.text(f"{text} {len(task.users):,} users, {len(task.items):,} items. Chosen: {'; '.join(chosen)}.")
    draws = {label: Resamples.draw(int(kept.sum()), RESAMPLES, SEED).weights for label, kept in groups.items()}

    def mean(of_user: Floats, label: str) -> Floats:
        weights = draws[label]
        return weights @ of_user[groups[label]] / weights.sum(axis=1)

    page.table(
        ["method", f"NDCG@{TOP}", f"recall@{TOP}", "coverage", "diversity"],
        [
            [
                name,
                Interval.of(mean(found[0], "all")).text(),
                Interval.of(mean(found[1], "all")).text(),
                f"{found[2]:.1%}",
                f"{found[3]:.3f}",
            ]
            for name, found in values.items()
        ],
    )
    page.text(f"**NDCG@{TOP} of the method minus that of {FEEDMILL}**; below 0, {FEEDMILL} is better")
    page.table(
        ["method", *(f"{label} ({int(kept.sum()):,} users)" for label, kept in groups.items())],
        [
            [
                name,
                *(Interval.of(mean(found[0] - values[FEEDMILL][0], label)).text(signed=True) for label in groups),
            ]
            for name, found in values.items()
            if name != FEEDMILL
        ],
    )
