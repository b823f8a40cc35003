"""Which of an item's categories an event counts for."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from include.bounds import COUNTED_CATEGORIES


def counted(categories: Column) -> Column:
    """An item's categories, if they are not too many; else the heaviest, of equal weights those first in the alphabet.

    ``categories``: a list of ``category`` and ``weight``, whose weights sum to 1, as those of the result do. Without
    this, each event of an item with 10,000 categories would be 10,000 rows, and a few such items would stop a day.
    """
    by_weight = F.array_sort(
        F.transform(categories, lambda one: F.struct((-one["weight"]).alias("against"), one["category"]))
    )
    heaviest = F.transform(
        F.slice(by_weight, 1, COUNTED_CATEGORIES),
        lambda one: F.struct(one["category"].alias("category"), (-one["against"]).alias("weight")),
    )
    total = F.aggregate(heaviest, F.lit(0.0), lambda so_far, one: so_far + one["weight"])
    shares = F.transform(
        heaviest, lambda one: F.struct(one["category"].alias("category"), (one["weight"] / total).alias("weight"))
    )
    return F.when(F.size(categories) > COUNTED_CATEGORIES, shares).otherwise(categories)
