"""Feedmill: recommendation ETL on Airflow, whose staleness is computed, not signalled."""
