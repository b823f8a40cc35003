"""Everything that imports Airflow: DAGs, operators, triggers, web pages."""
