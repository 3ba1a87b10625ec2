"""Trino, spoken to by its HTTP protocol of statements.

A request says where the server is and what settings lead it to the catalog, which is made there when first
asked for.
"""

import base64
import json
import struct
import urllib.request
from datetime import datetime, timedelta
from functools import cache

EPOCH = datetime(1970, 1, 1)
# What the server may send: without the first, times come cut to milliseconds.
CAPABILITIES = "PARAMETRIC_DATETIME"


def read(catalog, table, server, settings, snapshot=None):
    """All rows, of the newest snapshot or of another, and the columns with their types as Trino spells them."""
    version = "" if snapshot is None else f" FOR VERSION AS OF {snapshot}"
    columns, rows = _query(server, f"SELECT * FROM {_quoted(server, settings, table)}{version}")
    return {
        "columns": [{"name": c["name"], "type": c["type"]} for c in columns],
        "rows": [[_canonical(v, c["typeSignature"]) for v, c in zip(row, columns)] for row in rows],
    }


def count(catalog, table, server, settings, filters):
    """For each filter, the number of rows that a scan with it returns."""
    quoted = _quoted(server, settings, table)
    columns, _ = _query(server, f"SELECT * FROM {quoted} LIMIT 0")
    types = {c["name"]: c["type"] for c in columns}
    scans = []
    for i, f in enumerate(filters):
        column, kind, op = _name(f["column"]), types[f["column"]], f["op"]
        values = [_literal(v, kind) for v in f["values"] or []]
        where = f"{column} IN ({', '.join(values)})" if op == "in" else " ".join([column, op, *values])
        scans.append(f"SELECT {i} FROM {quoted} WHERE {where}")
    counts = [0] * len(filters)
    # A statement for many filters, which takes a fraction of the time, and a scan for each of them: only filters
    # of a whole scan go down to files and row groups. Its rows are counted here: every count(*) would be a stage.
    # Statistics are read from all manifests again for each scan, and decide nothing here.
    session = f"{_catalog(server, settings)}.statistics_enabled=false"
    for at in range(0, len(scans), 40):
        for i, in _query(server, " UNION ALL ".join(scans[at : at + 40]), session)[1]:
            counts[i] += 1
    return counts


def meta(catalog, table, server, settings):
    """What the metadata tables say about the newest snapshot, and of the parts that cannot be had why."""

    def asked(name, select, more=""):
        return _query(server, f"SELECT {select} FROM {_quoted(server, settings, f'{table}${name}')}{more}")[1]

    cannot = {}

    def tried(part, ask):
        try:
            return ask()
        except RuntimeError as e:
            cannot[part] = str(e)

    columns, _ = _query(server, f"SELECT * FROM {_quoted(server, settings, table)} LIMIT 0")
    types = {c["name"]: c["type"] for c in columns}
    files = asked("files", "record_count, readable_metrics", " WHERE content = 0")
    metrics = [json.loads(text) for _, text in files]

    def of(name, metric):
        return [v for m in metrics if (v := m.get(name, {}).get(metric)) is not None]

    def total(metric):
        return {name: sum(values) for name in types if (values := of(name, metric))}

    def bounds(metric):
        return {name: [_bound(v, types[name]) for v in of(name, metric)] for name in types}

    partitions = tried("partitions", lambda: asked("partitions", "record_count"))
    entries = tried("entries", lambda: asked("entries", "count(*)", " WHERE status <> 2"))
    out = {
        "records": sum(n for n, _ in files),
        "files": len(files),
        "nulls": total("null_value_count"),
        "nans": total("nan_value_count"),
        "lower": bounds("lower_bound"),
        "upper": bounds("upper_bound"),
        "snapshots": [id for id, in asked("snapshots", "snapshot_id", " ORDER BY committed_at")],
        "cannot": cannot,
    }
    if partitions is not None:
        out["partitions"], out["partition_records"] = len(partitions), sum(n for n, in partitions)
    if entries is not None:
        out["entries"] = entries[0][0]
    return out


def _canonical(v, signature):
    """A value as the protocol has it in the form of canon.py."""
    kind, arguments = signature["rawType"], [a["value"] for a in signature["arguments"]]
    if v is None or kind in ("boolean", "varchar", "date", "uuid", "decimal"):
        return v
    if kind == "varbinary":
        return base64.b64decode(v).hex()
    if kind == "array":
        return [_canonical(x, arguments[0]) for x in v]
    if kind == "map":
        return sorted(([_canonical(k, arguments[0]), _canonical(x, arguments[1])] for k, x in v.items()), key=str)
    if kind == "row":
        return {a["fieldName"]["name"]: _canonical(x, a["typeSignature"]) for a, x in zip(arguments, v)}
    return _scalar(v, kind)


def _scalar(v, kind):
    if kind in ("real", "double"):
        v = float(v)
        if kind == "real":
            v, = struct.unpack(">f", struct.pack(">f", v))  # the text has the digits that tell floats apart
        return "nan" if v != v else struct.pack(">d", v).hex()
    if kind.startswith("timestamp"):
        return f"{_micros(v.removesuffix(' UTC').removesuffix('+00:00'))}us"
    if kind.startswith("time"):
        return f"{_micros('1970-01-01 ' + v)}us"
    return str(v)


def _micros(text):
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def _bound(v, kind):
    """A bound as readable_metrics has it."""
    if kind in ("boolean", "varchar", "date", "uuid"):
        return v
    if kind == "varbinary":
        return v.lower()
    return _scalar(v, kind)


def _literal(value, kind):
    if kind == "varbinary":
        return f"X'{value}'"
    if kind == "varchar":
        # Each character by its number: none then means anything to the parser.
        return "U&'" + "".join(f"\\+{ord(c):06x}" for c in value) + "'"
    if kind.startswith("timestamp"):
        value = value.replace("T", " ").removesuffix("Z")
    return f"CAST('{value}' AS {kind})"


def _quoted(server, settings, table):
    namespace, name = table.rsplit(".", 1)
    return ".".join([_catalog(server, settings), _name(namespace), _name(name)])


def _name(part):
    return '"' + part.replace('"', '""') + '"'


def _catalog(server, settings):
    """The name of a catalog with the settings."""
    return _made(server, tuple(map(tuple, settings)))


@cache
def _made(server, settings):
    name = f"lake_{abs(hash(settings)):x}"
    using = dict(settings)
    properties = ", ".join(f"{_name(k)} = '{v}'" for k, v in using.items() if k != "connector.name")
    _query(server, f"CREATE CATALOG IF NOT EXISTS {name} USING {using['connector.name']} WITH ({properties})")
    return name


def _query(server, statement, session=""):
    """The columns and the rows that a statement gives, under settings of the session."""
    request = urllib.request.Request(f"{server}/v1/statement", statement.encode(), {
        "X-Trino-User": "interop", "X-Trino-Time-Zone": "UTC", "X-Trino-Client-Capabilities": CAPABILITIES,
        **({"X-Trino-Session": session} if session else {}),
    })
    columns, rows = [], []
    while True:
        with _opener().open(request) as response:
            page = json.load(response)
        if "error" in page:
            raise RuntimeError(f"{page['error']['errorName']}: {_reason(page['error'])}: {statement[:300]}")
        columns = page.get("columns", columns)
        rows += page.get("data", [])
        if "nextUri" not in page:
            return columns, rows
        request = page["nextUri"]


def _reason(error):
    """What went wrong, and what caused it, without the stacks."""
    cause, reasons = error.get("failureInfo") or error, []
    while cause:
        if not reasons or cause.get("message") != reasons[-1]:
            reasons.append(cause.get("message") or cause.get("type"))
        cause = cause.get("cause")
    return ": ".join(map(str, reasons))


@cache
def _opener():
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
