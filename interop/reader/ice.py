"""PyIceberg."""

import json
from datetime import date
from functools import cache, partial
from hashlib import sha512
from urllib.parse import quote
from urllib.request import urlopen

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import (
    EqualTo, GreaterThan, GreaterThanOrEqual, In, IsNull, LessThan, LessThanOrEqual, NotEqualTo, NotNull,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import StaticTable
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BinaryType, DateType, FixedType, LongType, NestedField, TimestamptzType, UUIDType,
)

from reader import canon

COMPARE = {
    "=": EqualTo, "!=": NotEqualTo, "<": LessThan, "<=": LessThanOrEqual, ">": GreaterThan, ">=": GreaterThanOrEqual,
}


@cache
def _catalog(properties):
    return load_catalog("default", **dict(properties))


def load(catalog, table):
    return _catalog(tuple(sorted(catalog.items()))).load_table(table)


def create(catalog, table):
    """A table of PyIceberg's, partitioned by day, in a catalog that is new as well; returns its location."""
    c = _catalog(tuple(sorted(catalog.items())))
    c.create_namespace_if_not_exists(table.rsplit(".", 1)[0])
    schema = Schema(NestedField(1, "id", LongType(), required=False), NestedField(2, "day", DateType(), required=False))
    spec = PartitionSpec(PartitionField(source_id=2, field_id=1000, transform=IdentityTransform(), name="day"))
    return c.create_table(table, schema, partition_spec=spec).location()


def append(catalog, table, id, day):
    """Adds one row to such a table; returns how many it has."""
    t = load(catalog, table)
    rows = {"id": pa.array([id], pa.int64()), "day": pa.array([date.fromisoformat(day)], pa.date32())}
    t.append(pa.table(rows))
    return t.scan().to_arrow().num_rows


def clusters(catalog, table, count, index):
    """Adds rows as clustered() of interop/pageindex_test.go has Spark make them, in one file, with a page index or
    without: PyIceberg itself has PyArrow write none."""
    ids = [n // 1000 * 10000 + n % 1000 for n in range(count)]
    rows = pa.table({
        "id": pa.array(ids, pa.int64()),
        "name": pa.array(["x" * 80 + f"{i:09}" for i in ids]),
        "text": pa.array([sha512(str(n).encode()).hexdigest() for n in range(count)]),
    })
    writer = pq.ParquetWriter
    pq.ParquetWriter = partial(writer, write_page_index=index)
    try:
        load(catalog, table).append(rows)
    finally:
        pq.ParquetWriter = writer


def read(catalog, table, snapshot=None):
    """All rows, of the newest snapshot or of another, and the columns with their types as Iceberg spells
    them: those that the table had then."""
    t = load(catalog, table)
    scan = t.scan(snapshot_id=snapshot)
    fields = scan.projection().fields
    uuids = {f.name for f in fields if isinstance(f.field_type, UUIDType)}
    return {
        "columns": [{"name": f.name, "type": str(f.field_type), "required": f.required} for f in fields],
        "rows": canon.rows(scan.to_arrow(), uuids),
        "format_version": t.format_version,
    }


def refs(catalog, table):
    """The snapshot of every branch and tag."""
    return {name: ref.snapshot_id for name, ref in load(catalog, table).refs().items()}


def total(catalog, table):
    """How many rows the newest snapshot has, by reading them."""
    return load(catalog, table).scan().to_arrow().num_rows


def count(catalog, table, filters):
    """For each filter, the number of rows that a scan with it returns; null for one that
    PyArrow cannot evaluate, which is a comparison of UUIDs."""
    t = load(catalog, table)
    out = []
    for f in filters:
        if isinstance(t.schema().find_field(f["column"]).field_type, UUIDType) and not f["op"].startswith("is"):
            out.append(None)
            continue
        matching = t.scan(row_filter=_expression(t.schema(), f), selected_fields=(t.schema().fields[0].name,))
        out.append(matching.to_arrow().num_rows)
    return out


def _expression(schema, f):
    column, op, values = f["column"], f["op"], f["values"] or []
    t = schema.find_field(column).field_type
    if isinstance(t, (BinaryType, FixedType)):
        values = [bytes.fromhex(v) for v in values]
    elif isinstance(t, TimestamptzType):
        values = [v.removesuffix("Z") + "+00:00" if v.endswith("Z") else v for v in values]
    if op == "is null":
        return IsNull(column)
    if op == "is not null":
        return NotNull(column)
    if op == "in":
        return In(column, values)
    return COMPARE[op](column, values[0])


def history(catalog, table):
    """The snapshots that the metadata lists, oldest first."""
    return [
        {
            "id": s.snapshot_id,
            "parent": s.parent_snapshot_id,
            "operation": s.summary.operation.value,
            "summary": s.summary.additional_properties,
        }
        for s in load(catalog, table).metadata.snapshots
    ]


def meta(catalog, table):
    """What the metadata tables say about the newest snapshot."""
    t = load(catalog, table)
    inspect, files = t.inspect, t.inspect.files()
    of = {f.name: [m[f.name] for m in files["readable_metrics"].to_pylist()] for f in t.schema().fields if f.field_type.is_primitive}
    metrics = files["readable_metrics"].combine_chunks()
    partitions = inspect.partitions()

    def total(key):
        sums = {name: [c[key] for c in column if c[key] is not None] for name, column in of.items()}
        return {name: sum(ns) for name, ns in sums.items() if ns}

    def bounds(which):
        return {name: [v for v in canon.column(metrics.field(name).field(which), isinstance(t.schema().find_field(name).field_type, UUIDType)) if v is not None] for name in of}

    return {
        "records": sum(files["record_count"].to_pylist()),
        "files": files.num_rows,
        "nulls": total("null_value_count"),
        "nans": total("nan_value_count"),
        "lower": bounds("lower_bound"),
        "upper": bounds("upper_bound"),
        "partition_records": sum(partitions["record_count"].to_pylist()),
        "partitions": partitions.num_rows,
        "snapshots": inspect.snapshots()["snapshot_id"].to_pylist(),
        "entries": sum(status != 2 for status in inspect.entries()["status"].to_pylist()),
    }


def write(path, columns):
    """Writes a Parquet file: input that another writer made. columns: name, Arrow type, values."""
    types = {"int64": pa.int64(), "string": pa.string(), "date": pa.date32(), "double": pa.float64()}
    data = {
        c["name"]: pa.array(c["values"]).cast(types[c["type"]]) if any(v is not None for v in c["values"])
        else pa.nulls(len(c["values"]), types[c["type"]])
        for c in columns
    }
    pq.write_table(pa.table(data), path)


def swaps(catalog, table):
    """The snapshots, oldest first, with the rows of each by the columns day and run, and the paths of its
    data files. Every file is read once."""
    t = load(catalog, table)
    counts = {}

    def count(path):
        if path not in counts:
            with t.io.new_input(path).open() as f:
                rows = pq.ParquetFile(f).read(columns=["day", "run"]).to_pylist()
            counts[path] = [(str(r["day"]), r["run"]) for r in rows]
        return counts[path]

    out = []
    for s in _snapshots(catalog, table, t):
        files = [
            e.data_file for m in s.manifests(t.io) for e in m.fetch_manifest_entry(t.io, discard_deleted=True)
        ]
        contents = {}
        for f in files:
            assert f.content == 0, f"{f.file_path} is a delete file"
            for day, run in count(f.file_path):
                of = contents.setdefault(day, {})
                of[run] = of.get(run, 0) + 1
        out.append({
            "id": s.snapshot_id, "operation": s.summary.operation.value, "contents": contents,
            "attempt": s.summary.additional_properties.get("icewright.attempt", ""),
            "files": [f.file_path for f in files],
        })
    return out


def _snapshots(catalog, table, t):
    """Those of the table, oldest first. Nessie's tables show the newest only; the history is in its own commits,
    each with the metadata that the table had then."""
    if "nessie.commit.id" not in t.properties:
        return t.metadata.snapshots
    out, key, more = [], table.split("."), ""
    while more is not None:
        page = _nessie(catalog, "trees/main/history?fetch=ALL" + more)
        for entry in page["logEntries"]:
            for op in entry.get("operations") or []:
                if op["type"] == "PUT" and op["key"]["elements"] == key:
                    then = StaticTable.from_metadata(op["content"]["metadataLocation"], catalog)
                    if then.current_snapshot():  # none when the table was made
                        out.append(then.current_snapshot())
        more = "&page-token=" + quote(page["token"]) if page.get("hasMore") else None
    return out[::-1]


def _nessie(catalog, path):
    with urlopen(catalog["uri"].removesuffix("/iceberg") + "/api/v2/" + path) as answer:
        return json.load(answer)
