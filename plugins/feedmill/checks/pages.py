"""Where the page of a check lies: in the storage, and in Airflow's web server."""

from __future__ import annotations

MOUNT = "/feedmill"
"""Where Airflow's web server serves Feedmill's own pages."""

ROUTE = "/checks/{table}/{build}"
"""The path of a check's page below :data:`MOUNT`."""


def link(web: str, table: str, build: str) -> str:
    """The page's address in the Airflow UI, whose own address is ``web``."""
    return f"{web.rstrip('/')}{MOUNT}{ROUTE.format(table=table, build=build)}"


def folder(pages: str, table: str) -> str:
    """The folder of a table's pages in the storage; all check pages lie below ``pages``."""
    return f"{pages.rstrip('/')}/{table}"


def file(pages: str, table: str, build: str) -> str:
    """The file of a build's page in the storage."""
    return f"{folder(pages, table)}/{build}.html"


def pattern(folder: str) -> str:
    """The pattern that all pages of a folder match."""
    return f"{folder}/*.html"
