"""The models that serve the feed, and who maintains each: a model's red flag goes to its maintainer."""

from dataclasses import dataclass

from feedmill.spec import Maintainer
from include.maintainers import personalization


@dataclass(frozen=True)
class Model:
    """A deployed model; ``model_id`` is what the log writes into an event."""

    model_id: str
    description: str
    maintainer: Maintainer


MODELS = (
    Model("random", "Open Bandit's uniform random policy: the unbiased baseline.", personalization),
    Model(
        "bts",
        "Open Bandit's Bernoulli Thompson Sampling policy, trained before the logs begin.",
        personalization,
    ),
    Model("kuairand:standard", "KuaiRand: the recommender of the product itself.", personalization),
    Model("kuairand:random", "KuaiRand: videos put into the feed at random, `is_rand` in the log.", personalization),
)
