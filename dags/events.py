"""Airflow DAGs of the events: as landed, as rejected, and deduplicated."""

from feedmill.airflow.dag import table_dag, to_parse
from include.tables import TABLES

for table in to_parse(TABLES.in_schema("events")):
    globals()[table.dag_id] = table_dag(table)
