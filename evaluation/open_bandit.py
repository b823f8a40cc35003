"""docs/evaluation/open-bandit.md: the CTR of the product's rankings, estimated from a random policy's log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation import data, product, served
from evaluation.affinity import RESAMPLES, SEED
from evaluation.data import Impressions
from evaluation.metrics import Floats, Interval, Resamples
from evaluation.report import Page
from evaluation.spark import Lake, lake
from include.tables import TABLES

CAMPAIGNS = ("all", "men", "women")
POSITIONS = 3

FIRST = "ranks 1 to 3, in their order"
MIXED = "one of ranks 1 to 10, by lot"
UNIFORM = "any item, by lot"
LENGTHS = {MIXED: 10}


@dataclass(frozen=True)
class Rounds:
    """Impressions of a log, and the choices of another policy in the same places."""

    engaged: Floats
    action: NDArray[np.int64]
    """The number of the item that was shown."""
    position: NDArray[np.int64]
    propensity: Floats
    """The probability with which the log's policy showed it there."""
    chosen: Floats
    """Rounds × items × positions: the probability with which the policy shows an item."""
    reward: Floats
    """Rounds × items: the engagement rate that a model expects."""

    @property
    def _row(self) -> NDArray[np.int64]:
        return np.arange(len(self.engaged))

    @property
    def weight(self) -> Floats:
        """How many times as often this policy shows the shown item as the log's policy does."""
        return self.chosen[self._row, self.action, self.position] / self.propensity

    @property
    def modelled(self) -> Floats:
        """The reward that the model expects of the policy's own choice."""
        return (self.chosen[self._row, :, self.position] * self.reward).sum(axis=1)

    @property
    def surprise(self) -> Floats:
        """The difference between the reward and the model's expectation, weighted."""
        return self.weight * (self.engaged - self.reward[self._row, self.action])


def estimates(rounds: Rounds, resamples: Resamples) -> dict[str, Floats]:
    """The engagement rate of the policy, by each estimator, for each resample of rounds.

    Inverse propensity (Horvitz & Thompson 1952) and its self-normalised form (Swaminathan & Joachims 2015), the direct
    method, and the doubly robust (Dudík, Langford & Li 2011).
    """
    of_rounds = resamples.weights.sum(axis=1)

    def mean(values: Floats) -> Floats:
        return resamples.weights @ values / of_rounds

    weighted, weight = mean(rounds.weight * rounds.engaged), mean(rounds.weight)
    return {
        "IPS": weighted,
        "self-normalised IPS": np.divide(weighted, weight, out=np.full(len(weight), np.nan), where=weight > 0),
        "direct": mean(rounds.modelled),
        "doubly robust": mean(rounds.modelled + rounds.surprise),
    }


def policy(lists: Mapping[tuple[int, str], Sequence[int]], log: pd.DataFrame, items: int, name: str) -> Floats:
    """Rounds × items × positions. ``lists``: the items of a day and user, the best first.

    If a user has no item for the position, all items are equally likely.
    """
    chosen = np.full((len(log), items, POSITIONS), 1.0 / items)
    if name == UNIFORM:
        return chosen
    for row, key in enumerate(zip(log["day"], log["user"], strict=True)):
        mine = lists.get(key, ())
        if name == MIXED and mine:
            chosen[row] = 0
            chosen[row, mine[: LENGTHS[MIXED]]] = 1.0 / len(mine[: LENGTHS[MIXED]])
        elif name == FIRST:
            for position, item in enumerate(mine[:POSITIONS]):
                chosen[row, :, position] = 0
                chosen[row, item, position] = 1
    return chosen


@dataclass(frozen=True)
class Campaign:
    """A campaign's log by the random policy, with what the product knew before each of its days."""

    log: pd.DataFrame
    """The random policy's, without its first day."""
    other: pd.DataFrame
    """The other policy's, of the same days."""
    items: pd.Index
    lists: Mapping[tuple[int, str], Sequence[int]]
    reward: Floats

    @classmethod
    def of(cls, name: str, tables: Lake) -> Campaign:
        """Build the rankings of each day; they serve the next."""
        from pyspark.sql import functions as F

        random, other = data.open_bandit("random", name), data.open_bandit("bts", name)
        both = pd.concat([random, other]).sort_values("moment", kind="stable", ignore_index=True)
        tables.empty()
        product.land(tables, _impressions(both, name))
        days = int(both["day"].max())
        end = product.START + timedelta(days=days)
        # All people who agree in all features are one user here. An item that one of them was shown is new to the next.
        mine = {"serving.user_recommendations": {"user_items_daily": F.col("engaged") > 0}}
        served.build_recommendations(tables, product.START, product.START, end, mine)
        ranked = tables.rows(TABLES["serving.user_recommendations"]).toPandas()
        popularity = tables.rows(TABLES["features.item_popularity_daily"]).toPandas()
        items = pd.Index(sorted(both["item"].unique()))
        log = random[random["day"] > 0].reset_index(drop=True)
        return cls(
            log,
            other[other["day"] > 0].reset_index(drop=True),
            items,
            _lists(ranked, items),
            _reward(popularity, both, log, items),
        )

    def rounds(self, policy_name: str) -> Rounds:
        """The log, with the choices of the policy of that name."""
        log = self.log
        return Rounds(
            log["engaged"].to_numpy(dtype=float),
            self.items.get_indexer(log["item"]),
            log["position"].to_numpy(),
            log["propensity"].to_numpy(),
            policy(self.lists, log, len(self.items), policy_name),
            self.reward,
        )


def _impressions(log: pd.DataFrame, campaign: str) -> Impressions:
    midnight = log["moment"].dt.normalize()
    rows = log[["user", "item", "day", "engaged"]].assign(
        surface=campaign, time_ms=(log["moment"] - midnight) // pd.Timedelta(milliseconds=1)
    )
    return Impressions(rows, data.shares_of(rows, log[["item", "category"]]))


def _number(days: pd.Series) -> pd.Series:
    return (pd.to_datetime(days) - pd.Timestamp(product.START.date())).dt.days


def _lists(ranked: pd.DataFrame, items: pd.Index) -> dict[tuple[int, str], list[int]]:
    rows = ranked.assign(served=_number(ranked["day"]) + 1, number=items.get_indexer(ranked["item_id"]))
    rows = rows.sort_values(["served", "user_id", "rank"])
    return {key: part.tolist() for key, part in rows.groupby(["served", "user_id"])["number"]}


def _reward(popularity: pd.DataFrame, both: pd.DataFrame, log: pd.DataFrame, items: pd.Index) -> Floats:
    """For each round and item, the campaign's CTR before the day × the item's popularity as of the day before."""
    sums = both.groupby("day")["engaged"].agg(["sum", "size"]).cumsum()
    rate = (sums["sum"] / sums["size"]).shift(1).reindex(log["day"]).to_numpy()
    known = popularity.assign(served=_number(popularity["day"]) + 1).pivot_table(
        index="served", columns="item_id", values="popularity"
    )
    ratio = known.reindex(index=log["day"], columns=items).fillna(1.0).to_numpy()
    return rate[:, None] * ratio


@contextmanager
def obp_estimators() -> Iterator[ModuleType]:
    """obp's own estimators, read from the wheel that holds the data. They need torch only for tensors, and we use none.

    The other imports of its package (plots, learners) are left out.
    """
    wheel = str(data.obp_wheel())
    torch = ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})  # type: ignore[attr-defined]
    package, estimators = ModuleType("obp"), ModuleType("obp.ope")
    package.__path__, estimators.__path__ = [f"{wheel}/obp"], [f"{wheel}/obp/ope"]
    before = dict(sys.modules)
    sys.modules |= {"torch": torch, "obp": package, "obp.ope": estimators}
    try:
        from importlib import import_module

        yield import_module("obp.ope.estimators")
    finally:
        for name in set(sys.modules) - set(before):
            if name.partition(".")[0] in ("obp", "torch"):
                del sys.modules[name]


def by_obp(rounds: Rounds) -> dict[str, float]:
    """The same estimates by obp."""
    model = np.repeat(rounds.reward[:, :, None], POSITIONS, axis=2)
    given = {
        "reward": rounds.engaged,
        "action": rounds.action,
        "position": rounds.position,
        "pscore": rounds.propensity,
        "action_dist": rounds.chosen,
        "estimated_rewards_by_reg_model": model,
    }
    with obp_estimators() as obp:
        classes = {
            "IPS": obp.InverseProbabilityWeighting,
            "self-normalised IPS": obp.SelfNormalizedInverseProbabilityWeighting,
            "direct": obp.DirectMethod,
            "doubly robust": obp.DoublyRobust,
        }
        return {name: float(each().estimate_policy_value(**given)) for name, each in classes.items()}


def pooled(parts: Sequence[Rounds]) -> Rounds:
    """The rounds of several campaigns as one log. Each campaign's items get numbers of their own."""
    width = max(part.reward.shape[1] for part in parts)

    def wide(array: Floats) -> Floats:
        return np.pad(array, [(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)])

    return Rounds(
        np.concatenate([part.engaged for part in parts]),
        np.concatenate([part.action for part in parts]),
        np.concatenate([part.position for part in parts]),
        np.concatenate([part.propensity for part in parts]),
        np.concatenate([wide(part.chosen) for part in parts]),
        np.concatenate([wide(part.reward) for part in parts]),
    )


def run() -> None:
    """Measure and write the page."""
    found = {}
    with lake() as tables:
        for name in CAMPAIGNS:
            print(f"Open Bandit, campaign {name} …", flush=True)
            found[name] = Campaign.of(name, tables)
    page = Page("open-bandit", "Open Bandit: the CTR of the rankings, offline")
    page.text(
        "Open Bandit (Saito et al. 2020; the 60,000 rows in the wheel of obp 0.4.1) has a week's log of a policy that "
        "showed items at random: what was clicked there says, by inverse propensity, what another policy's CTR would "
        "have been. Each day but the first is served with `serving.user_recommendations` of the day before, which the "
        "product's transforms build in Spark from both policies' logs up to then; we evaluate the random policy's "
        "rounds of those days.",
        "**Users.** The log has no user ids. All people who agree in the four hashed features are one user here, "
        "so these are rankings for segments. What one of them was shown, the next person has not seen. So "
        "only items that a segment clicked count as seen.",
        f"**Policies.** *{FIRST}*: position 1, 2, 3 shows the item of that rank. *{MIXED}*: each position shows one of "
        "the segment's first ten items; it agrees with more rounds, and so is known better. "
        "If a segment has no ranking yet, or one that is too short, all items are equally likely. "
        f"*{UNIFORM}* is the log's own policy. "
        "The model of the direct and the doubly robust estimate is the campaign's CTR so far × the item's popularity "
        "in features.item_popularity_daily of the day before.",
        f"Intervals: 95 %, bootstrap of rounds, {RESAMPLES} resamples. "
        "The bootstrap knows only the clicks in the rounds that agree. If there is none, the interval is a "
        "point and says nothing.",
    )
    parts = {**{name: [campaign] for name, campaign in found.items()}, "all three": list(found.values())}
    widest = 0.0
    for title, campaigns in parts.items():
        widest = max(widest, _section(page, title, campaigns))
    page.text(
        "**Check.** obp's own estimators, read from the same wheel, differ from these by at most "
        f"{widest:.1e} in any cell of the tables."
    )
    print(page.write())


def _section(page: Page, title: str, campaigns: Sequence[Campaign]) -> float:
    """One table; the widest difference to obp's estimates."""
    page.head(f"Campaign {title}" if len(campaigns) == 1 else "All three campaigns")
    rows, widest = [], 0.0
    for name in (FIRST, MIXED, UNIFORM):
        rounds = pooled([campaign.rounds(name) for campaign in campaigns])
        resamples = Resamples.draw(len(rounds.engaged), RESAMPLES, SEED)
        values = estimates(rounds, resamples)
        checked = by_obp(rounds)
        widest = max(widest, *(abs(checked[each] - value[0]) for each, value in values.items()))
        agree = int((rounds.weight > 0).sum())
        clicks = int(rounds.engaged[rounds.weight > 0].sum())
        rows.append([name, f"{agree:,}", f"{clicks}", *(_percent(value) for value in values.values())])
    for policy_name, logs in (("random, as logged", "log"), ("bts, as logged", "other")):
        engaged = np.concatenate([getattr(campaign, logs)["engaged"] for campaign in campaigns]).astype(float)
        resamples = Resamples.draw(len(engaged), RESAMPLES, SEED)
        mean = resamples.weights @ engaged / len(engaged)
        rows.append([policy_name, f"{len(engaged):,}", f"{int(engaged.sum())}", _percent(mean), "", "", ""])
    page.table(
        ["policy", "rounds that agree", "clicks in them", "IPS", "self-normalised IPS", "direct", "doubly robust"], rows
    )
    return widest


def _percent(values: Floats) -> str:
    each = Interval.of(values * 100)
    return each.text(digits=2)
