"""The logs that the evaluation reads, as impressions: one row for each shown item, with the user's reaction.

The repository contains none of them. KuaiRand is read from the folder that ``FEEDMILL_KUAIRAND`` names (by default the
one beside the project). ML-100K and Open Bandit are read from wheels on PyPI that carry them as files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.events import UNKNOWN

PROJECT = Path(__file__).resolve().parents[1]
CACHE = PROJECT / ".feedmill" / "evaluation"

KUAIRAND_LOG = "log_standard_2022-04-25_to_04-30.parquet"
KUAIRAND_ITEMS = "video_features_basic_pure.csv"
KUAIRAND_ENGAGED = ("is_click", "is_like", "is_follow", "is_comment", "is_forward")
"""The columns that `include/spark/sources/kuairand.py` maps to types that `include/events.py` counts as engaged."""

RECBOLE = "recbole==1.2.1 --hash=sha256:9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
LIKED = 4
"""An ML-100K rating of 4 or 5 counts as engaged."""

NO_CATEGORY = UNKNOWN


class DataMissingError(RuntimeError):
    """A data set is missing; the message says how to get it."""


@dataclass(frozen=True)
class Impressions:
    """Impressions and the categories of their items.

    ``rows``: one row for each impression, in order of time: user, item, surface, time_ms (local), day (0, 1, …),
    engaged (0 or 1).
    ``shares``: one row for each impression and category: row (the position in ``rows``), category, weight; the weights
    of one impression sum to 1.
    """

    rows: pd.DataFrame
    shares: pd.DataFrame

    def where(self, keep: NDArray[np.bool_]) -> Impressions:
        """The impressions that ``keep`` marks."""
        position = np.cumsum(keep) - 1
        shares = self.shares[keep[self.shares["row"].to_numpy()]]
        shares = shares.assign(row=position[shares["row"].to_numpy()])
        return Impressions(self.rows[keep].reset_index(drop=True), shares.reset_index(drop=True))


def kuairand_folder() -> Path:
    """The folder of KuaiRand.

    Raises:
        DataMissingError: the data set is not there.
    """
    named = os.environ.get("FEEDMILL_KUAIRAND")
    folder = Path(named) if named else PROJECT.parent / "shared" / "data" / "kuairand"
    if not (folder / KUAIRAND_LOG).is_file():
        raise DataMissingError(
            f"KuaiRand is not in {folder}: put {KUAIRAND_LOG} and {KUAIRAND_ITEMS} (KuaiRand-Pure, Gao et al. 2022, "
            "doi 10.1145/3511808.3557624) into a folder and name it in FEEDMILL_KUAIRAND"
        )
    return folder


def kuairand() -> Impressions:
    """KuaiRand's six days (Beijing time), each event once, engaged as `include/events.py` says."""
    folder = kuairand_folder()
    log = pd.read_parquet(folder / KUAIRAND_LOG)
    log = log.drop_duplicates(["user_id", "video_id", "time_ms"], keep="first").sort_values("time_ms", kind="stable")
    moment = pd.to_datetime(log["time_ms"], unit="ms") + pd.Timedelta(hours=8)
    rows = pd.DataFrame(
        {
            "user": "kuairand:" + log["user_id"].astype(str),
            "item": "kuairand:" + log["video_id"].astype(str),
            "surface": "kuairand:" + log["tab"].astype(str),
            "time_ms": log["time_ms"] + 8 * 3_600_000,
            "day": (moment.dt.normalize() - moment.dt.normalize().min()).dt.days,
            "engaged": log[list(KUAIRAND_ENGAGED)].max(axis=1).astype("int64"),
        }
    ).reset_index(drop=True)
    items = pd.read_csv(folder / KUAIRAND_ITEMS, usecols=["video_id", "tag"], dtype=str)
    listed = items[items["tag"].notna() & (items["tag"] != "unknown")]
    tags = listed.assign(category=listed["tag"].str.split(",")).explode("category")
    tags = tags.assign(item="kuairand:" + tags["video_id"], category="kuairand:" + tags["category"])
    return Impressions(rows, shares_of(rows, tags[["item", "category"]]))


def shares_of(rows: pd.DataFrame, categories: pd.DataFrame) -> pd.DataFrame:
    """The categories of each impression's item, in equal parts. An item without any has :data:`NO_CATEGORY`."""
    categories = categories.drop_duplicates()
    joined = rows[["item"]].reset_index(names="row").merge(categories, on="item", how="left")
    joined["category"] = joined["category"].fillna(NO_CATEGORY)
    count = joined.groupby("row")["category"].transform("size")
    return joined.assign(weight=1.0 / count)[["row", "category", "weight"]].sort_values("row", ignore_index=True)


def movielens() -> Impressions:
    """ML-100K: a rating is an impression, 4 and 5 are engaged; genres in equal parts are the categories.

    Sessions and days mean nothing in it, because a user rates everything in one sitting. So ``day`` is 0.
    """
    ratings, movies = movielens_files()
    ratings = ratings.sort_values(["timestamp", "user_id", "item_id"], kind="stable", ignore_index=True)
    rows = pd.DataFrame(
        {
            "user": ratings["user_id"],
            "item": ratings["item_id"],
            "surface": "movielens",
            "time_ms": (ratings["timestamp"] * 1000).astype("int64"),
            "day": 0,
            "engaged": (ratings["rating"] >= LIKED).astype("int64"),
        }
    )
    genres = movies.assign(category=movies["class"].str.split(" ")).explode("category").dropna(subset=["category"])
    return Impressions(rows, shares_of(rows, genres.rename(columns={"item_id": "item"})[["item", "category"]]))


def place_by_time(impressions: Impressions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each impression, its place among the user's (the latest first), and how many a fifth of the user's are."""
    of_user = impressions.rows.groupby("user")["user"]
    count = of_user.transform("size").to_numpy()
    return of_user.cumcount(ascending=False).to_numpy(), count // 5


def movielens_files() -> tuple[pd.DataFrame, pd.DataFrame]:
    """ML-100K's ratings and movies, from the wheel of recbole. The wheel is read as an archive and never imported."""
    wheel = _wheel("recbole", RECBOLE)
    frames = []
    with zipfile.ZipFile(wheel) as archive:
        for suffix in ("inter", "item"):
            text = archive.read(f"recbole/dataset_example/ml-100k/ml-100k.{suffix}")
            frame = pd.read_csv(BytesIO(text), sep="\t", dtype=str)
            frames.append(frame.rename(columns=lambda name: name.partition(":")[0]))
    ratings, movies = frames
    return ratings.astype({"rating": float, "timestamp": float}), movies


def obp_wheel() -> Path:
    """The wheel of obp that holds Open Bandit's logs, as the demo names it."""
    (requirement,) = [
        line for line in (PROJECT / "requirements-demo.txt").read_text().splitlines() if line.startswith("obp==")
    ]
    return _wheel("obp", requirement)


def open_bandit(policy: str, campaign: str) -> pd.DataFrame:
    """A policy's log of a campaign, in order of time: one row for each impression.

    user (the four hashed features: all people who agree in them are one), item, category, moment, day (0, 1, …),
    position (0, 1, 2), engaged (clicked, 0 or 1), propensity (of the item at the position, by the policy).
    """
    folder = f"obp/dataset/obd/{policy}/{campaign}"
    with zipfile.ZipFile(obp_wheel()) as archive:
        log = pd.read_csv(BytesIO(archive.read(f"{folder}/{campaign}.csv")), index_col=0)
        # The items are the same in both policies' folders, and hashed differently.
        items = archive.read(f"obp/dataset/obd/random/{campaign}/item_context.csv")
        categories = pd.read_csv(BytesIO(items), index_col=0).set_index("item_id")["item_feature_1"]
    moment = pd.to_datetime(log["timestamp"], format="ISO8601")
    features = log[[f"user_feature_{number}" for number in range(4)]].astype(str)
    rows = pd.DataFrame(
        {
            "user": features.agg(" ".join, axis=1),
            "item": campaign + ":" + log["item_id"].astype(str),
            "category": log["item_id"].map(categories),
            "moment": moment,
            "day": (moment.dt.normalize() - moment.dt.normalize().min()).dt.days,
            "position": log["position"] - 1,
            "engaged": log["click"].astype("int64"),
            "propensity": log["propensity_score"],
        }
    )
    return rows.sort_values("moment", kind="stable", ignore_index=True)


def _wheel(name: str, requirement: str) -> Path:
    """The wheel, downloaded once, and only with the hash that the requirement names."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if found := sorted(CACHE.glob(f"{name}-*.whl")):
        return found[0]
    wanted = CACHE / f"{name}.txt"
    wanted.write_text(requirement + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    result = subprocess.run(
        [*command, "--dest", str(CACHE), "--requirement", str(wanted)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise DataMissingError(f"{requirement.split()[0]} could not be downloaded: {result.stderr.strip()[-500:]}")
    return sorted(CACHE.glob(f"{name}-*.whl"))[0]
