"""docs/evaluation/affinity.md: how well affinities predict engagement, beside counts and a mixed logistic model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation import baselines, credibility, data, metrics, product
from evaluation import simulated as simulations
from evaluation import truth as agreement
from evaluation.baselines import Known, Rates
from evaluation.data import Impressions
from evaluation.metrics import Floats, Interval, Resamples
from evaluation.report import COLOURS, Page, axes
from evaluation.spark import Lake, lake

RESAMPLES, SEED = 1000, 20260501

FEEDMILL = "Feedmill"
RATES = "baseline rates alone"
COUNTS = ("smoothed user CTR", "user CTR, fitted Beta", "smoothed user × category CTR", "Gamma–Poisson")
"""The count-based estimates. Feedmill's must not be worse than any of them."""
MIXED = "mixed logistic model"

METRICS: Mapping[str, Callable[..., Floats]] = {
    "log loss": metrics.log_loss,
    "AUC": metrics.auc,
    "within-user AUC": metrics.within_user_auc,
}

ACTIVITY = ("0", "1–2", "3–9", "10+")
"""Groups of users by their training impressions."""

KEPT = (3, 10, 50, None)
"""Training ratings kept of each user of ML-100K; None keeps all."""

HALF_LIVES = (1, 3, 7, 14, 28, 56, None)
"""Days; None weighs all days alike."""

TESTED = 14
"""Days of the simulated feed that are predicted with each half-life."""

KUAIRAND_LAST = 5
"""The last of KuaiRand's days, which are numbered from 0."""


@dataclass(frozen=True)
class Split:
    """Training and test impressions, and the predictions of each method for the test impressions."""

    train: Known
    test: Known
    predicted: dict[str, Floats]

    @property
    def user(self) -> np.ndarray:
        """The user's number of each test impression."""
        return self._users()[0]

    def _users(self) -> tuple[np.ndarray, int]:
        first = self.test.shares.drop_duplicates("row").sort_values("row")["user"]
        numbers, names = first.factorize()
        return numbers, len(names)

    def scores(self, rows: np.ndarray | None = None) -> dict[str, dict[str, Floats]]:
        """method → metric → its values, resampled by user, over the test impressions that ``rows`` marks."""
        numbers, _ = self._users()
        kept = np.ones(len(numbers), dtype=bool) if rows is None else rows
        user = np.unique(numbers[kept], return_inverse=True)[1]
        users = int(user.max()) + 1
        resamples = Resamples.draw(users, RESAMPLES, SEED)
        engaged = self.test.engaged[kept]
        return {
            method: {name: metric(engaged, predicted[kept], user, users, resamples) for name, metric in METRICS.items()}
            for method, predicted in self.predicted.items()
        }


def known(train: Impressions, test: Impressions) -> tuple[Known, Known]:
    """Training and test impressions with the expected rates, which come from the training impressions."""
    rates = Rates(train)
    return Known.of(train, rates.of(train)), Known.of(test, rates.of(test))


def estimated(tables: Lake, train: Impressions, test: Impressions) -> tuple[Floats, str]:
    """Feedmill's probabilities for the test impressions, and a text on the fit and its agreement with NumPy."""
    rates = Rates(train)
    reference = credibility.fit(Known.of(train, rates.of(train))).predict(Known.of(test, rates.of(test)))
    made = product.Affinities(tables, train)
    known = Known.of(test, made.expected(test))
    predicted = made.predict(known)
    fit = made.fit
    return predicted, (
        f"{FEEDMILL}'s probabilities are made by the product's transforms in Spark; their first day is not "
        "evidence, because no earlier day gives it an expectation. Fitted of all users: mean "
        f"{fit['mean_affinity']:.3f}, and {fit['activity_slope']:+.3f} for each unit of the logarithm of a user's "
        f"impressions; user variance {fit['user_variance']:.3f}, category variance {fit['category_variance']:.3f}. The "
        "NumPy version of the estimator, whose expected rates are counted from the very impressions that they predict, "
        f"differs by {np.abs(predicted - reference).mean():.4f} on average and has a log loss of "
        f"{metrics.losses(known.engaged, reference).mean():.4f}."
    )


def compared(train: Known, test: Known, validation: tuple[Known, Known]) -> tuple[dict[str, Floats], list[str]]:
    """The predictions of each compared method, and the parameters that were chosen on the validation split."""
    strengths = [(value,) for value in baselines.STRENGTHS]
    user, _ = baselines.best(baselines.user_ctr, *validation, strengths)
    category, _ = baselines.best(baselines.user_category_ctr, *validation, strengths)
    keys, _ = baselines.best(baselines.gamma_poisson, *validation, [(["user"],), (["user", "category"],)])
    mixed, _ = baselines.best(baselines.mixed_logistic, *validation, list(baselines.VARIANCES))
    predicted = {
        RATES: test.baseline,
        COUNTS[0]: baselines.user_ctr(train, test, *user),
        COUNTS[1]: baselines.beta_binomial(train, test),
        COUNTS[2]: baselines.user_category_ctr(train, test, *category),
        COUNTS[3]: baselines.gamma_poisson(train, test, *keys),
        MIXED: baselines.mixed_logistic(train, test, *mixed),
    }
    chosen = [
        f"user CTR + {user[0]:g} impressions",
        f"user × category CTR + {category[0]:g}",
        f"Gamma–Poisson by {' × '.join(keys[0])}",
        f"mixed model with variances {mixed[0]:g} (user) and {mixed[1]:g} (user × category)",
    ]
    return predicted, chosen


def run() -> None:
    """Measure and write the page."""
    page = Page("affinity", "Affinity: predicting engagement")
    page.text(
        "Each method gives every test impression a probability that it is engaged. Intervals are the middle 95 % of "
        f"{RESAMPLES} bootstrap resamples of users; differences are paired, on the same resamples. Strengths and "
        "variances of the compared methods are chosen on a validation split of the training data, never on the test. "
        f"*{FEEDMILL}* is expected rate × affinity. "
        "Within-user AUC weights each user's AUC by impressions; a method that ranks all items of a user "
        "alike gets 0.5.",
    )
    with lake() as tables:
        kuairand(page, tables)
        movielens(page, tables)
        simulated(page, tables)
        half_lives(page, tables)
    print(page.write())


def kuairand(page: Page, tables: Lake) -> None:
    """Train on the first days, predict the last."""
    print("affinity on KuaiRand …", flush=True)
    impressions = data.kuairand()
    day = impressions.rows["day"].to_numpy()
    last = int(day.max())
    train, test = known(impressions.where(day < last), impressions.where(day == last))
    validation = known(impressions.where(day < last - 1), impressions.where(day == last - 1))
    predicted, chosen = compared(train, test, validation)
    own, agreement = estimated(tables, impressions.where(day < last), impressions.where(day == last))
    predicted = {FEEDMILL: own, **predicted}
    split = Split(train, test, predicted)

    first = test.shares.drop_duplicates("row").sort_values("row")["user"]
    before = first.map(train.shares.drop_duplicates("row")["user"].value_counts()).fillna(0).to_numpy()
    group = np.digitize(before, [1, 3, 10])
    scores = {"all": split.scores()}
    for number, label in enumerate(ACTIVITY):
        scores[label] = split.scores(group == number)

    page.head("KuaiRand")
    page.text(
        f"Trained on all days but the last ({train.rows:,} impressions), tested on the last ({test.rows:,} impressions "
        f"of {first.nunique():,} users; Beijing days). Chosen on the last day but one: {'; '.join(chosen)}. "
        f"Of the training impressions {train.engaged.mean():.1%} are engaged, of the last day's "
        f"{test.engaged.mean():.1%}.",
        agreement,
    )
    page.table(*_absolute(scores["all"]))
    sizes = [f"{label} ({int((group == number).sum()):,})" for number, label in enumerate(ACTIVITY)]
    for name in ("log loss", "AUC"):
        page.text(_difference_title(name, "by training impressions of the user (test impressions in brackets)"))
        page.table(*_differences(scores, name, ["all", *sizes]))
    page.text(_verdict({"overall": scores["all"], **{f"{label} impressions": scores[label] for label in ACTIVITY}}))
    _reliability(page, "kuairand", split)


def movielens(page: Page, tables: Lake) -> None:
    """A fifth of each user's ratings is the test. Some of the others are kept for training."""
    impressions = data.movielens()
    generator = np.random.default_rng(SEED)
    rows = impressions.rows.assign(draw=generator.random(len(impressions.rows)))
    place = rows.groupby("user")["draw"].rank(method="first").to_numpy() - 1
    count = rows.groupby("user")["user"].transform("size").to_numpy()
    held = np.floor(count * 0.2)
    test_rows, validation_rows = place < held, (place >= held) & (place < 2 * held)
    scores, chosen_lines = {}, []
    for kept in KEPT:
        label = "all" if kept is None else str(kept)
        print(f"affinity on ML-100K, {label} ratings …", flush=True)
        most = np.inf if kept is None else kept
        kept_rows, held_rows = impressions.where((place >= held) & (place < held + most)), impressions.where(test_rows)
        train, test = known(kept_rows, held_rows)
        validation = known(
            impressions.where((place >= 2 * held) & (place < 2 * held + most)), impressions.where(validation_rows)
        )
        predicted, chosen = compared(train, test, validation)
        own, agreement = estimated(tables, _twice(kept_rows), held_rows)
        split = Split(train, test, {FEEDMILL: own, **predicted})
        scores[label] = split.scores()
        chosen_lines.append(f"{label} ratings: {'; '.join(chosen)}")
        if kept is None:
            last = split
    page.head("ML-100K")
    page.text(
        f"A rating is an impression, {data.LIKED} and 5 are engaged, genres are categories in equal parts. A random "
        "fifth of each user's ratings "
        "is the test, another fifth the validation. Of the other ratings, 3, 10, 50 or all are kept for "
        "training, expected rates included.",
        "There are no days. For the product's tables, which predict a day's impressions from those before it, the "
        f"training ratings stand on two days: the first gives the expected rates of the second. Of all ratings: "
        f"{agreement}",
        "Chosen on the validation split: " + ". ".join(chosen_lines) + ".",
    )
    for name in METRICS:
        page.text(f"**{name}**, by ratings kept")
        labels = list(scores)
        page.table(
            ["method", *labels],
            [
                [method, *(Interval.of(scores[label][method][name]).text() for label in labels)]
                for method in scores["all"]
            ],
        )
    for name in ("log loss", "within-user AUC"):
        page.text(_difference_title(name, "by ratings kept"))
        page.table(*_differences(scores, name, list(scores)))
    page.text(_verdict({f"{label} ratings": of for label, of in scores.items()}))
    _reliability(page, "movielens", last)


def simulated(page: Page, tables: Lake) -> None:
    """Estimated ratios of user × category beside the simulator's truth."""
    print("affinity on the simulator …", flush=True)
    feed = simulations.FEED
    made = product.SimulatedAffinities(tables)
    categories = sorted(made.truth["category"].unique())
    users = sorted(made.affinity["user_id"].unique())
    grid = pd.MultiIndex.from_product([users, categories], names=["user_id", "category"])
    truth = made.truth.set_index(["user_id", "category"])["ratio"].reindex(grid).to_numpy()
    user = np.repeat(np.arange(len(users)), len(categories))
    shown = made.evidence.groupby("user_id")["impressions"].sum().reindex(users).fillna(0).to_numpy()
    estimates = {f"{FEEDMILL}, {name}": made.ratios(grid, name) for name in ("long", "short")}
    estimates |= _count_ratios(made.evidence, grid, user, truth)

    page.head("Simulator")
    page.text(
        f"A simulated feed of {feed.days} days, {feed.users:,} users and {feed.events_per_day:,} impressions a day "
        f"(seed {feed.seed}; docs/simulator.md), whose last day's true ratios of user × category are known for all "
        f"{len(categories)} categories, shown or not. Users with at least one impression that had an expectation: "
        f"{len(users):,}. Within users: after the mean of each user is taken out of both sides. The strength of the "
        "smoothed estimates is the one that correlates best with the truth, in hindsight, in their favour."
    )
    groups = {
        "all": shown >= 0,
        "under 10": shown < 10,
        "10 to 99": (shown >= 10) & (shown < 100),
        "100+": shown >= 100,
    }
    for title, how in (("Rank correlation with the truth", False), ("Rank correlation within users", True)):
        rows = []
        for name, estimate in estimates.items():
            cells = []
            for chosen in groups.values():
                kept = chosen[user]
                member = np.unique(user[kept], return_inverse=True)[1]
                members = int(chosen.sum())
                resamples = Resamples.draw(members, RESAMPLES, SEED)
                x, y = estimate[kept], truth[kept]
                if how:
                    x, y = agreement.centred(x, member, members), agreement.centred(y, member, members)
                cells.append(Interval.of(agreement.spearman(x, y, member, members, resamples)).text(3))
            rows.append([name, *cells])
        page.text(f"**{title}**, by impressions of the user")
        page.table(["estimate", *(f"{label} ({int(chosen.sum()):,} users)" for label, chosen in groups.items())], rows)
    resamples = Resamples.draw(len(users), RESAMPLES, SEED)
    slopes = {
        name: Interval.of(agreement.slope(estimate, truth, user, len(users), resamples)).text(2)
        for name, estimate in estimates.items()
    }
    page.text("**Slope of the truth on the estimate**; 1 is calibrated, below 1 the estimate exaggerates")
    page.table(["estimate", "slope"], list(map(list, slopes.items())))
    page.text(
        "The truth is a user's ratio for the average live item. The log is about the items that policies "
        "show. Users engage with these so often that a taste adds less to their rate. The log itself shows "
        "this of users and categories, by their true ratio:"
    )
    page.table(*_seen_by_truth(made))


def half_lives(page: Page, tables: Lake) -> None:
    """The log loss for each half-life of the evidence, by the NumPy version, over the same impressions."""
    print("half-lives on the simulator and on KuaiRand …", flush=True)
    feed = simulations.DRIFTING
    found = product.simulated_impressions(tables, feed)
    days = range(feed.days - TESTED, feed.days)
    impressions = data.kuairand()
    rates = Rates(impressions.where(impressions.rows["day"].to_numpy() < KUAIRAND_LAST))
    logs = {
        f"simulator, {TESTED} days": (found, days),
        "KuaiRand, last day": (Known.of(impressions, rates.of(impressions)), range(KUAIRAND_LAST, KUAIRAND_LAST + 1)),
    }
    page.head("Half-lives")
    page.text(
        "This is how well affinities predict a day from all days before it, each weighted by its age. "
        f"The simulated feed has "
        f"{feed.days} days, {feed.users:,} users and {feed.events_per_day:,} impressions a day (seed {feed.seed}), the "
        f"product's expected rates, and tastes that drift and switch; each of its last {TESTED} days is predicted. The "
        "estimator is the NumPy version, as one segment. In brackets: the log loss less that of 28 days, paired."
    )
    rows = [["none" if life is None else f"{life:g} days"] for life in HALF_LIVES]
    for known, tested in logs.values():
        losses = [_losses_by_day(known, tested, life) for life in HALF_LIVES]
        user = losses[0]["user"].factorize()[0]
        users = int(user.max()) + 1
        resamples = Resamples.draw(users, RESAMPLES, SEED)
        one = metrics.by_user(np.ones(len(user)), user, users)
        means = [
            metrics.ratio_of_sums(metrics.by_user(of["loss"].to_numpy(), user, users), one, resamples) for of in losses
        ]
        long = means[HALF_LIVES.index(28)]
        for row, mean in zip(rows, means, strict=True):
            row.append(f"{mean[0]:.5f} ({Interval.of(mean - long).text(5, signed=True)})")
    page.table(["half-life", *logs], rows)


def _losses_by_day(known: Known, days: Iterable[int], life: float | None) -> pd.DataFrame:
    """The user and the loss of each impression of these days, predicted from the days before."""
    result = []
    for day in days:
        train, test = known.where(known.shares["day"] < day), known.where(known.shares["day"] == day)
        age = day - 1 - train.shares["day"].to_numpy()
        fitted = credibility.fit(train, 1.0 if life is None else 0.5 ** (age / life))
        user = test.shares.drop_duplicates("row").sort_values("row")["user"]
        loss = metrics.losses(test.engaged, np.minimum(fitted.predict(test), 1.0))
        result.append(pd.DataFrame({"user": user.to_numpy(), "loss": loss}))
    return pd.concat(result, ignore_index=True)


def _seen_by_truth(made: product.SimulatedAffinities) -> tuple[list[str], list[list[str]]]:
    """Observed / expected of the users and categories in each range of true ratios."""
    cells = made.evidence.merge(made.truth, on=["user_id", "category"]).astype({"observed": float, "expected": float})
    edges = [0, 0.5, 1, 2, 4, np.inf]
    of = cells.assign(true=cells["ratio"] * cells["expected"]).groupby(pd.cut(cells["ratio"], edges), observed=True)
    sums = of[["observed", "expected", "true"]].sum()
    return ["true ratio", *(f"{interval.left:g} to {interval.right:g}" for interval in sums.index)], [
        ["mean, as it was shown", *(f"{value:.2f}" for value in sums["true"] / sums["expected"])],
        ["observed by expected", *(f"{value:.2f}" for value in sums["observed"] / sums["expected"])],
    ]


def _count_ratios(evidence: pd.DataFrame, grid: pd.MultiIndex, user: np.ndarray, truth: Floats) -> dict[str, Floats]:
    """The count-based estimates as ratios to the average."""
    cells = evidence.set_index(["user_id", "category"])[["impressions", "engaged", "observed", "expected"]]
    cells = cells.reindex(grid).fillna(0).astype(float)
    totals = cells.groupby(level=0, sort=False).transform("sum")
    average = cells["engaged"].sum() / cells["impressions"].sum()
    members = int(user.max()) + 1
    once = Resamples(np.ones((1, members)))

    def best(sums: pd.DataFrame) -> Floats:
        tried = [
            ((sums["engaged"] + k * average) / ((sums["impressions"] + k) * average)).to_numpy()
            for k in (*baselines.STRENGTHS, 100.0, 200.0)
        ]
        return max(tried, key=lambda values: agreement.spearman(values, truth, user, members, once)[0])

    shown = cells["expected"] > 0
    a, b = baselines.gamma_prior(cells["observed"][shown].to_numpy(), cells["expected"][shown].to_numpy())
    return {
        "smoothed user CTR": best(totals),
        "smoothed user × category CTR": best(cells),
        "Gamma–Poisson, user × category": ((a + cells["observed"]) / (b + cells["expected"])).to_numpy(),
    }


def _twice(impressions: Impressions) -> Impressions:
    """The same impressions twice: on day 0, for the expected rates, and on day 1, as evidence."""
    rows = pd.concat([impressions.rows, impressions.rows.assign(day=1)], ignore_index=True)
    again = impressions.shares.assign(row=impressions.shares["row"] + len(impressions.rows))
    return Impressions(rows, pd.concat([impressions.shares, again], ignore_index=True))


def _absolute(scores: Mapping[str, Mapping[str, Floats]]) -> tuple[list[str], list[list[str]]]:
    return ["method", *METRICS], [
        [method, *(Interval.of(values[name]).text() for name in METRICS)] for method, values in scores.items()
    ]


def _difference_title(name: str, groups: str) -> str:
    better = "above 0" if name == "log loss" else "below 0"
    return f"**{name} of the method minus that of {FEEDMILL}**, {groups}; {better}, {FEEDMILL} is better"


def _differences(
    scores: Mapping[str, Mapping[str, Mapping[str, Floats]]], name: str, titles: list[str]
) -> tuple[list[str], list[list[str]]]:
    methods = [method for method in next(iter(scores.values())) if method != FEEDMILL]
    return ["method", *titles], [
        [
            method,
            *(Interval.of(group[method][name] - group[FEEDMILL][name]).text(signed=True) for group in scores.values()),
        ]
        for method in methods
    ]


def _verdict(scores: Mapping[str, Mapping[str, Mapping[str, Floats]]]) -> str:
    """The comparisons in which Feedmill's log loss is worse than a count-based method's at 95 %, or better."""
    worse, even, better = [], [], []
    for label, group in scores.items():
        for method in (RATES, *COUNTS):
            difference = Interval.of(group[method]["log loss"] - group[FEEDMILL]["log loss"])
            where = better if difference.low > 0 else worse if difference.high < 0 else even
            where.append(f"{method} ({label})")
    sentence = f"At 95 %, the log loss of {FEEDMILL} is better than a count-based method's in {len(better)} of "
    sentence += f"{len(better) + len(worse) + len(even)} comparisons, worse in {len(worse)}"
    sentence += f": {', '.join(worse)}." if worse else "."
    if even:
        sentence += f" Not told apart: {', '.join(even)}."
    return sentence


def _reliability(page: Page, name: str, split: Split, bins: int = 15) -> None:
    """Predicted and observed share of engaged impressions, in bins of equal size."""
    drawn = axes()
    engaged = split.test.engaged
    drawn.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    for colour, method in zip(COLOURS, (FEEDMILL, RATES, MIXED), strict=False):
        predicted = split.predicted[method]
        order = np.array_split(np.argsort(predicted, kind="stable"), bins)
        mean = [float(predicted[rows].mean()) for rows in order]
        share = np.array([float(engaged[rows].mean()) for rows in order])
        error = [1.96 * np.sqrt(p * (1 - p) / len(rows)) for p, rows in zip(share, order, strict=True)]
        drawn.errorbar(mean, share, yerr=error, color=colour, marker="o", markersize=4, linewidth=1.2, label=method)
    drawn.set_xlabel("predicted")
    drawn.set_ylabel("observed")
    drawn.legend(frameon=False)
    level, slope = calibration(split)
    page.plot(
        f"reliability-{name}",
        drawn,
        f"Predicted and observed share of engaged impressions, in {bins} bins of equal size. A logistic regression of "
        f"the outcome on {FEEDMILL}'s log odds has the slope {slope.text(2)} and, with the slope kept at 1, the "
        f"intercept {level.text(3, signed=True)}; calibrated is 1 and 0.",
    )


def calibration(split: Split) -> tuple[Interval, Interval]:
    """Intercept (slope kept at 1) and slope of the outcome on Feedmill's log odds, resampled by user (Cox 1958)."""
    engaged, user = split.test.engaged, split.user
    odds = np.clip(split.predicted[FEEDMILL], 0.01, 0.99)
    odds = np.log(odds / (1 - odds))
    resamples = Resamples.draw(int(user.max()) + 1, 200, SEED)
    levels, slopes = [], []
    for weights in resamples.weights:
        weight = weights[user]
        level, slope, alone = 0.0, 1.0, 0.0
        for _ in range(6):
            p = 1 / (1 + np.exp(-(level + slope * odds)))
            rest, curve = weight * (engaged - p), weight * p * (1 - p)
            hessian = np.array([[curve.sum(), (curve * odds).sum()], [(curve * odds).sum(), (curve * odds**2).sum()]])
            step = np.linalg.solve(hessian, [rest.sum(), (rest * odds).sum()])
            level, slope = level + step[0], slope + step[1]
            p = 1 / (1 + np.exp(-(alone + odds)))
            alone += (weight * (engaged - p)).sum() / (weight * p * (1 - p)).sum()
        levels.append(alone)
        slopes.append(slope)
    return Interval.of(np.array(levels)), Interval.of(np.array(slopes))
