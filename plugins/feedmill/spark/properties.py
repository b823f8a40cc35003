"""Spark's settings that rows depend on, the same for every application and server: catalog, extensions, time zone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlencode

from sqlalchemy.engine import URL, make_url

from feedmill.connections import CATALOG
from feedmill.spark.java import cache_folder

PACKAGES = ("org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0", "org.postgresql:postgresql:42.7.7")

ONE_MACHINE = {
    # Much data make partitions that fit into two gigabytes: with two of them, an aggregation of 16 million rows by user
    # and item took twice as long. Little data make one for each core.
    "spark.sql.shuffle.partitions": "32",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "8m",
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "true",
}
"""How a Spark of few cores and two gigabytes divides its work; a cluster has settings of its own."""


def session_settings(catalog: Mapping[str, str]) -> dict[str, str]:
    """What a Spark that runs Feedmill's builds must be told, whoever starts it.

    ``catalog`` is the Iceberg catalog as PyIceberg takes it, from the connection ``iceberg_default``. The result holds
    its password: it belongs into a private file, not on a command line.
    """
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalogImplementation": "in-memory",
        **catalog_settings(catalog),
    }


def catalog_settings(properties: Mapping[str, str]) -> dict[str, str]:
    """The catalog's settings in Spark, from PyIceberg's: the two share all names but those of SQL catalogs."""
    found = dict(properties)
    if found.get("type") == "sql":
        url = make_url(found.pop("uri"))
        found |= {
            "type": "jdbc",
            # Its query, such as sslmode, has the same names for Java's driver.
            "uri": f"jdbc:postgresql://{url.host}:{url.port or 5432}/{url.database}{_query(url)}",
            # What PyIceberg's SqlCatalog reads and writes.
            "jdbc.schema-version": "V1",
        }
        if url.username is not None:
            found["jdbc.user"] = url.username
        if url.password is not None:
            found["jdbc.password"] = str(url.password)
    name = f"spark.sql.catalog.{CATALOG}"
    return {
        name: "org.apache.iceberg.spark.SparkCatalog",
        **{f"{name}.{key}": value for key, value in found.items()},
        # PyIceberg publishes to the same tables: a cached one would show yesterday's main.
        f"{name}.cache-enabled": "false",
    }


def _query(url: URL) -> str:
    return f"?{urlencode(dict(url.query), doseq=True)}" if url.query else ""


def package_settings() -> dict[str, str]:
    """The jars that Spark needs beside its own, resolved by Spark itself and kept in the user's cache."""
    mirror = os.environ.get("FEEDMILL_MAVEN_MIRROR")
    return {
        "spark.jars.packages": ",".join(PACKAGES),
        "spark.jars.ivy": str(cache_folder() / "ivy"),
        **({"spark.jars.repositories": mirror} if mirror else {}),
    }


def properties_text(settings: Mapping[str, str]) -> str:
    """A properties file of these settings, as Java reads one."""

    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace("\n", "\\n")

    return "".join(f"{name} {escaped(value)}\n" for name, value in settings.items())
