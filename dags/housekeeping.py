"""Airflow DAG of the daily upkeep: retention, snapshots, small files, and what builds left behind."""

from feedmill.airflow.housekeeping import housekeeping_dag
from include.tables import TABLES

housekeeping = housekeeping_dag(TABLES)
