"""The check pages, served by Airflow's own web server to users who may read the logs of the table's DAG."""

from __future__ import annotations

import re

import fsspec
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse

from feedmill import connections
from feedmill.checks import pages

app = FastAPI(title="Feedmill", docs_url=None, redoc_url=None, openapi_url=None)

_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")


# Airflow asks nobody to log in for a plugin's web app: each route must check the user itself.
@app.get(
    pages.ROUTE.format(table="{dag_id}", build="{build_id}"),
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))],
)
def check_page(dag_id: str, build_id: str) -> HTMLResponse:
    """The page of a build's check."""
    if not (_NAME.fullmatch(dag_id) and _NAME.fullmatch(build_id)):
        raise HTTPException(404, "no such page")
    url = pages.file(connections.get(connections.ICEBERG).pages, dag_id, build_id)
    try:
        with fsspec.open(url, "r", encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        raise HTTPException(
            404, f"build {build_id} of {dag_id} has no check page: the build was not checked, or its page has expired"
        ) from None
    # The page shows data: nothing in it may run or load anything.
    return HTMLResponse(text, headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"})
