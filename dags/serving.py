"""Airflow DAGs of the rankings: what a product shows to a user, and to anyone else."""

from feedmill.airflow.dag import table_dag, to_parse
from include.tables import TABLES

for table in to_parse(TABLES.in_schema("serving")):
    globals()[table.dag_id] = table_dag(table)
