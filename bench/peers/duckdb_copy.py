"""DuckDB's COPY of one input to Parquet files, timed inside the process: its start is not counted."""

import json
import sys

import duckdb
from clock import Clock

job = json.loads(sys.argv[1])
connection = duckdb.connect()
for setting in job["settings"]:
    connection.execute(setting)
with Clock() as clock:
    rows = connection.execute(job["copy"]).fetchone()[0]
clock.tell(rows)
