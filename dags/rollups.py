"""Airflow DAGs of the roll-ups: engagement by item, position and user."""

from feedmill.airflow.dag import table_dag, to_parse
from include.tables import TABLES

for table in to_parse(TABLES.in_schema("rollups")):
    globals()[table.dag_id] = table_dag(table)
