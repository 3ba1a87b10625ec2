"""Spark on local[2]: INSERT OVERWRITE of an Iceberg table from a CSV file. Not counted are the start of
the JVM and of the session, and a first INSERT OVERWRITE of a few rows, which loads classes."""

import json
import os
import sys

import spark
from clock import Clock

job = json.loads(sys.argv[1])
os.mkdir("lake")
session = spark.open_session(job["jars"])
TYPES = {"long": "bigint", "decimal(15, 2)": "decimal(15, 2)"}
columns = ", ".join(f"{name} {TYPES.get(kind, kind)}" for name, kind in job["columns"])
session.sql("CREATE NAMESPACE default.bench")


def overwrite(table, source):
    session.read.csv(source, header=True, schema=columns).createOrReplaceTempView("input")
    session.sql(f"INSERT OVERWRITE default.bench.{table} SELECT * FROM input")


for name in "warm", "rows":
    session.sql(f"CREATE TABLE default.bench.{name} ({columns}) USING iceberg")
with open(job["input"]) as whole, open("few.csv", "w") as few:
    for _ in range(2000):
        few.write(whole.readline())
overwrite("warm", os.path.abspath("few.csv"))
with Clock(spark.pid(session)) as clock:
    overwrite("rows", job["input"])
clock.tell(session.sql("SELECT count(*) n FROM default.bench.rows").collect()[0].n)
session.stop()
