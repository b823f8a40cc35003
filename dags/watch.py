"""Airflow DAG that watches, for an Airflow beside which no process can run. Paused until somebody switches it on."""

from feedmill.airflow.watch import watch_dag
from include.maintainers import INFRASTRUCTURE

watch = watch_dag(INFRASTRUCTURE)
