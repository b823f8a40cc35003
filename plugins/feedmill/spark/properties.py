"""Spark settings that the rows depend on: catalog, extensions, time zone. Every application and server has the same."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from sqlalchemy.engine import URL, make_url

from feedmill.connections import CATALOG
from feedmill.spark.java import cache_folder

PACKAGES = ("org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0", "org.postgresql:postgresql:42.7.7")

ONE_MACHINE = {
    # Large data is split into partitions that fit into two gigabytes; with two partitions, an aggregation of 16 million
    # rows by user and item took twice as long. Small data gets one partition for each core.
    "spark.sql.shuffle.partitions": "32",
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "8m",
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "true",
}
"""How a Spark with few cores and two gigabytes divides its work. A cluster has its own settings."""


SECRETS = r"(?i)secret|password|token|credential|signature|access[.-]?key|account[.-]?key|sas"
"""Settings whose names match hold secrets. Spark's own expression lacks those of Azure."""


def session_settings(catalog: Mapping[str, str]) -> dict[str, str]:
    """The settings of every Spark that runs Feedmill's builds, whoever starts it.

    ``catalog`` holds PyIceberg's properties of the catalog, from the connection ``iceberg_default``. The result holds
    the catalog's password: write it to a private file, never on a command line.
    """
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.redaction.regex": SECRETS,
        **catalog_settings(catalog),
    }


def catalog_settings(properties: Mapping[str, str]) -> dict[str, str]:
    """The catalog's settings in Spark, from PyIceberg's. Only those of SQL catalogs have different names."""
    found = dict(properties)
    if found.get("type") == "sql":
        url = make_url(found.pop("uri"))
        found |= {
            "type": "jdbc",
            # The parameters of the query, such as sslmode, have the same names in Java's driver.
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
        # PyIceberg publishes to the same tables, so a cached table would show an old main.
        f"{name}.cache-enabled": "false",
    }


def secrets_of(settings: Mapping[str, str]) -> list[str]:
    """The values that no log may show."""
    return [value for name, value in settings.items() if value and re.search(SECRETS, name)]


def _query(url: URL) -> str:
    return f"?{urlencode(dict(url.query), doseq=True)}" if url.query else ""


def package_settings() -> dict[str, str]:
    """Settings for the additional jars: Spark downloads them and keeps them in the user's cache."""
    mirror = os.environ.get("FEEDMILL_MAVEN_MIRROR")
    return {
        "spark.jars.packages": ",".join(PACKAGES),
        "spark.jars.ivy": str(cache_folder() / "ivy"),
        **({"spark.jars.repositories": mirror} if mirror else {}),
    }


def properties_text(settings: Mapping[str, str]) -> str:
    """The text of a Java properties file with these settings."""

    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace("\n", "\\n")

    return "".join(f"{name} {escaped(value)}\n" for name, value in settings.items())
