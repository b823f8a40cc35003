"""The methods that the affinity is compared with: count-based estimates, and a mixed logistic model.

Each takes training impressions with the average user's expected rates (``Known``), and gives the probability that each
test impression is engaged. An impression of several categories counts in each with its share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, logit

from evaluation.data import Impressions
from evaluation.metrics import Floats, losses

SMOOTHING = 20.0
"""How many impressions of its parent smooth a cell of :func:`expected_rates`."""

STRENGTHS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Strengths that are tried on the validation split, for every estimate that adds impressions of the average."""

VARIANCES = ((0.2, 0.05), (0.5, 0.05), (0.5, 0.2), (1.0, 0.2))
"""Variances of the mixed logistic model's effects (user, user × category) that are tried on the validation split."""


@dataclass(frozen=True)
class Known:
    """Impressions as one row per impression and category, with the expected rate of each."""

    shares: pd.DataFrame
    """row, user, surface, day, category, weight, engaged, expected"""
    rows: int

    @classmethod
    def of(cls, impressions: Impressions, expected: Floats) -> Known:
        """``expected``: one rate for each row of ``impressions.shares``."""
        wide = impressions.rows[["user", "surface", "day", "engaged"]]
        shares = impressions.shares.join(wide, on="row")
        return cls(shares.assign(expected=expected), len(impressions.rows))

    def where(self, keep: pd.Series) -> Known:
        """The impressions whose shares ``keep`` marks. It marks all shares of an impression, or none."""
        kept = self.shares[keep]
        rows, names = pd.factorize(kept["row"])
        return Known(kept.assign(row=rows), len(names))

    def summed(self, values: Floats) -> Floats:
        """The sum over an impression's categories of share × value."""
        return np.bincount(self.shares["row"], weights=self.shares["weight"] * values, minlength=self.rows)

    @property
    def engaged(self) -> Floats:
        """0 or 1 for each impression."""
        return self.summed(self.shares["engaged"].to_numpy(dtype=float))

    @property
    def baseline(self) -> Floats:
        """The average user's rate for each impression."""
        return self.summed(self.shares["expected"].to_numpy())


class Rates:
    """The engagement rate by surface and category: a cell is smoothed with its surface, that with all."""

    def __init__(self, train: Impressions) -> None:
        shares = train.shares.join(train.rows[["surface", "engaged"]], on="row")
        shares["yes"] = shares["weight"] * shares["engaged"]
        self.all = float(train.rows["engaged"].mean())
        surface = shares.groupby("surface")[["weight", "yes"]].sum()
        self.surface = (surface["yes"] + SMOOTHING * self.all) / (surface["weight"] + SMOOTHING)
        cell = shares.groupby(["surface", "category"])[["weight", "yes"]].sum()
        parent = self.surface.reindex(cell.index.get_level_values("surface")).to_numpy()
        self.cell = (cell["yes"] + SMOOTHING * parent) / (cell["weight"] + SMOOTHING)

    def of(self, impressions: Impressions) -> Floats:
        """The rate of each row of ``impressions.shares``. A cell that was never seen takes its parent's."""
        shares = impressions.shares.join(impressions.rows["surface"], on="row")
        found = self.cell.reindex(pd.MultiIndex.from_frame(shares[["surface", "category"]])).to_numpy()
        parent = self.surface.reindex(shares["surface"]).to_numpy()
        return np.where(np.isnan(found), np.where(np.isnan(parent), self.all, parent), found)


def user_ctr(train: Known, test: Known, strength: float) -> Floats:
    """Clicks / impressions of the user, with ``strength`` impressions of the average added."""
    return _smoothed(train, test, ["user"], strength)


def user_category_ctr(train: Known, test: Known, strength: float) -> Floats:
    """Clicks / impressions of the user in the category, with ``strength`` impressions of the average added."""
    return _smoothed(train, test, ["user", "category"], strength)


def _smoothed(train: Known, test: Known, keys: list[str], strength: float) -> Floats:
    average = float(train.engaged.mean())
    sums = _sums(train, keys)
    rate = (sums["yes"] + strength * average) / (sums["weight"] + strength)
    return test.summed(_looked_up(rate, test, keys, average))


def gamma_poisson(train: Known, test: Known, keys: list[str]) -> Floats:
    """Expected rate × (a + O) / (b + E): the posterior mean of a Poisson rate whose Gamma(a, b) prior is fitted."""
    sums = _sums(train, keys)
    a, b = gamma_prior(sums["yes"].to_numpy(), sums["expected"].to_numpy())
    ratio = (a + sums["yes"]) / (b + sums["expected"])
    return test.summed(test.shares["expected"].to_numpy() * _looked_up(ratio, test, keys, a / b))


def gamma_prior(observed: Floats, expected: Floats) -> tuple[float, float]:
    """The Gamma(a, b) under which counts with these expectations are likeliest (DuMouchel 1999, one component)."""

    def negative(parameters: Floats) -> float:
        a, b = np.exp(parameters)
        return -float(
            np.sum(
                gammaln(a + observed)
                - gammaln(a)
                + a * np.log(b / (b + expected))
                + observed * np.log(expected / (b + expected))
            )
        )

    a, b = np.exp(minimize(negative, np.zeros(2), method="Nelder-Mead").x)
    return float(a), float(b)


def beta_binomial(train: Known, test: Known) -> Floats:
    """(a + clicks) / (a + b + impressions) of the user, with a fitted Beta(a, b) prior: the user's CTR at its best."""
    sums = _sums(train, ["user"])
    yes, count = sums["yes"].to_numpy(), sums["weight"].to_numpy()

    def negative(parameters: Floats) -> float:
        a, b = np.exp(parameters)
        return -float(np.sum(betaln(a + yes, b + count - yes) - betaln(a, b)))

    a, b = np.exp(minimize(negative, np.zeros(2), method="Nelder-Mead").x)
    return test.summed(_looked_up((a + sums["yes"]) / (a + b + sums["weight"]), test, ["user"], a / (a + b)))


def mixed_logistic(train: Known, test: Known, user_variance: float, category_variance: float) -> Floats:
    """Log odds of the expected rate plus normal effects of user and user × category, at their posterior mode.

    scikit-learn's logistic regression on one column per user and per user × category: a ridge penalty is a normal
    prior, and a column scaled by the prior's deviation has a penalty of 1.
    """
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression

    users = pd.Index(train.shares["user"].unique())
    pairs = pd.MultiIndex.from_frame(train.shares[["user", "category"]].drop_duplicates())

    def design(known: Known) -> csr_matrix:
        row, weight = known.shares["row"].to_numpy(), known.shares["weight"].to_numpy()
        # Large columns have small coefficients, which are hardly penalised, so they act as fixed effects.
        fixed = np.column_stack([logit(known.baseline), np.ones(known.rows)]) * 30
        blocks = [csr_matrix(fixed)]
        for index, keys, variance in (
            (users, known.shares["user"], user_variance),
            (pairs, pd.MultiIndex.from_frame(known.shares[["user", "category"]]), category_variance),
        ):
            column = index.get_indexer(keys)
            seen = column >= 0
            values = weight[seen] * np.sqrt(variance)
            blocks.append(csr_matrix((values, (row[seen], column[seen])), shape=(known.rows, len(index))))
        return hstack(blocks).tocsr()

    model = LogisticRegression(C=1.0, fit_intercept=False, solver="liblinear", max_iter=200)
    model.fit(design(train), train.engaged > 0.5)
    return expit(design(test) @ model.coef_[0])


def best(
    method: Callable[..., Floats], train: Known, test: Known, grid: list[tuple[float, ...]]
) -> tuple[tuple[float, ...], float]:
    """The parameters of ``grid`` with the least log loss on ``test``, which must be a validation split."""
    scored = [(float(losses(test.engaged, method(train, test, *values)).mean()), values) for values in grid]
    least, values = min(scored)
    return values, least


def _sums(known: Known, keys: list[str]) -> pd.DataFrame:
    shares = known.shares
    return (
        shares.assign(yes=shares["weight"] * shares["engaged"], expected=shares["weight"] * shares["expected"])
        .groupby(keys)[["weight", "yes", "expected"]]
        .sum()
    )


def _looked_up(values: pd.Series, known: Known, keys: list[str], otherwise: float) -> Floats:
    index = known.shares[keys[0]] if len(keys) == 1 else pd.MultiIndex.from_frame(known.shares[keys])
    return values.reindex(index).fillna(otherwise).to_numpy()
