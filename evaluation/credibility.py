"""The affinity's formulas in NumPy, written independently of `include/spark/credibility.py`: each checks the other.

The model is that of Bühlmann & Straub 1970 and Jewell 1975. Variances come from U-statistics: no impression is
multiplied by itself, so they are unbiased even if a user has one impression per category. Derivation: docs/affinity.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation.baselines import Known
from evaluation.metrics import Floats, Ints


@dataclass(frozen=True)
class Credibility:
    """The fit of one segment; ratios are observed / expected of the average user."""

    users: pd.Index
    user_mean: Floats
    """m of each user: the ratio for a category that the user never saw."""
    affinity: pd.Series
    """by (user, category)"""
    mean: float
    """The ratio of a user with one impression or none."""
    slope: float
    """Added to the ratio for each unit of the logarithm of the user's impressions."""
    user_variance: float
    category_variance: float

    def predict(self, test: Known) -> Floats:
        """Expected rate × affinity of each impression, not below 0."""
        shares = test.shares
        found = self.affinity.reindex(pd.MultiIndex.from_frame(shares[["user", "category"]])).to_numpy()
        means = pd.Series(self.user_mean, self.users).reindex(shares["user"]).fillna(self.mean).to_numpy()
        ratio = np.maximum(np.where(np.isnan(found), means, found), 0.0)
        return test.summed(shares["expected"].to_numpy() * ratio)


def fit(train: Known, aged: Floats | float = 1.0) -> Credibility:
    """The affinities of all users of ``train``, as one segment. ``aged``: the factor of each share's weight by age."""
    shares = train.shares
    whole, e = shares["weight"], shares["expected"]
    w, rest = whole * aged, (1 - whole) * aged
    sums = (
        pd.DataFrame(
            {
                "user": shares["user"],
                "category": shares["category"],
                "impressions": w,
                "observed": w * shares["engaged"],
                "expected": w * e,
                # A Bernoulli of mean c·e has the variance c·(v + p) − c²·p, with v = Σ e(1−e) and p = Σ e².
                "v": w * w * e * (1 - e),
                "p": w * w * e * e,
                "v_shared": w * rest * e * (1 - e),
                "p_shared": w * rest * e * e,
            }
        )
        .groupby(["user", "category"])
        .sum()
        .reset_index()
    )
    user, users = pd.factorize(sums["user"])
    mean, slope = _line(sums, user)
    prior = _prior(sums, user, mean, slope)[user]
    tau_u, tau_c = _variances(sums, user, prior)
    exposure = sums["expected"].to_numpy()
    deviation = (sums["observed"].to_numpy() - prior * exposure) / exposure
    noise = np.maximum(sums["v"].to_numpy(), 1e-12) / exposure**2
    if tau_c > 0:
        z = tau_c / (tau_c + noise)
        total = np.bincount(user, z)
        of_user = tau_u * np.bincount(user, z * deviation) / (tau_u * total + tau_c)
    else:
        z = np.zeros(len(sums))
        total = np.bincount(user, 1 / noise)
        of_user = tau_u * np.bincount(user, deviation / noise) / (tau_u * total + 1)
    affinity = prior + z * deviation + (1 - z) * of_user[user]
    index = pd.MultiIndex.from_frame(sums[["user", "category"]])
    means = of_user + _prior(sums, user, mean, slope)
    return Credibility(pd.Index(users), means, pd.Series(affinity, index), mean, slope, tau_u, tau_c)


def _line(sums: pd.DataFrame, user: Ints) -> tuple[float, float]:
    """Mean and slope of users' ratios over the logarithm of their impressions, the slope shrunk by its own error."""
    exposure = np.bincount(user, sums["expected"])
    ratio = np.bincount(user, sums["observed"]) / exposure
    activity = _activity(sums, user)
    weight = exposure**2 / (exposure**2 + np.bincount(user, sums["v"] + sums["v_shared"]))
    middle, level = np.average(activity, weights=weight), np.average(ratio, weights=weight)
    spread = float((weight * (activity - middle) ** 2).sum())
    if spread <= 1e-6:
        return float(level), 0.0
    slope = float((weight * (activity - middle) * (ratio - level)).sum()) / spread
    slope *= max(1 - 1 / (spread * slope**2), 0.0) if slope else 0.0
    return max(float(level - slope * middle), 0.0), slope


def _activity(sums: pd.DataFrame, user: Ints) -> Floats:
    return np.log(np.maximum(np.bincount(user, sums["impressions"]), 1.0))


def _prior(sums: pd.DataFrame, user: Ints, mean: float, slope: float) -> Floats:
    return np.maximum(mean + slope * _activity(sums, user), 0.0)


def _variances(sums: pd.DataFrame, user: Ints, prior: Floats) -> tuple[float, float]:
    """τ²_u and τ²_c around each user's ``prior``: products of residuals of different impressions only.

    The expected product of an impression with itself is taken out: y is 0 or 1 with the mean c·e, where c is the user's
    observed ratio.
    """
    exposure = sums["expected"].to_numpy()
    residual = sums["observed"].to_numpy() - prior * exposure
    ratio = (np.bincount(user, sums["observed"]) / np.bincount(user, sums["expected"]))[user]

    def own(v: pd.Series, p: pd.Series) -> Floats:
        # E(y - b e)² = c e - 2 b c e² + b² e², and v + p is the sum of w² e.
        return (ratio * (v + p) + (prior**2 - 2 * prior * ratio) * p).to_numpy()

    def squared(values: Floats) -> float:
        return float((np.bincount(user, values) ** 2).sum())

    mine, shared = own(sums["v"], sums["p"]), own(sums["v_shared"], sums["p_shared"])
    same = float((residual**2 - mine).sum()), float((exposure**2 - sums["p"]).sum())
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


def _quotient(above: float, below: float) -> float:
    return above / below if below > 0 else 0.0
