"""Spark on local[2], with the SQLite catalog in lake as its catalog "default"."""

import os

from pyspark.sql import SparkSession


def open_session(jars):
    lake = os.path.abspath("lake")
    builder = SparkSession.builder.master("local[2]").appName("bench")
    for key, value in {
        "spark.jars": ",".join(jars),
        "spark.driver.memory": "4g",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": lake,
        "spark.sql.warehouse.dir": os.path.join(lake, "spark"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.default": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.default.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        "spark.sql.catalog.default.uri": f"jdbc:sqlite:{lake}/catalog.db",
        "spark.sql.catalog.default.jdbc.schema-version": "V1",
        "spark.sql.catalog.default.warehouse": f"file://{lake}",
    }.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def pid(session):
    return session._jvm.java.lang.ProcessHandle.current().pid()
