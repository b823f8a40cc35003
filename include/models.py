"""The models that serve the feed, and who maintains each: a model's red flag goes to its maintainer."""

from feedmill.spec import Model
from include.maintainers import personalization

MODELS = (
    Model(
        "random",
        description="Open Bandit's uniform random policy: the unbiased baseline.",
        maintainer=personalization,
        tier=3,
    ),
    Model(
        "bts",
        description="Open Bandit's Bernoulli Thompson Sampling policy, trained before the logs begin.",
        maintainer=personalization,
        tier=2,
    ),
    Model(
        "kuairand:standard",
        description="KuaiRand: the recommender of the product itself.",
        maintainer=personalization,
        tier=2,
    ),
    Model(
        "kuairand:random",
        description="KuaiRand: videos put into the feed at random, `is_rand` in the log.",
        maintainer=personalization,
        tier=3,
    ),
)
