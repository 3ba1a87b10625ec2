"""Files of every type in every layout, and whether tables hold what files hold, as PyArrow and
DuckDB read these."""

import datetime
import decimal
import json
import os
import subprocess
import uuid
from pathlib import Path

import duckdb
import duckdb_ext
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from reader import ice

UTC = datetime.timezone.utc


def _table(parquet):
    """A column of every type, three rows: the second null."""
    d, dt = decimal.Decimal, datetime.datetime(2024, 1, 15, 10, 20, 30, 123456)
    day, old = datetime.date(2024, 2, 29), datetime.datetime(1899, 12, 31, 23, 59, 59)
    whole = dt.replace(microsecond=0)
    columns = {
        "bool": (pa.bool_(), [True, None, False]),
        "f16": (pa.float16(), [0.5, None, -2.0]),
        "f32": (pa.float32(), [0.1, None, float("inf")]),
        "f64": (pa.float64(), [0.1, None, -1e300]),
        "dec128": (pa.decimal128(38, 10), [d("-1.5"), None, d("1234567890123456789012345678.0123456789")]),
        "dec256": (pa.decimal256(38, 2), [d("-1.5"), None, d("99.99")]),
        "date32": (pa.date32(), [day, None, old.date()]),
        "time32s": (pa.time32("s"), [whole.time(), None, datetime.time(0)]),
        "time32ms": (pa.time32("ms"), [whole.time(), None, datetime.time(23, 59, 59, 999000)]),
        "time64us": (pa.time64("us"), [dt.time(), None, datetime.time(0)]),
        "time64ns": (pa.time64("ns"), [dt.time(), None, datetime.time(0)]),
        "text": (pa.string(), ["", None, "é\U0001f600"]),
        "large_text": (pa.large_string(), ["a", None, "b" * 100]),
        "bytes": (pa.binary(), [b"", None, b"\xff\x00"]),
        "large_bytes": (pa.large_binary(), [b"a", None, b"\xff"]),
        "fixed": (pa.binary(3), [b"abc", None, b"\x00\x01\x02"]),
        "dict": (pa.dictionary(pa.int8(), pa.string()), ["x", None, "x"]),
        "list": (pa.list_(pa.int64()), [[1, None], None, []]),
        "large_list": (pa.large_list(pa.string()), [["a"], None, ["b", "c"]]),
        "pair": (pa.list_(pa.int32(), 2), [[1, 2], None, [3, 4]]),
        "struct": (pa.struct([("x", pa.int32()), ("y", pa.list_(pa.string()))]), [{"x": 1, "y": ["a"]}, None, {"x": None, "y": None}]),
        "map": (pa.map_(pa.string(), pa.int64()), [[("k", 1)], None, []]),
        "structs": (pa.list_(pa.struct([("a", pa.int8())])), [[{"a": 1}, None], None, [{"a": 2}]]),
        "null": (pa.null(), [None, None, None]),
    }
    for bits in (8, 16, 32, 64):
        columns[f"i{bits}"] = getattr(pa, f"int{bits}")(), [-(2 ** (bits - 1)), None, 2 ** (bits - 1) - 1]
        columns[f"u{bits}"] = getattr(pa, f"uint{bits}")(), [0, None, 2**bits - 1]
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "America/New_York"):
            at = dt if unit in ("us", "ns") else whole
            columns[f"ts_{unit}_{zone}"] = pa.timestamp(unit, zone), [at, None, old]
    if not parquet:
        columns |= {
            "date64": (pa.date64(), [day, None, old.date()]),
            "dec32": (pa.decimal32(9, 2), [d("-1.5"), None, d("9999999.99")]),
            "dec64": (pa.decimal64(18, 2), [d("-1.5"), None, d("9.99")]),
            "view": (pa.string_view(), ["a", None, "a text of more than twelve bytes"]),
            "bytes_view": (pa.binary_view(), [b"a", None, b"bytes that are more than twelve"]),
            "list_view": (pa.list_view(pa.int32()), [[1], None, [2, 3]]),
            "large_list_view": (pa.large_list_view(pa.int32()), [[1], None, []]),
        }
    arrays = {name: pa.array(values, type) for name, (type, values) in columns.items()}
    arrays["uuid"] = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=1).bytes, None, uuid.UUID(int=2**128 - 1).bytes], pa.binary(16)))
    arrays["json"] = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None, "[]"]))
    if not parquet:
        arrays["bool8"] = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0], pa.int8()))
        arrays["runs"] = pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3], pa.int32()), pa.array(["a", None, "b"]))
    return pa.table(arrays)


def write(directory):
    """Writes a file for every codec, version, encoding and layout; returns their names."""
    to = Path(directory)
    everything = _table(False)
    for codec in (None, "lz4", "zstd"):
        options = ipc.IpcWriteOptions(compression=codec)
        with ipc.new_file(to / f"{codec}.arrow", everything.schema, options=options) as w:
            w.write_table(everything)
            w.write_table(everything)
        with ipc.new_stream(to / f"{codec}.arrows", everything.schema, options=options) as w:
            w.write_table(everything, max_chunksize=1)
    deltas = ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    for words, name in ((["a"], ["a", "b"]), "grows"), ((["a"], ["b"]), "replaced"):
        schema = pa.schema([("d", pa.dictionary(pa.int32(), pa.string()))])
        with ipc.new_stream(to / f"{name}.arrows", schema, options=deltas) as w:
            for dictionary in words:
                column = pa.DictionaryArray.from_arrays(pa.array(range(len(dictionary)), pa.int32()), pa.array(dictionary))
                w.write_batch(pa.record_batch([column], schema=schema))
    feather.write_feather(pa.table({"a": [1, 2]}), to / "plain.feather")
    t = _table(True)
    for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
        pq.write_table(t, to / f"{codec}.parquet", compression=codec)
    numbers = pa.table({
        "i": pa.array(range(1000), pa.int64()), "n": pa.array([i % 7 or None for i in range(1000)], pa.int32()),
        "s": [f"text {i // 3}" for i in range(1000)], "f": pa.array([i / 3 for i in range(1000)], pa.float64()),
        "b": pa.array([i % 3 == 0 for i in range(1000)]),
        "x": pa.array([i.to_bytes(4, "big") for i in range(1000)], pa.binary(4)),
    })
    for name, encoding in {
        "delta": {"i": "DELTA_BINARY_PACKED", "n": "DELTA_BINARY_PACKED", "s": "DELTA_LENGTH_BYTE_ARRAY", "b": "RLE"},
        "prefix": {"s": "DELTA_BYTE_ARRAY", "x": "DELTA_BYTE_ARRAY"},
        "split": {"f": "BYTE_STREAM_SPLIT", "i": "BYTE_STREAM_SPLIT", "n": "BYTE_STREAM_SPLIT", "x": "BYTE_STREAM_SPLIT"},
    }.items():
        for version in ("1.0", "2.0"):
            pq.write_table(numbers, to / f"{name}-{version}.parquet", use_dictionary=False, column_encoding=encoding,
                           data_page_version=version, row_group_size=300, data_page_size=500)
    pq.write_table(numbers, to / "dictionary.parquet", data_page_version="2.0", dictionary_pagesize_limit=512)
    pq.write_table(t.select(["ts_us_None", "ts_us_UTC", "i8"]), to / "int96.parquet", use_deprecated_int96_timestamps=True)
    pq.write_table(t.select(["list", "map", "structs"]), to / "old-lists.parquet", use_compliant_nested_type=False)
    pq.write_table(t.slice(0, 0), to / "empty.parquet")
    return sorted(p.name for p in to.iterdir())


class _Keys(pe.KmsClient):
    def wrap_key(self, key, name):
        return key.hex().encode()

    def unwrap_key(self, wrapped, name):
        return bytes.fromhex(wrapped.decode())


def encrypt(directory):
    """Writes encrypted Parquet files: the footer too, and columns only."""
    factory = pe.CryptoFactory(lambda config: _Keys())
    for name, plain in ("footer", False), ("columns", True):
        config = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["b"]}, plaintext_footer=plain)
        properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
        t = pa.table({"a": [1, 2], "b": ["x", "y"]})
        with pq.ParquetWriter(Path(directory) / f"encrypted-{name}.parquet", t.schema, encryption_properties=properties) as w:
            w.write_table(t)
    return True


def pipe(program, directory):
    """Has DuckDB make rows and pipes them into the program as an Arrow stream."""
    rows = duckdb.sql("SELECT i AS id, 'text ' || i % 7 AS s, DATE '2024-01-01' + (i % 3)::INT AS d, "
                      "[i, NULL] AS l, {'x': i, 'y': i::DECIMAL(9, 2)} AS r FROM range(200000) t(i)")
    p = subprocess.Popen(program, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    reader = rows.fetch_record_batch(10000)
    with ipc.new_stream(p.stdin, reader.schema) as w:
        for batch in reader:
            w.write_batch(batch)
    out, err = p.communicate()
    return {"code": p.returncode, "out": out.decode(), "err": err.decode()}


def same(catalog, table, path):
    """The rows that only the file has, and those that only the table has. The table's are read from its data
    files: PyIceberg 0.12 takes null lists of structs for empty ones."""
    avro = Path(path).read_bytes()[:4] == b"Obj\x01"
    theirs = sorted(_rows(_file(Path(path)), avro))
    ours = sorted(row for f in ice.load(catalog, table).scan().plan_files()
                  for row in _rows(pq.ParquetFile(f.file.file_path.removeprefix("file://")).read(), avro))
    return {"rows": len(theirs), "missing": _less(theirs, ours), "extra": _less(ours, theirs)}


def _file(path):
    head = path.open("rb").read(6)
    if head[:4] == b"PAR1":
        file = pq.ParquetFile(path)
        t = file.read()
        for i, f in enumerate(t.schema):
            # INT96 are instants. PyArrow leaves that open.
            if pa.types.is_timestamp(f.type) and file.schema.column(i).physical_type == "INT96":
                t = t.set_column(i, f.name, t.column(i).cast(pa.timestamp("us", "UTC")))
        return t
    if head[:4] == b"Obj\x01":
        con = duckdb.connect()
        con.execute("SET extension_directory = ?", [os.path.join(list(duckdb_ext.__path__)[0], "extensions")])
        con.execute("LOAD avro")
        return con.sql(f"SELECT * FROM read_avro('{path}')").fetch_arrow_table()
    if head == b"ARROW1":
        return ipc.open_file(path).read_all()
    return ipc.open_stream(path).read_all()


def _less(a, b):
    rest = list(a)
    for row in b:
        if row in rest:
            rest.remove(row)
    return rest[:5]


def _rows(t, micros):
    # PyArrow has no list of the values of runs.
    for i, f in enumerate(t.schema):
        if pa.types.is_run_end_encoded(f.type):
            t = t.set_column(i, f.name, pa.chunked_array([pa.array(c.to_pylist(), pa.string()) for c in t.column(i).chunks], pa.string()))
    return [json.dumps(_plain(row, micros), sort_keys=True) for row in t.to_pylist()]


def _plain(v, micros):
    """A value as JSON. With micros, moments are microseconds: DuckDB takes Avro's for mere numbers."""
    if isinstance(v, dict):
        return {k: _plain(x, micros) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [_plain(x, micros) for x in v]
    if v is None or isinstance(v, (bool, str)):
        return v
    if isinstance(v, uuid.UUID):
        v = v.bytes
    if isinstance(v, bytes):
        return v.hex()
    if micros and isinstance(v, datetime.datetime):
        v = (v - datetime.datetime(1970, 1, 1, tzinfo=v.tzinfo and UTC)) // datetime.timedelta(microseconds=1)
    if isinstance(v, datetime.datetime):
        return (v.astimezone(UTC) if v.tzinfo else v).isoformat()
    if isinstance(v, (datetime.date, datetime.time)):
        return v.isoformat()
    if isinstance(v, (int, decimal.Decimal)):
        return str(decimal.Decimal(v).normalize(decimal.Context(prec=60)))
    return repr(float(v))
