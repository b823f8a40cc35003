"""The local stack: PostgreSQL, a supervised Spark Connect server and Airflow, with no root, Docker or Java.

=================  ============================================================================
``home``           where everything lives: secrets, ports, logs, pid files
``settings``       ``airflow_settings.yaml``, with its placeholders filled
``preflight``      what must hold before anything is started, in sentences
``process``        pid files, start, stop, and who is left
``postgres``       the three databases
``spark``          the Spark Connect server;  ``supervisor`` restarts it
``airflow``        Airflow's four processes;  ``airflow_setup`` and ``scheduler`` run inside them
``stack``          ``up``, ``down``, ``status`` and ``clean`` over all of them
=================  ============================================================================

Parts are usable alone, with a temporary home and free ports; no Airflow is involved then::

    home = Home(tmp_path / "home").prepare(ports=free_ports())
    postgres = Postgres(home, durable=False)
    postgres.start()                      # three databases: airflow, ledger, iceberg; about a second
    spark = SparkServer(home)
    spark.start()                         # returns when it listens; about ten seconds
    postgres.url("ledger")                # postgresql+psycopg2://…
    spark.url                             # sc://localhost:…/;token=…
    home.connections()["iceberg_default"].catalog_properties
    spark.stop(); postgres.stop()

With ``FEEDMILL_HOME`` at ``home.path``, ``feedmill.connections.get`` finds them by itself.
"""
