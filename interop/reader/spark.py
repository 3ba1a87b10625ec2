"""Spark, as a reader of its own: `python -m reader.spark JAR,JAR`.

It answers requests as `python -m reader` does, but runs in a Python that has PySpark and
nothing else. One process works on one catalog, that of its first request.
"""

import json
import sys
import traceback
from functools import cache

from pyspark.sql import SparkSession

# JdbcCatalog looks its tables up under Spark's name of the catalog, and icewright's SQLite
# catalog is called this.
NAME = "default"


def sql(catalog, table, sql):
    """The rows of a statement as texts; {table} in it stands for the table."""
    session = _session(catalog["uri"].replace("sqlite:///", "jdbc:sqlite:/"))
    session.sql(f"REFRESH TABLE {NAME}.{table}")  # others write between two requests
    rows = session.sql(sql.replace("{table}", f"{NAME}.{table}")).collect()
    return [[None if v is None else str(v) for v in row] for row in rows]


@cache
def _session(uri):
    settings = {
        "spark.jars": sys.argv[1],
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        f"spark.sql.catalog.{NAME}": "org.apache.iceberg.spark.SparkCatalog",
        f"spark.sql.catalog.{NAME}.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        f"spark.sql.catalog.{NAME}.uri": uri,
        f"spark.sql.catalog.{NAME}.jdbc.schema-version": "V1",
        f"spark.sql.catalog.{NAME}.cache-enabled": "false",
        # For tables that Spark makes, and it makes none.
        f"spark.sql.catalog.{NAME}.warehouse": "/nowhere",
    }
    builder = SparkSession.builder.master("local[1]").appName("interop")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def main():
    out = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            assert request.pop("do") == "spark.sql"
            answer = {"ok": sql(**request)}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}", "trace": traceback.format_exc()}
        print(json.dumps(answer), file=out, flush=True)


main()
