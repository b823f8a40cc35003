FROM astrocrpublic.azurecr.io/runtime:3.3-7

# DAG files and tasks import `include` from the project and `feedmill` from plugins.
ENV PYTHONPATH=/usr/local/airflow:/usr/local/airflow/plugins
