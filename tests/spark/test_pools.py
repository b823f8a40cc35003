"""Spark's fair shares: what is small does not wait behind what is large."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from pyspark.errors import PySparkException

from feedmill.connections import SPARK_CONNECT_TYPE, Connection
from feedmill.local.process import wait_until
from feedmill.spark.pools import OLD, allocations, pool_of
from feedmill.spark.session import interrupt, session_of
from include.tables import TABLES

NOW = datetime(2026, 5, 1, 10, tzinfo=UTC)


def test_every_build_s_pool_is_one_that_the_server_knows() -> None:
    known = {pool.attrib["name"] for pool in ElementTree.fromstring(allocations())}
    for table in TABLES:
        for age in (timedelta(0), OLD + timedelta(days=1)):
            assert pool_of(table, table.one(table.every.floor(NOW - age)), NOW) in known


def test_tier_1_has_the_largest_share_and_old_hours_half_of_it() -> None:
    weights = {pool.attrib["name"]: int(pool.findtext("weight", "")) for pool in ElementTree.fromstring(allocations())}
    assert weights["tier-1"] > weights["tier-2"] > weights["tier-3"] > weights["default"] - 1
    for tier in (1, 2, 3):
        assert 2 * weights[f"tier-{tier}-old"] == weights[f"tier-{tier}"]


def test_a_small_query_ends_while_a_large_one_that_came_first_is_at_work(spark_connection: Connection) -> None:
    if spark_connection.conn_type != SPARK_CONNECT_TYPE:
        pytest.skip("an application has its Spark to itself")
    large_id, ended = str(uuid.uuid4()), threading.Event()

    def work() -> None:
        with session_of(large_id, "tier-3") as spark:
            begun.append(True)
            # Some minutes in tasks of less than a second, all of them ready at once. It is cancelled at the end.
            with suppress(PySparkException):
                spark.range(0, 400 * 20_000_000, 1, 400).selectExpr("sum(hash(id, id))").collect()
        ended.set()

    begun: list[bool] = []
    large = threading.Thread(target=work)
    with session_of(str(uuid.uuid4()), "tier-1") as spark:
        small = spark.range(0, 1000, 1, 4).selectExpr("id % 7 AS k").groupBy("k").count()
        assert small.count() == 7
        large.start()
        assert wait_until(lambda: bool(begun), 60)
        for _ in range(5):
            assert small.count() == 7
        assert not ended.is_set(), "it waited for the large one"
    interrupt(large_id)
    large.join(60)
    assert ended.is_set()


def test_a_session_s_pool_reaches_the_tasks(spark_connection: Connection) -> None:
    if spark_connection.conn_type != SPARK_CONNECT_TYPE:
        pytest.skip("an application has its Spark to itself")
    with session_of(str(uuid.uuid4()), "tier-2-old") as spark:
        from pyspark.sql import functions as F

        @F.udf("string")
        def pool(_: int) -> str | None:
            from pyspark import TaskContext

            context = TaskContext.get()
            return context.getLocalProperty("spark.scheduler.pool") if context else None

        assert [row[0] for row in spark.range(2).select(pool("id")).collect()] == ["tier-2-old"] * 2
