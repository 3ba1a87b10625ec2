"""DuckDB's COPY of one input to Parquet files, timed inside the process: its start is not counted."""

import json
import resource
import sys
import time

import duckdb

job = json.loads(sys.argv[1])
connection = duckdb.connect()
for setting in job["settings"]:
    connection.execute(setting)
before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
start = time.perf_counter()
rows = connection.execute(job["copy"]).fetchone()[0]
wall = time.perf_counter() - start
user = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
print(json.dumps({"Wall": wall, "User": user, "Peak": peak, "Rows": rows}))
