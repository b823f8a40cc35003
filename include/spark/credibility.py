"""Bühlmann-Straub-Jewell credibility of rates, from sums that merge: how much of a member's observed rate to believe.

Members stand in groups: categories of a user, items of a category. Each member has sums over its impressions. For an
impression, ``e`` is the expected rate, ``y`` is 1 if the user engaged with it, and ``w`` is its weight (by age, and by
the share of the item that belongs to the category):

| column | sum of | meaning |
|---|---|---|
| observed | w y | O |
| expected | w e | E; the member's rate against the expected one is X = O/E, 1 on average |
| variance | w² e(1-e) | the variance of O that is chance |
| own_residuals | (w(y-e))² | an impression's product with itself, to be taken out of (O-E)² |
| own_expected | (w e)² | the same of E² |
| shared_residuals | w(y-e) times that of the same impression for the other members | 0 where it has one member |
| shared_expected | w e times that of the same impression for the other members | the same of E² |

Groups with many impressions may on average have another rate than groups with few: :func:`fitted` finds what to expect
of a group before anything is known about it.

docs/affinity.md derives what follows. Sums over many rows are exact (:mod:`include.spark.exact`); everything else is a
function of one row, so that the same rows give the same bits, however Spark partitions them.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.spark.exact import exact, ratio, total

FIRST_ORDER = ("observed", "expected")
"""Sums that a weight multiplies once."""

SECOND_ORDER = ("variance", "own_residuals", "own_expected", "shared_residuals", "shared_expected")
"""Sums that a weight multiplies twice."""

SUMS = FIRST_ORDER + SECOND_ORDER

QUANTILE = -1.6448536269514722
"""Of the standard normal distribution, at 5 %: where the lower bound lies."""

COMPARABLE = 1e-6
"""Products of expected engagements from which variances are estimated. Fewer are what rounding leaves of none: of sums
with ten digits, over a hundred million members, up to 10^-6."""

_LEVELS = ("group", "member")

_SUMMED = (*FIRST_ORDER, *[f"{level}_{what}" for level in _LEVELS for what in ("products", "weights")])


def products(members: DataFrame, group: Sequence[str], also: Sequence[str] = ()) -> DataFrame:
    """One row per group: ``group_products`` of residuals of different impressions and different members of it,
    ``member_products`` of those of one member, and the same products of the expected, ``group_weights`` and
    ``member_weights``. Divided, they estimate the variances: see :func:`variances`. And ``chance``: the variance of the
    group's observed that is chance.

    Args:
        members: one row per group and member, with :data:`SUMS`.
        group: the columns that name a group, among them those that are to be kept.
        also: further columns that are summed.
    """
    residual = (F.col("observed") - F.col("expected")).cast("double")
    expected = F.col("expected").cast("double")
    sums = members.groupBy(*group).agg(
        *[total(F.col(name)).alias(name) for name in (*FIRST_ORDER, *SECOND_ORDER, *also)],
        total(residual * residual).alias("residual_squares"),
        total(expected * expected).alias("expected_squares"),
    )
    all_residuals = (F.col("observed") - F.col("expected")).cast("double")
    all_expected = F.col("expected").cast("double")
    # An impression's parts are engaged with together: its chance is that of its whole weight, not of the squared parts.
    whole = 1 + ratio(F.col("shared_expected"), F.col("own_expected"))
    return sums.select(
        *group,
        *FIRST_ORDER,
        *also,
        exact(F.col("variance").cast("double") * whole).alias("chance"),
        exact(exact(all_residuals * all_residuals) - F.col("residual_squares") - F.col("shared_residuals")).alias(
            "group_products"
        ),
        exact(exact(all_expected * all_expected) - F.col("expected_squares") - F.col("shared_expected")).alias(
            "group_weights"
        ),
        exact(F.col("residual_squares") - F.col("own_residuals")).alias("member_products"),
        exact(F.col("expected_squares") - F.col("own_expected")).alias("member_weights"),
    )


def variances(groups: DataFrame, segment: Sequence[str]) -> DataFrame:
    """One row per segment: the number of ``groups``, the sums of :func:`products`, and of the ratio of observed to
    expected the ``group_variance`` (between groups, around 1) and the ``member_variance`` (between members of one
    group).

    Both are 0 or more. A segment in which no two impressions can be compared has none of the one or the other.
    """
    return _with_variances(groups.groupBy(*segment).agg(F.count("*").alias("groups"), *_totals(_SUMMED)))


def fitted(groups: DataFrame, segment: Sequence[str]) -> DataFrame:
    """One row per segment as of :func:`variances`, with the line around which groups vary: a group's ratio is expected
    to be ``mean`` + ``slope`` × its :func:`activity`. ``mean`` is what holds of a group of which nothing is known.

    The line is that of least squares, a group weighted by E²/(E² + chance), which is the inverse of its ratio's
    variance where groups differ by 100 %: by any weights that do not look at what was observed it is unbiased. The
    slope is shrunk by ``slope_credibility``, 1 less its error's variance by its square: a slope that is no larger than
    its error is 0. A segment of which nothing was expected has the mean 1.

    Args:
        groups: of :func:`products`, with ``impressions``.
        segment: the columns that name a segment.
    """
    expected = F.col("expected").cast("double")
    deviation = ratio(F.col("observed") - F.col("expected"), expected)
    weight = ratio(expected * expected, expected * expected + F.col("chance").cast("double"))
    g = activity(F.col("impressions"))
    terms = {"_w": weight, "_wg": weight * g, "_wgg": weight * g * g}
    terms |= {"_wd": weight * deviation, "_wgd": weight * g * deviation}
    for level in _LEVELS:
        pairs = F.col(f"{level}_weights").cast("double")
        terms |= {f"_{level}_g": g * pairs, f"_{level}_gg": g * g * pairs}
        terms |= {f"_{level}_d": deviation * pairs, f"_{level}_gd": g * deviation * pairs}
    sums = groups.groupBy(*segment).agg(
        F.count("*").alias("groups"), *_totals(_SUMMED), *[total(term).alias(name) for name, term in terms.items()]
    )
    w, wg, wgg, wd, wgd = (F.col(name).cast("double") for name in ("_w", "_wg", "_wgg", "_wd", "_wgd"))
    spread, along = wgg - ratio(wg * wg, w), wgd - ratio(wg * wd, w)
    # The slope is along / spread, and its error's variance 1 / spread.
    believed = F.greatest(1 - spread / (along * along), F.lit(0.0))
    line = (
        sums.withColumn("slope_credibility", F.when((spread > 0) & (along != 0), believed).otherwise(F.lit(0.0)))
        .withColumn(
            "slope",
            F.when(F.col("slope_credibility") > 0, F.col("slope_credibility") * along / spread).otherwise(F.lit(0.0)),
        )
        .withColumn("mean", F.greatest(1 + ratio(wd - F.col("slope") * wg, w), F.lit(0.0)))
    )
    around = [_around_the_line(level).alias(f"{level}_products") for level in _LEVELS]
    kept = ["groups", *FIRST_ORDER, *[f"{level}_weights" for level in _LEVELS], "mean", "slope", "slope_credibility"]
    return _with_variances(line.select(*segment, *kept, *around))


def activity(impressions: Column) -> Column:
    """How active a group is: the logarithm of its impressions, and 0 up to the first.

    So nothing is extrapolated: of a group without an impression holds what holds of those with one.
    """
    return F.log(F.greatest(impressions.cast("double"), F.lit(1.0)))


def prior(impressions: Column) -> Column:
    """What a group of so many impressions is expected to be, by the columns ``mean`` and ``slope``. 0 or more."""
    return F.greatest(F.col("mean") + F.col("slope") * activity(impressions), F.lit(0.0))


def _totals(names: Sequence[str]) -> list[Column]:
    return [total(F.col(name)).alias(name) for name in names]


def _around_the_line(level: str) -> Column:
    """The products of residuals from the line: Σ P - 2 Σ f d W + Σ f² W, f the line's distance from 1.

    P are the products of residuals R from E, whose expectation is d W where d = R/E and W are those of the expected.
    """
    p, w = (F.col(f"{level}_{name}").cast("double") for name in ("products", "weights"))
    d, gd, g, gg = (F.col(f"_{level}_{name}").cast("double") for name in ("d", "gd", "g", "gg"))
    a, b = F.col("mean") - 1, F.col("slope")
    return exact(p - 2 * (a * d + b * gd) + a * a * w + 2 * a * b * g + b * b * gg)


def _with_variances(sums: DataFrame) -> DataFrame:
    both, group = (
        F.when(F.col(f"{level}_weights") > COMPARABLE, ratio(F.col(f"{level}_products"), F.col(f"{level}_weights")))
        for level in ("member", "group")
    )
    return sums.withColumn("group_variance", F.greatest(group, F.lit(0.0))).withColumn(
        "member_variance", F.greatest(both - F.col("group_variance"), F.lit(0.0))
    )


def estimates(members: DataFrame, group: Sequence[str]) -> DataFrame:
    """The members with their ``credibility`` z, ``group_estimate`` m and ``estimate``, its ``uncertainty``: the
    variance of what is true around it; and its ``lower_bound``.

    An estimate is the member's rate as a multiple of what is expected of it: z O/E + (1-z) m. Without evidence of the
    member it is m, and without any of the group its prior. z is 0 to 1; the lower bound is 0 to the estimate.

    Args:
        members: one row per group and member: observed, expected, variance; of its group the ``prior``, and of its
            segment ``group_variance`` and ``member_variance``.
        group: the columns that name a group. No shuffle where the rows are partitioned by one of them.
    """
    of_group = Window.partitionBy(*group)
    expected, observed = F.col("expected").cast("double"), F.col("observed").cast("double")
    below = F.col("member_variance") * expected * expected + F.col("variance").cast("double")
    z, m, believed = F.col("credibility"), F.col("group_estimate"), F.col("_believed")
    rest = 1 - z
    spread = F.col("member_variance") * rest + rest * rest * F.col("group_variance") * (1 - believed)
    return (
        # The precision of O/E as a measurement of its group's rate; 0 where nothing was expected.
        members.withColumn("_precision", ratio(expected * expected, below))
        .withColumn("_measured", ratio(expected * observed, below))
        .withColumn("_precisions", F.sum(exact(F.col("_precision"))).over(of_group).cast("double"))
        .withColumn("_mean", ratio(F.sum(exact(F.col("_measured"))).over(of_group), F.col("_precisions")))
        .withColumn(
            "_believed",
            F.col("group_variance") * F.col("_precisions") / (F.col("group_variance") * F.col("_precisions") + 1),
        )
        .withColumn("group_estimate", F.col("prior") + believed * (F.col("_mean") - F.col("prior")))
        .withColumn("credibility", F.least(F.col("member_variance") * F.col("_precision"), F.lit(1.0)))
        .withColumn("estimate", F.col("member_variance") * F.col("_measured") + rest * m)
        .withColumn("uncertainty", spread)
        .withColumn("lower_bound", lower_bound(F.col("estimate"), F.col("uncertainty")))
        .select(*members.columns, "credibility", "group_estimate", "estimate", "uncertainty", "lower_bound")
    )


def lower_bound(mean: Column, variance: Column) -> Column:
    """The 5 % quantile of the gamma distribution of that mean and variance, by Wilson and Hilferty's cube root."""
    ninth = ratio(variance, 9 * mean * mean)
    root = F.greatest(1 - ninth + QUANTILE * F.sqrt(ninth), F.lit(0.0))
    return mean * root * root * root
