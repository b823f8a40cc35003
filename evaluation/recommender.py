"""docs/evaluation/recommender.md: the product's rankings, beside popularity, category CTR, implicit ALS and EASE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product as pairs

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation import data, neighbours, served, worth
from evaluation.affinity import RESAMPLES, SEED
from evaluation.data import Impressions
from evaluation.metrics import Floats, Interval, Resamples
from evaluation.report import Page
from evaluation.spark import Lake, lake

TOP = 10
KEPT = (5, 20, None)
"""Training ratings kept of each user of ML-100K; None keeps all."""

Scores = NDArray[np.float32]

NOTHING = -1
"""Fills the places of a user's list that have no item. It never counts as found."""


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

    def listed(self, rows: pd.DataFrame) -> NDArray[np.int64]:
        """The first items of each user in ``rows`` (user_id, rank, item_id)."""
        first = rows[rows["rank"] <= TOP]
        row, column = self.users.get_indexer(first["user_id"]), self.items.get_indexer(first["item_id"])
        best = np.full((len(self.users), TOP), NOTHING)
        mine = row >= 0
        best[row[mine], first["rank"].to_numpy()[mine] - 1] = column[mine]
        return best

    def categories(self) -> csr_matrix:
        """Items × categories: shares."""
        shares = self.train.shares.join(self.train.rows["item"], on="row").drop_duplicates(["item", "category"])
        names = pd.Index(sorted(shares["category"].unique()))
        cells = (self.items.get_indexer(shares["item"]), names.get_indexer(shares["category"]))
        return csr_matrix((shares["weight"], cells), shape=(len(self.items), len(names)))

    def category_names(self) -> pd.Index:
        """The names of the columns of :meth:`categories`."""
        return pd.Index(sorted(self.train.shares["category"].unique()))


def popularity(task: Task) -> Scores:
    """The number of engagements, the same for all."""
    count = np.asarray(task.engaged.sum(axis=0)).ravel()
    return np.tile(count, (len(task.users), 1)).astype(np.float32)


def category_ctr(task: Task) -> Scores:
    """The user's raw CTR in the item's categories (if there is none, the average); ties by popularity."""
    shares = task.train.shares.join(task.train.rows[["user", "engaged"]], on="row")
    sums = (
        shares.assign(yes=shares["weight"] * shares["engaged"]).groupby(["user", "category"])[["yes", "weight"]].sum()
    )
    rate = (sums["yes"] / sums["weight"]).unstack().reindex(index=task.users, columns=task.category_names())
    rate = rate.fillna(task.train.rows["engaged"].mean()).to_numpy()
    count = popularity(task)[:1]
    return ((task.categories() @ rate.T).T + 1e-6 * count / count.max()).astype(np.float32)


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
    "popularity": (popularity, [()]),
    "raw category CTR": (category_ctr, [()]),
    "implicit ALS": (als, list(pairs((16, 64), (0.1, 10.0), (1.0, 10.0)))),
    "EASE": (ease, [(50.0,), (300.0,)]),
}
"""The methods that Feedmill's ranking is compared with, and the parameters that are tried on the validation split."""

FEEDMILL = "Feedmill"


def hits(task: Task, best: NDArray[np.int64]) -> Floats:
    """Users × places: 1 if the item in that place was wanted."""
    wanted = np.hstack([task.wanted.toarray(), np.zeros((len(task.users), 1), dtype=np.float32)])
    return np.take_along_axis(wanted, best, axis=1)


def ndcg(task: Task, best: NDArray[np.int64]) -> Floats:
    """NDCG@10 of each user."""
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    count = np.minimum(np.asarray(task.wanted.sum(axis=1)).ravel().astype(int), TOP)
    return hits(task, best) @ discount / np.cumsum(discount)[count - 1]


def recall(task: Task, best: NDArray[np.int64]) -> Floats:
    """Recall@10 of each user."""
    return hits(task, best).sum(axis=1) / np.asarray(task.wanted.sum(axis=1)).ravel()


def coverage(task: Task, best: NDArray[np.int64]) -> float:
    """The share of items that are recommended to anybody."""
    return len(np.unique(best[best != NOTHING])) / len(task.items)


def diversity(task: Task, best: NDArray[np.int64]) -> float:
    """1 − the mean cosine of the categories of two items of one user's list, of users with two items or more."""
    shares = task.categories()
    norm = np.sqrt(np.asarray(shares.multiply(shares).sum(axis=1)).ravel())
    unit = shares.multiply(1 / np.maximum(norm, 1e-9)[:, None]).tocsr()
    found = []
    for row in best:
        mine = unit[row[row != NOTHING]]
        if (count := mine.shape[0]) > 1:
            sums = np.asarray(mine.sum(axis=0)).ravel()
            found.append(((sums @ sums) - count) / (count * (count - 1)))
    return 1 - float(np.mean(found))


@dataclass(frozen=True)
class Split:
    """One data set: training, validation and test, and the groups of users."""

    title: str
    text: str
    train: Impressions
    test: Impressions
    before: Impressions
    """Training impressions of the validation split."""
    validation: Impressions
    edges: tuple[int, ...]
    """The least number of likes of each group of users except the first."""
    has_days: bool

    def groups(self, likes: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
        """Users by how many items they engaged with in training."""
        found = {"all": np.ones(len(likes), dtype=bool)}
        if self.edges:
            for low, high in zip((0, *self.edges), (*self.edges, None), strict=True):
                label = f"{low}–{high - 1} likes" if high else f"{low}+ likes"
                found[label] = (likes >= low) & (likes < (high or np.inf))
        return found


def splits() -> Iterator[Split]:
    """ML-100K with few ratings and with all, and KuaiRand."""
    impressions = data.movielens()
    place, held = data.place_by_time(impressions)
    for kept in KEPT:
        most = np.inf if kept is None else kept
        yield Split(
            f"ML-100K, {'all' if kept is None else kept} training ratings",
            "The last fifth of each user's ratings (by time) is the test, the fifth before it the validation; of those "
            f"before, the latest {'ones are all' if kept is None else kept} kept.",
            impressions.where((place >= held) & (place < held + most)),
            impressions.where(place < held),
            impressions.where((place >= 2 * held) & (place < 2 * held + most)),
            impressions.where((place >= held) & (place < 2 * held)),
            (20, 100) if kept is None else (),
            has_days=False,
        )
    impressions = data.kuairand()
    day = impressions.rows["day"].to_numpy()
    last = int(day.max())
    yield Split(
        "KuaiRand",
        "All days but the last are the training, the last is the test; the last but one the validation. "
        "The recommender of that time chose what a user could engage with, and every ranking is measured "
        "by that here.",
        impressions.where(day < last),
        impressions.where(day == last),
        impressions.where(day < last - 1),
        impressions.where(day == last - 1),
        (2, 6),
        has_days=True,
    )


@dataclass(frozen=True)
class Measured:
    """Lists of every method on one data set, and the chosen parameters."""

    split: Split
    task: Task
    best: Mapping[str, NDArray[np.int64]]
    chosen: Sequence[str]
    constants: Mapping[str, float]
    """NDCG on the validation split by constants of the product, in the NumPy version."""
    agreement: float
    """The share of Feedmill's items that the NumPy version, which knows no affinity and no quota, has too."""

    @classmethod
    def of(cls, split: Split, tables: Lake) -> Measured:
        """Rank."""
        task, trial = Task.of(split.train, split.test), Task.of(split.before, split.validation)
        landed = split.train if split.has_days else served.on_one_day(split.train)
        best = {FEEDMILL: task.listed(served.recommendations(tables, landed))}
        chosen = []
        for name, (method, grid) in GRIDS.items():
            parameters = max(grid, key=lambda each: float(ndcg(trial, trial.best(method(trial, *each))).mean()))
            best[name] = task.best(method(task, *parameters))
            if parameters:
                chosen.append(f"{name} {', '.join(f'{value:g}' for value in parameters)}")
        constants = {
            name: float(ndcg(trial, trial.best(own(trial, values))).mean())
            for name, values in neighbours.VARIANTS.items()
        }
        again = task.best(own(task))
        common = [len(set(mine) & set(other)) for mine, other in zip(best[FEEDMILL], again, strict=True)]
        return cls(split, task, best, chosen, constants, float(np.mean(common)) / TOP)


def own(task: Task, constants: neighbours.Constants = neighbours.PRODUCT) -> Scores:
    """The NumPy version of the product's score, without affinities and quotas."""
    return neighbours.scores(task.train.rows, task.users, task.items, constants)


def run() -> None:
    """Measure and write the page."""
    with lake() as tables:
        measured = []
        for split in splits():
            print(f"recommender on {split.title} …", flush=True)
            measured.append(Measured.of(split, tables))
        print("recommender on the simulated feed …", flush=True)
        known = worth.worths(tables)
    page = Page("recommender", "Recommender: rankings for users")
    page.text(
        f"NDCG@{TOP} and recall@{TOP} of the items that a user engages with in the test and was not shown in training. "
        f"*{FEEDMILL}* is `serving.user_recommendations` as the product's transforms build it in Spark from the "
        "training impressions, quotas and all; its constants are the product's, the same for every data set. "
        "Parameters of the other methods are chosen for each data set by NDCG on a validation split of the training "
        f"data. Intervals: 95 %, bootstrap of users, {RESAMPLES} resamples; differences are paired. Coverage: share of "
        "items that anybody is recommended; diversity: 1 − mean cosine of the categories of two items of a list.",
    )
    sections = [_section(found) for found in measured]
    _verdicts(page, sections)
    for section in sections:
        section.write(page)
    _constants(page, measured)
    _known(page, known)
    print(page.write())


METRICS: Mapping[str, Callable[[Task, NDArray[np.int64]], Floats]] = {f"NDCG@{TOP}": ndcg, f"recall@{TOP}": recall}


@dataclass(frozen=True)
class Section:
    """The figures of one data set."""

    found: Measured
    groups: Mapping[str, int]
    """How many users a group has."""
    values: Mapping[str, Mapping[str, Interval]]
    """metric → method → over all users"""
    differences: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    """metric → other method → group → Feedmill minus the other"""

    def write(self, page: Page) -> None:
        """Its part of the page."""
        task, split = self.found.task, self.found.split
        chosen = "; ".join(self.found.chosen)
        page.head(split.title)
        page.text(
            f"{split.text} {len(task.users):,} users, {len(task.items):,} items. Chosen: {chosen}. "
            f"The NumPy version of the score, without affinities, has {self.found.agreement:.0%} of Feedmill's items."
        )
        page.table(
            ["method", *METRICS, "coverage", "diversity"],
            [
                [
                    name,
                    *(self.values[metric][name].text() for metric in METRICS),
                    f"{coverage(task, best):.1%}",
                    f"{diversity(task, best):.3f}",
                ]
                for name, best in self.found.best.items()
            ],
        )
        for metric, others in self.differences.items():
            page.text(f"**{metric} of {FEEDMILL} minus that of the method**; above 0, {FEEDMILL} is better")
            page.table(
                ["method", *(f"{label} ({count:,} users)" for label, count in self.groups.items())],
                [[name, *(each.text(signed=True) for each in row.values())] for name, row in others.items()],
            )


def _section(found: Measured) -> Section:
    task = found.task
    likes = np.asarray(task.engaged[: len(task.users)].sum(axis=1)).ravel()
    groups = found.split.groups(likes)
    draws = {label: Resamples.draw(int(kept.sum()), RESAMPLES, SEED).weights for label, kept in groups.items()}

    def interval(of_user: Floats, label: str) -> Interval:
        weights = draws[label]
        return Interval.of(weights @ of_user[groups[label]] / weights.sum(axis=1))

    of_user = {
        metric: {name: measure(task, best) for name, best in found.best.items()} for metric, measure in METRICS.items()
    }
    return Section(
        found,
        {label: int(kept.sum()) for label, kept in groups.items()},
        {metric: {name: interval(each, "all") for name, each in row.items()} for metric, row in of_user.items()},
        {
            metric: {
                name: {label: interval(row[FEEDMILL] - each, label) for label in groups}
                for name, each in row.items()
                if name != FEEDMILL
            }
            for metric, row in of_user.items()
        },
    )


def _verdicts(page: Page, sections: Sequence[Section]) -> None:
    """The comparisons in which Feedmill is better, worse, or not distinguishable."""
    page.head("In short")
    page.text(
        f"**+**: {FEEDMILL} is better at 95 %; **−**: the other is; **·**: the interval holds 0. First {TOP} places: "
        f"{', then '.join(METRICS)}."
    )

    def sign(difference: Interval) -> str:
        return "+" if difference.low > 0 else "−" if difference.high < 0 else "·"

    page.table(
        ["data", "users", *GRIDS],
        [
            [
                section.found.split.title,
                f"{label} ({count:,})",
                *(" ".join(sign(section.differences[metric][name][label]) for metric in METRICS) for name in GRIDS),
            ]
            for section in sections
            for label, count in section.groups.items()
        ],
    )


def _constants(page: Page, measured: Sequence[Measured]) -> None:
    page.head("The product's constants")
    page.text(
        f"NDCG@{TOP} on the validation splits, in the NumPy version, which has no affinities: one constant changed at "
        "a time. They are chosen to be good on all, and for sparse users first."
    )
    page.table(
        ["", *(found.split.title for found in measured)],
        [[name, *(f"{found.constants[name]:.4f}" for found in measured)] for name in neighbours.VARIANTS],
    )


def _known(page: Page, known: worth.Worth) -> None:
    page.head("The simulated feed")
    users = len(known.of_method[FEEDMILL])
    page.text(
        "Logs say which of the shown items users engaged with. "
        "In the simulated feed (docs/simulator.md) the truth is "
        f"known: the mean true engagement of the first {TOP} items, relative to that of the average user with the "
        "average item, is what a list is worth. Items share nothing there but categories and the days on which they "
        f"live, so that neighbours have nothing to say. {users:,} users; Feedmill lists {known.listed:.1f} items that "
        "live for the average one."
    )
    draws = Resamples.draw(users, RESAMPLES, SEED).weights

    def interval(values: Floats) -> Interval:
        return Interval.of(draws @ values / draws.sum(axis=1))

    own = known.of_method[FEEDMILL]
    page.table(
        ["method", "worth", f"{FEEDMILL} minus the method"],
        [
            [
                name,
                interval(values).text(digits=3),
                "" if name == FEEDMILL else interval(own - values).text(digits=3, signed=True),
            ]
            for name, values in known.of_method.items()
        ],
    )
