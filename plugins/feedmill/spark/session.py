"""Spark sessions, one for each try: the type of the connection ``spark_default`` says on what.

``spark_connect``: on a Spark Connect server. ``spark``: on an application of the session's own, by spark-submit.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from feedmill import connections
from feedmill.connections import SPARK_CONNECT_TYPE, SPARK_SUBMIT_TYPE, Connection, ConnectionNotDefinedError
from feedmill.spark import connect, submit

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession


def session_of(session_id: str) -> AbstractContextManager[SparkSession]:
    """The session of a try on the ``spark_default`` connection, released at the end.

    Raises:
        SparkUnavailableError: Spark does not answer or start, or went away meanwhile.
    """
    connection = _connection()
    if connection.conn_type == SPARK_SUBMIT_TYPE:
        return submit.session_on(connection, session_id)
    return connect.session_on(connection, session_id)


def interrupt(session_id: str) -> None:
    """Stop whatever a session still runs."""
    connection = _connection()
    if connection.conn_type == SPARK_SUBMIT_TYPE:
        submit.interrupt(session_id)
    else:
        connect.interrupt(connection, session_id)


def _connection() -> Connection:
    connection = connections.get(connections.SPARK)
    if connection.conn_type not in (SPARK_CONNECT_TYPE, SPARK_SUBMIT_TYPE):
        raise ConnectionNotDefinedError(
            f"Connection {connection.conn_id} is of type '{connection.conn_type}': {SPARK_CONNECT_TYPE} is a Spark "
            f"Connect server, {SPARK_SUBMIT_TYPE} an application for each build."
        )
    return connection
