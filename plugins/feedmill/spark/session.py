"""Spark sessions, one for each try. The type of the connection ``spark_default`` says where they run.

``spark_connect``: on a Spark Connect server. ``spark``: in an application of their own, started by spark-submit.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from feedmill import connections
from feedmill.connections import SPARK_CONNECT_TYPE, SPARK_SUBMIT_TYPE, Connection, ConnectionNotDefinedError
from feedmill.spark import connect, submit

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession


def session_of(session_id: str, pool: str | None = None) -> AbstractContextManager[SparkSession]:
    """A try's session on the ``spark_default`` connection, closed at the end.

    ``pool`` is its share of a Connect server, see :mod:`feedmill.spark.pools`. An application has its Spark to itself.

    Raises:
        SparkUnavailableError: Spark does not answer, does not start, or died meanwhile.
    """
    connection = _connection()
    if connection.conn_type == SPARK_SUBMIT_TYPE:
        return submit.session_on(connection, session_id)
    return connect.session_on(connection, session_id, pool)


def interrupt(session_id: str) -> None:
    """Stop what the session still runs."""
    connection = _connection()
    if connection.conn_type == SPARK_SUBMIT_TYPE:
        submit.interrupt(session_id)
    else:
        connect.interrupt(connection, session_id)


def _connection() -> Connection:
    connection = connections.get(connections.SPARK)
    if connection.conn_type not in (SPARK_CONNECT_TYPE, SPARK_SUBMIT_TYPE):
        raise ConnectionNotDefinedError(
            f"Connection {connection.conn_id} has the type '{connection.conn_type}', which Feedmill does not know. Use "
            f"{SPARK_CONNECT_TYPE} for a Spark Connect server, {SPARK_SUBMIT_TYPE} for one application a build."
        )
    return connection
