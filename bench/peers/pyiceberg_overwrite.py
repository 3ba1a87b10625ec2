"""PyIceberg: a CSV file read by PyArrow, then Table.overwrite, to a table in a SQLite catalog. The process's
start and the making of the table are not counted."""

import json
import os
import sys

import pyarrow as pa
import pyarrow.csv
from clock import Clock
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

with Clock() as clock:
    rows = pa.csv.read_csv(job["input"], convert_options=pa.csv.ConvertOptions(column_types=types))
    table.overwrite(rows)
clock.tell(len(rows))
