"""PyIceberg: a CSV file read by PyArrow, then Table.overwrite, to a table in a SQLite catalog. The process's
start and the making of the table are not counted."""

import json
import os
import resource
import sys
import time

import pyarrow as pa
import pyarrow.csv
from pyiceberg.catalog.sql import SqlCatalog

job = json.loads(sys.argv[1])
TYPES = {"long": pa.int64(), "int": pa.int32(), "string": pa.string(), "date": pa.date32(), "decimal(15, 2)": pa.decimal128(15, 2)}
types = pa.schema([(name, TYPES[kind]) for name, kind in job["columns"]])
pa.set_cpu_count(2)
lake = os.path.abspath("lake")
os.mkdir(lake)
catalog = SqlCatalog("default", uri=f"sqlite:///{lake}/catalog.db", warehouse=f"file://{lake}")
catalog.create_namespace("bench")
table = catalog.create_table("bench.rows", schema=types)

before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
start = time.perf_counter()
rows = pa.csv.read_csv(job["input"], convert_options=pa.csv.ConvertOptions(column_types=types))
table.overwrite(rows)
wall = time.perf_counter() - start
user = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
print(json.dumps({"Wall": wall, "User": user, "Peak": peak, "Rows": len(rows)}))
