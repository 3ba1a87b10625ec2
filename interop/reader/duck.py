"""DuckDB with its Iceberg extension, loaded from wheels."""

import os
import sqlite3
from functools import cache
from urllib.parse import urlparse

import duckdb
import duckdb_ext

from reader import canon, ice

# How DuckDB casts the text of a literal, where the text alone does not tell.
BINARY = "from_hex(?)"


def read(catalog, table, snapshot=None):
    """All rows, of the newest snapshot or of another, and the columns with their types as DuckDB
    spells them."""
    con, source = _source(catalog, table, snapshot)
    described = con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    uuids = {name for name, type, *_ in described if type == "UUID"}
    return {
        "columns": [{"name": name, "type": type} for name, type, *_ in described],
        "rows": canon.rows(con.execute(f"SELECT * FROM {source}").fetch_arrow_table(), uuids),
    }


def total(catalog, table):
    """How many rows the newest snapshot has, by reading a column of them."""
    con, source = _source(catalog, table)
    return con.execute(f"SELECT count(*) FROM (SELECT * FROM {source})").fetchone()[0]


def count(catalog, table, filters):
    """For each filter, the number of rows that a scan with it returns."""
    con, source = _source(catalog, table)
    types = {name: type for name, type, *_ in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    out = []
    for f in filters:
        column, op, values = f["column"], f["op"], f["values"] or []
        literal = BINARY if types[column] == "BLOB" else f"CAST(? AS {types[column]})"
        name = '"' + column.replace('"', '""') + '"'
        if op in ("is null", "is not null"):
            where = f"{name} {op}"
        elif op == "in":
            where = f"{name} IN ({', '.join(literal for _ in values)})"
        else:
            where = f"{name} {op} {literal}"
        # Literals have to be folded into the plan to prune by; a prepared parameter is.
        out.append(con.execute(f"SELECT count(*) FROM {source} WHERE {where}", values).fetchone()[0])
    return out


def meta(catalog, table):
    """What the metadata tables say about the newest snapshot."""
    con, source = _connection(None), None
    if catalog["type"] == "sql":
        source = f"'{_metadata_location(catalog, table)}'"
    else:
        con, source = _source(catalog, table)
    entries = con.execute(f"SELECT record_count FROM iceberg_metadata({source}) WHERE status <> 'DELETED'").fetchall()
    return {
        "records": sum(n for n, in entries),
        "files": len(entries),
        "entries": len(entries),
        "snapshots": [n for n, in con.execute(f"SELECT snapshot_id FROM iceberg_snapshots({source}) ORDER BY sequence_number, timestamp_ms").fetchall()],
    }


def _source(catalog, table, snapshot=None):
    if catalog["type"] == "sql":
        at = "" if snapshot is None else f", snapshot_from_id = {snapshot}"
        return _connection(None), f"iceberg_scan('{_metadata_location(catalog, table)}'{at})"
    namespace, name = table.rsplit(".", 1)
    at = "" if snapshot is None else f" AT (VERSION => {snapshot})"
    return _connection(tuple(sorted(catalog.items()))), f'lake."{namespace}"."{name}"{at}'


def _metadata_location(catalog, table):
    """Where the table is, which DuckDB cannot ask an SQL catalog itself."""
    if not catalog["uri"].startswith("sqlite"):
        return ice.load(catalog, table).metadata_location.removeprefix("file://")
    namespace, name = table.rsplit(".", 1)
    with sqlite3.connect(catalog["uri"].removeprefix("sqlite:///"), timeout=10) as db:
        row = db.execute(
            "SELECT metadata_location FROM iceberg_tables WHERE table_namespace = ? AND table_name = ?",
            (namespace, name),
        ).fetchone()
    return row[0].removeprefix("file://")


@cache
def _connection(catalog):
    con = duckdb.connect(config={"autoinstall_known_extensions": "false", "threads": 1})
    con.execute("SET extension_directory = ?", [os.path.join(list(duckdb_ext.__path__)[0], "extensions")])
    for extension in ("avro", "httpfs", "iceberg"):
        con.execute(f"LOAD {extension}")
    if catalog is not None:
        c = dict(catalog)
        s3 = urlparse(c["s3.endpoint"])
        con.execute(
            f"CREATE SECRET (TYPE s3, KEY_ID '{c['s3.access-key-id']}', SECRET '{c['s3.secret-access-key']}', "
            f"ENDPOINT '{s3.netloc}', REGION '{c['s3.region']}', URL_STYLE 'path', USE_SSL false)"
        )
        con.execute(
            f"ATTACH '{c['warehouse']}' AS lake (TYPE iceberg, ENDPOINT '{c['uri']}', AUTHORIZATION_TYPE 'none', "
            "ACCESS_DELEGATION_MODE 'none')"
        )
    return con
