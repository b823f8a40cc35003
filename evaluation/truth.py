"""How estimates agree with a known truth, resampled by the members (users, items) that rows belong to."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from evaluation.metrics import Floats, Ints, Resamples, by_user

_STEPS = 12
"""Steps of Newton's method. The quasi-likelihood of a few thousand rows needs fewer if it starts at its mean."""


def spearman(estimate: Floats, truth: Floats, member: Ints, members: int, resamples: Resamples) -> Floats:
    """Spearman's rank correlation. Ranks are those of the whole data, so a resample costs only six sums."""
    return pearson(rankdata(estimate.round(10)), rankdata(truth), member, members, resamples)


def pearson(x: Floats, y: Floats, member: Ints, members: int, resamples: Resamples) -> Floats:
    """Pearson's correlation; 0 if one side does not vary."""
    count, sx, sy, sxx, syy, sxy = _sums(x - x.mean(), y - y.mean(), member, members, resamples)
    covariance = sxy - sx * sy / count
    spread = np.sqrt(np.maximum(sxx - sx * sx / count, 0) * np.maximum(syy - sy * sy / count, 0))
    return np.divide(covariance, spread, out=np.zeros(len(count)), where=spread > 1e-9)


def slope(estimate: Floats, truth: Floats, member: Ints, members: int, resamples: Resamples) -> Floats:
    """The slope of the truth on the estimate; it is 1 if estimates are shrunk as much as they should be."""
    count, sx, sy, sxx, _, sxy = _sums(estimate, truth, member, members, resamples)
    spread = sxx - sx * sx / count
    return np.divide(sxy - sx * sy / count, spread, out=np.full(len(count), np.nan), where=spread > 1e-9)


def centred(values: Floats, member: Ints, members: int) -> Floats:
    """Without the mean of each member."""
    mean = by_user(values, member, members) / np.maximum(by_user(np.ones(len(values)), member, members), 1)
    return values - mean[member]


def log_slopes(estimate: Floats, x: Floats, y: Floats, weight: Floats, resamples: Resamples) -> tuple[Floats, Floats]:
    """Exponents b and c of estimate ~ x^b y^c, for each resample of the rows; an estimate may be 0.

    Poisson's quasi-likelihood with ``weight``: only the mean is modelled, so any estimate that is not below 0 fits.
    """
    design = np.column_stack([np.ones(len(x)), np.log(x), np.log(y)])
    beta = np.array([np.log(np.average(estimate, weights=weight)), 0.0, 0.0])
    found = []
    for counts in resamples.weights:
        # The first row is the data, near which all others end.
        beta_of = _fit(design, estimate, counts * weight, beta)
        beta = beta_of if not found else beta
        found.append(beta_of)
    slopes = np.array(found)
    return slopes[:, 1], slopes[:, 2]


def _fit(design: Floats, estimate: Floats, weight: Floats, start: Floats) -> Floats:
    beta = start
    for _ in range(_STEPS):
        mean = np.exp(design @ beta)
        curve = design.T @ (design * (weight * mean)[:, None])
        beta = beta + np.linalg.solve(curve, design.T @ (weight * (estimate - mean)))
    return beta


def _sums(x: Floats, y: Floats, member: Ints, members: int, resamples: Resamples) -> tuple[Floats, ...]:
    each = (np.ones(len(x)), x, y, x * x, y * y, x * y)
    return tuple(resamples.weights @ by_user(values, member, members) for values in each)
