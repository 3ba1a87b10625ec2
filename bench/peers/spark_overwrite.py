"""Spark on local[2]: INSERT OVERWRITE of an Iceberg table from a CSV file. Not counted are the start of
the JVM and of the session, and a first INSERT OVERWRITE of a few rows, which loads classes."""

import json
import os
import sys
import time

from pyspark.sql import SparkSession

job = json.loads(sys.argv[1])
lake = os.path.abspath("lake")
os.mkdir(lake)
session = SparkSession.builder.master("local[2]").appName("bench")
for key, value in {
    "spark.jars": ",".join(job["jars"]),
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
    session = session.config(key, value)
session = session.getOrCreate()
session.sparkContext.setLogLevel("ERROR")
TYPES = {"long": "bigint", "decimal(15, 2)": "decimal(15, 2)"}
columns = ", ".join(f"{name} {TYPES.get(kind, kind)}" for name, kind in job["columns"])
session.sql("CREATE NAMESPACE default.bench")


def overwrite(table, source):
    session.read.csv(source, header=True, schema=columns).createOrReplaceTempView("input")
    session.sql(f"INSERT OVERWRITE default.bench.{table} SELECT * FROM input")


def status(key):
    with open(f"/proc/{jvm}/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))


def user():
    with open(f"/proc/{jvm}/stat") as line:
        return int(line.read().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")


for name in "warm", "rows":
    session.sql(f"CREATE TABLE default.bench.{name} ({columns}) USING iceberg")
with open(job["input"]) as whole, open("few.csv", "w") as few:
    for _ in range(2000):
        few.write(whole.readline())
overwrite("warm", os.path.abspath("few.csv"))
jvm = session._jvm.java.lang.ProcessHandle.current().pid()
before, start = user(), time.perf_counter()
overwrite("rows", job["input"])
wall = time.perf_counter() - start
result = {"Wall": wall, "User": user() - before, "Peak": status("VmHWM")}
result["Rows"] = session.sql("SELECT count(*) n FROM default.bench.rows").collect()[0].n
print(json.dumps(result))
session.stop()
