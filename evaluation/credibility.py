"""The affinity's formulas in NumPy, written apart from `include/spark/credibility.py`: each checks the other.

Bühlmann & Straub 1970, Jewell 1975, with variances from U-statistics: no impression meets itself in a product, so
that they are unbiased also where a user has one impression per category. Derivation: docs/affinity.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation.baselines import Known
from evaluation.metrics import Floats


@dataclass(frozen=True)
class Credibility:
    """The fit of one segment; ratios are observed / expected of the average user."""

    users: pd.Index
    user_mean: Floats
    """m of each user: the ratio of a category that the user never saw."""
    affinity: pd.Series
    """by (user, category)"""
    mean: float
    """The ratio of a user of whom nothing is known."""
    user_variance: float
    category_variance: float

    def predict(self, test: Known) -> Floats:
        """Expected rate × affinity of each impression, not below 0."""
        shares = test.shares
        found = self.affinity.reindex(pd.MultiIndex.from_frame(shares[["user", "category"]])).to_numpy()
        means = pd.Series(self.user_mean, self.users).reindex(shares["user"]).fillna(self.mean).to_numpy()
        ratio = np.maximum(np.where(np.isnan(found), means, found), 0.0)
        return test.summed(shares["expected"].to_numpy() * ratio)


def fit(train: Known) -> Credibility:
    """The affinities of all users of ``train``, as one segment without decay."""
    shares = train.shares
    w, e = shares["weight"], shares["expected"]
    sums = (
        pd.DataFrame(
            {
                "user": shares["user"],
                "category": shares["category"],
                "observed": w * shares["engaged"],
                "expected": w * e,
                # A Bernoulli of mean c·e has the variance c·(v + p) − c²·p, with v = Σ e(1−e) and p = Σ e².
                "v": w * w * e * (1 - e),
                "p": w * w * e * e,
                "v_shared": w * (1 - w) * e * (1 - e),
                "p_shared": w * (1 - w) * e * e,
            }
        )
        .groupby(["user", "category"])
        .sum()
        .reset_index()
    )
    user, users = pd.factorize(sums["user"])
    first = _variances(sums, user, 1.0)
    mean = _mean(sums, user, sum(first))
    tau_u, tau_c = _variances(sums, user, mean)
    exposure = sums["expected"].to_numpy()
    deviation = (sums["observed"].to_numpy() - mean * exposure) / exposure
    noise = _noise(sums["v"], sums["p"], mean) / exposure**2
    if tau_c > 0:
        z = tau_c / (tau_c + noise)
        total = np.bincount(user, z)
        of_user = tau_u * np.bincount(user, z * deviation) / (tau_u * total + tau_c)
    else:
        z = np.zeros(len(sums))
        total = np.bincount(user, 1 / noise)
        of_user = tau_u * np.bincount(user, deviation / noise) / (tau_u * total + 1)
    affinity = mean + z * deviation + (1 - z) * of_user[user]
    index = pd.MultiIndex.from_frame(sums[["user", "category"]])
    return Credibility(pd.Index(users), mean + of_user, pd.Series(affinity, index), mean, tau_u, tau_c)


def _noise(v: pd.Series, p: pd.Series, mean: float) -> Floats:
    return np.maximum((mean * (v + p) - mean * mean * p).to_numpy(), 1e-12)


def _variances(sums: pd.DataFrame, user: Floats, mean: float) -> tuple[float, float]:
    """τ²_u and τ²_c around ``mean``: products of residuals of different impressions only."""
    residual = (sums["observed"] - mean * sums["expected"]).to_numpy()
    exposure = sums["expected"].to_numpy()
    own = _noise(sums["v"], sums["p"], mean)
    shared = (mean * (sums["v_shared"] + sums["p_shared"]) - mean * mean * sums["p_shared"]).to_numpy()

    def squared(values: Floats) -> float:
        return float((np.bincount(user, values) ** 2).sum())

    same = float((residual**2 - own).sum()), float((exposure**2 - sums["p"]).sum())
    across = (
        squared(residual) - float((residual**2 + shared).sum()),
        squared(exposure) - float((exposure**2 + sums["p_shared"]).sum()),
    )
    total, between = _quotient(*same), _quotient(*across)
    if between <= 0:
        return 0.0, max(total, 0.0)
    if total <= between:
        return max(_quotient(same[0] + across[0], same[1] + across[1]), 0.0), 0.0
    return between, total - between


def _mean(sums: pd.DataFrame, user: Floats, variance: float) -> float:
    """The mean of users, each weighted by its credibility: not by its impressions, as the baseline is."""
    residual = np.bincount(user, sums["observed"] - sums["expected"])
    exposure = np.bincount(user, sums["expected"])
    weight = exposure**2 / np.bincount(user, sums["v"] + sums["v_shared"])
    credibility = variance * weight / (variance * weight + 1)
    return 1.0 + (_quotient(float((credibility * residual / exposure).sum()), float(credibility.sum())))


def _quotient(above: float, below: float) -> float:
    return above / below if below > 0 else 0.0
