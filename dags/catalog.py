"""Airflow DAGs of the catalogue: items as they were at the end of each day."""

from feedmill.airflow.dag import table_dag, to_parse
from include.tables import TABLES

for table in to_parse(TABLES.in_schema("catalog")):
    globals()[table.dag_id] = table_dag(table)
