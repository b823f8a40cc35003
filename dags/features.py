"""Airflow DAGs of the features: what models and rankings know of users and items."""

from feedmill.airflow.dag import table_dag, to_parse
from include.tables import TABLES

for table in to_parse(TABLES.in_schema("features")):
    globals()[table.dag_id] = table_dag(table)
