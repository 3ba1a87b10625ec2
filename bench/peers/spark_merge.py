"""Spark's MERGE INTO of a Parquet file into a table that is there. Not counted are the start of the JVM and of the session, and
a first MERGE INTO of a few rows into a small table, which loads classes."""

import json
import sys

import spark
from clock import Clock

job = json.loads(sys.argv[1])
session = spark.open_session(job["jars"])


def merge(table, changes):
    changes.createOrReplaceTempView("changes")
    session.sql(f"""MERGE INTO default.bench.{table} t USING changes c ON t.{job["key"]} = c.{job["key"]}
        WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *""")


changes = session.read.parquet(job["changes"])
session.sql("CREATE TABLE default.bench.warm USING iceberg AS SELECT * FROM default.bench.rows LIMIT 2000")
merge("warm", changes.limit(1000))
with Clock(spark.pid(session)) as clock:
    merge("rows", changes)
clock.tell(changes.count())
session.stop()
