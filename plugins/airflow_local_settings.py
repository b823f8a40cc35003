"""Airflow imports this file when it starts. Where Feedmill is installed, Airflow finds the policy by itself."""

import logging
from importlib.metadata import entry_points

__all__: list[str] = []

if not entry_points(group="airflow.policy", name="feedmill"):
    try:
        from feedmill.airflow.policy import dag_policy as dag_policy

        __all__ += ["dag_policy"]
    except ImportError as error:
        # Airflow would not start at all: an older wheel beside this folder has no policy.
        logging.getLogger(__name__).warning("Feedmill's policy is not applied: %s", error)
