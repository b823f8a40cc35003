"""The local stack: PostgreSQL, a supervised Spark Connect server and Airflow, with no root, Docker or Java.

=================  ============================================================================
``home``           where everything lives: secrets, ports, logs, pid files
``settings``       ``airflow_settings.yaml``, with its placeholders filled
``preflight``      checks before anything is started; each error says what to do
``process``        pid files, start, stop, and processes that were left behind
``postgres``       the three databases
``spark``          the Spark Connect server;  ``supervisor`` restarts it
``airflow``        Airflow's four processes;  ``airflow_setup`` and ``scheduler`` run inside them
``stack``          ``up``, ``down``, ``status`` and ``clean`` over all of them
=================  ============================================================================

Tests use the parts alone, with a temporary home and free ports, and without Airflow::

    home = Home(tmp_path / "home").prepare(ports=free_ports())
    postgres = Postgres(home, durable=False)
    postgres.start()                      # three databases: airflow, ledger, iceberg; about a second
    spark = SparkServer(home)
    spark.start()                         # returns when it listens; about ten seconds
    postgres.url("ledger")                # postgresql+psycopg2://…
    spark.url                             # sc://localhost:…/;token=…
    home.connections()["iceberg_default"].catalog_properties
    spark.stop(); postgres.stop()

If ``FEEDMILL_HOME`` is ``home.path``, ``feedmill.connections.get`` finds them by itself.
"""
