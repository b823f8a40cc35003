"""Bühlmann-Straub-Jewell credibility of rates, from sums that merge: how far a member's observed rate is believed.

Members stand in groups: categories of a user, items of a category. Of each member, sums over its impressions, of which
``e`` is the expected rate, ``y`` is 1 if it was engaged with, and ``w`` its weight (by age, and by the share of the
item that belongs to the category):

| column | sum of | meaning |
|---|---|---|
| observed | w y | O |
| expected | w e | E; the member's rate against the expected one is X = O/E, 1 on average |
| variance | w² e(1-e) | the variance of O that is chance |
| own_residuals | (w(y-e))² | an impression's product with itself, to be taken out of (O-E)² |
| own_expected | (w e)² | the same of E² |
| shared_residuals | w(y-e) times that of the same impression for the other members | 0 where it has one member |
| shared_expected | w e times that of the same impression for the other members | the same of E² |

docs/affinity.md derives what follows. Sums over many rows are exact (:mod:`include.spark.exact`); everything else is a
function of one row, so that the same rows give the same bits however they are parted.
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


def products(members: DataFrame, group: Sequence[str]) -> DataFrame:
    """One row per group: ``group_products`` of residuals of different impressions and different members of it,
    ``member_products`` of those of one member, and the same products of the expected, ``group_weights`` and
    ``member_weights``. Divided, they estimate the variances: see :func:`variances`.

    Args:
        members: one row per group and member, with :data:`SUMS`.
        group: the columns that name a group, among them those that are to be kept.
    """
    residual = (F.col("observed") - F.col("expected")).cast("double")
    expected = F.col("expected").cast("double")
    sums = members.groupBy(*group).agg(
        total(F.col("observed")).alias("observed"),
        total(F.col("expected")).alias("expected"),
        total(residual * residual).alias("residual_squares"),
        total(expected * expected).alias("expected_squares"),
        *[total(F.col(name)).alias(name) for name in SECOND_ORDER[1:]],
    )
    all_residuals = (F.col("observed") - F.col("expected")).cast("double")
    all_expected = F.col("expected").cast("double")
    return sums.select(
        *group,
        "observed",
        "expected",
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
    expected the ``group_variance`` (between groups) and the ``member_variance`` (between members of one group).

    Both are 0 or more. A segment in which no two impressions can be compared has none of the one or the other.
    """
    group_variance = F.greatest(ratio(F.col("group_products"), F.col("group_weights")), F.lit(0.0))
    both = ratio(F.col("member_products"), F.col("member_weights"))
    return (
        groups.groupBy(*segment)
        .agg(
            F.count("*").alias("groups"),
            *[
                total(F.col(name)).alias(name)
                for name in (
                    "observed",
                    "expected",
                    "group_products",
                    "group_weights",
                    "member_products",
                    "member_weights",
                )
            ],
        )
        .withColumn("group_variance", group_variance)
        .withColumn("member_variance", F.greatest(both - F.col("group_variance"), F.lit(0.0)))
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
