"""Spark, as a reader and a writer of its own: `python -m reader.spark JAR,JAR FOLDER`.

It answers requests as `python -m reader` does, but runs in a Python that has PySpark and
nothing else. One process, so one JVM, works on any number of catalogs: each set of
properties gets a session of its own, in which the catalog is called `default`. FOLDER is
for what Spark writes for itself.
"""

import json
import os
import re
import sys
import traceback
from functools import cache
from urllib.parse import unquote, urlsplit

from pyspark.sql import SparkSession

from reader import sparkvalues

# JdbcCatalog looks its tables up under Spark's name of the catalog, and icewright's SQLite
# catalog is called this.
NAME = "default"


def sql(catalog, table, statements):
    """Runs the statements one after the other and returns what the last one gives, as read
    does; {table} in them stands for the table as queries name it, {name} as procedures do."""
    session = _session(catalog)
    for i, statement in enumerate(statements):
        text = statement.replace("{table}", _quoted(table)).replace("{name}", table)
        try:
            frame = session.sql(text)
            if i == len(statements) - 1:
                return _result(frame)
        except Exception as e:
            raise RuntimeError(f"statement {i + 1}: {text}: {_reason(e)}") from e
    return None


def read(catalog, table, snapshot=None):
    """All rows, of the newest snapshot or of another, and the columns with their types as
    Spark spells them."""
    version = "" if snapshot is None else f" VERSION AS OF {snapshot}"
    return _result(_session(catalog).sql(f"SELECT * FROM {_quoted(table)}{version}"))


def total(catalog, table):
    """How many rows the newest snapshot has, by reading them. A plain count(*) is answered
    from metadata where there are no delete files."""
    return _session(catalog).sql(f"SELECT * FROM {_quoted(table)}").rdd.count()


def count(catalog, table, filters):
    """For each filter, the number of rows that a scan with it returns; null for IN of texts
    where Iceberg 1.11 trips over a null partition, in Spark's own tables too."""
    session, counts, scans = _session(catalog), [0] * len(filters), []
    types = {f.name: f.dataType.simpleString() for f in session.sql(f"SELECT * FROM {_quoted(table)}").schema}
    for i, f in enumerate(filters):
        column, kind, op = _name(f["column"]), types[f["column"]], f["op"]
        values = [_literal(v, kind) for v in f["values"] or []]
        where = f"{column} IN ({', '.join(values)})" if op == "in" else " ".join([column, op, *values])
        scan = f"SELECT {i} AS i FROM {_quoted(table)} WHERE {where}"
        if op != "in" or kind != "string":
            scans.append(scan)
            continue
        try:
            counts[i] = len(session.sql(scan).collect())
        except Exception as e:
            if "NullPointerException: Invalid object" not in _reason(e):
                raise RuntimeError(f"WHERE {where}: {_reason(e)}") from e
            counts[i] = None
    # A statement for many filters, which takes a fraction of the time, and a scan for each of them, because
    # only filters of a whole scan go down to files and row groups. Its rows are counted here: every count(*)
    # would be two stages more.
    for some in batched(scans, 20):
        for row in session.sql(" UNION ALL ".join(some)).collect():
            counts[row.i] += 1
    return counts


def meta(catalog, table):
    """What the metadata tables say about the newest snapshot."""
    session, quoted = _session(catalog), _quoted(table)
    files = session.sql(f"SELECT record_count, readable_metrics FROM {quoted}.files WHERE content = 0")
    columns = {f.name: {m.name: m.dataType for m in f.dataType} for f in files.schema["readable_metrics"].dataType}
    rows = files.collect()

    def of(name, metric):
        values = (row.readable_metrics[name][metric] for row in rows)
        return [canonical for v in values if (canonical := sparkvalues.canonical(v, columns[name][metric])) is not None]

    def total(metric):
        return {name: sum(map(int, values)) for name in columns if (values := of(name, metric))}

    def asked(statement):
        return session.sql(statement.replace("{table}", quoted)).collect()

    partitions = asked("SELECT record_count FROM {table}.partitions")
    return {
        "records": sum(row.record_count for row in rows),
        "files": len(rows),
        "nulls": total("null_value_count"),
        "nans": total("nan_value_count"),
        "lower": {name: of(name, "lower_bound") for name in columns},
        "upper": {name: of(name, "upper_bound") for name in columns},
        "partition_records": sum(p.record_count for p in partitions),
        "partitions": len(partitions),
        "snapshots": [s.snapshot_id for s in asked("SELECT snapshot_id FROM {table}.snapshots ORDER BY committed_at")],
        "entries": asked("SELECT count(*) AS n FROM {table}.entries WHERE status <> 2")[0].n,
    }


def batched(items, n):
    return [items[i : i + n] for i in range(0, len(items), n)]


def delete_equal(catalog, table, column, values, partition, spec):
    """Adds an equality delete file, which Spark itself writes none of: rows whose column, of
    strings, has one of the values, in a partition ("region=a") of a partition spec. Under an
    unpartitioned spec it goes for all partitions."""
    session = _session(catalog)
    ice, gateway = session._jvm.org.apache.iceberg, session.sparkContext._gateway
    t = ice.spark.Spark3Util.loadIcebergTable(session._jsparkSession, f"{NAME}.{table}")
    spec = t.specs()[spec]
    of = ice.data.GenericRecord.create(t.schema().select([column]))
    ids = gateway.new_array(session._jvm.int, 1)
    ids[0] = t.schema().findField(column).fieldId()
    where = ice.DataFiles.data(spec, partition) if partition else None
    file = (
        ice.io.OutputFileFactory.builderFor(t, 1, 1).format(ice.FileFormat.PARQUET).build().newOutputFile(spec, where)
    )
    factory = ice.data.GenericAppenderFactory(t.schema(), spec, ids, t.schema().select([column]), None)
    writer = factory.newEqDeleteWriter(file, ice.FileFormat.PARQUET, where)
    for value in values:
        row = of.copy()
        row.setField(column, value)
        writer.write(row)
    writer.close()
    t.newRowDelta().addDeletes(writer.toDeleteFile()).commit()


def remove_orphans(catalog, table, older_than):
    """Removes orphan files as the procedure does, which refuses an older_than of the last 24
    hours: in milliseconds since 1970. Returns the files' paths."""
    session = _session(catalog)
    ice = session._jvm.org.apache.iceberg
    t = ice.spark.Spark3Util.loadIcebergTable(session._jsparkSession, f"{NAME}.{table}")
    action = ice.spark.actions.SparkActions.get(session._jsparkSession).deleteOrphanFiles(t)
    return list(action.usePrefixListing(catalog["type"] == "rest").olderThan(older_than).execute().orphanFileLocations())


def _literal(value, kind):
    if kind == "binary":
        return f"X'{value}'"
    if kind == "string":
        # As UTF-16 units: no character then means anything to Spark's parser.
        units = value.encode("utf-16-be").hex()
        return "'" + "".join("\\u" + units[i : i + 4] for i in range(0, len(units), 4)) + "'"
    return f"CAST('{value}' AS {kind})"


def _result(frame):
    fields = frame.schema.fields
    return {
        "columns": [{"name": f.name, "type": f.dataType.simpleString(), "required": not f.nullable} for f in fields],
        "rows": [[sparkvalues.canonical(v, f.dataType) for v, f in zip(row, fields)] for row in frame.collect()],
    }


def _quoted(table):
    return ".".join(_name(part) for part in [NAME, *table.split(".")])


def _name(part):
    return "`" + part.replace("`", "``") + "`"


def _reason(e):
    """What went wrong, and what caused it, without the stacks of the JVM."""
    first = re.split(r"\n\s+at |\nJVM stacktrace", str(e))[0].strip()
    return "\n".join([first, *re.findall(r"\nCaused by: (.*)", str(e))[:3]])


@cache
def _base():
    folder = sys.argv[2]
    settings = {
        "spark.jars": sys.argv[1],
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        # The statements are many and short: what compiles them, in Spark and in the JVM, would take most of the time.
        "spark.driver.extraJavaOptions": f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.timezone=UTC -Djava.io.tmpdir={folder}",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.local.dir": folder,
        "spark.sql.warehouse.dir": os.path.join(folder, "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        # Small tables: one task instead of many, and no plans that wait for statistics.
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    }
    builder = SparkSession.builder.master("local[2]").appName("interop")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _session(catalog):
    return _session_of(tuple(sorted(catalog.items())))


@cache
def _session_of(catalog):
    session = _base().newSession()
    prefix = f"spark.sql.catalog.{NAME}"
    session.conf.set(prefix, "org.apache.iceberg.spark.SparkCatalog")
    session.conf.set(f"{prefix}.cache-enabled", "false")  # others write between two requests
    for key, value in _properties(dict(catalog)).items():
        session.conf.set(f"{prefix}.{key}", value)
    return session


def _properties(catalog):
    """The properties of a catalog as Java's Iceberg takes them, from those that PyIceberg does."""
    if catalog["type"] == "rest":
        return {
            **catalog,
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "client.region": catalog["s3.region"],
        }
    jdbc = {"catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog", "jdbc.schema-version": "V1"}
    uri = urlsplit(catalog["uri"])
    if uri.scheme.startswith("postgresql"):
        return {
            **jdbc,
            "uri": f"jdbc:postgresql://{uri.hostname}:{uri.port}{uri.path}",
            "jdbc.user": unquote(uri.username),
            "jdbc.password": unquote(uri.password),
            "warehouse": "file://" + catalog["warehouse"],
        }
    path = catalog["uri"].removeprefix("sqlite:///")
    if path == catalog["uri"]:
        raise ValueError(f"Spark has no driver for {catalog['uri']}")
    return {
        **jdbc,
        "uri": f"jdbc:sqlite:{path}?busy_timeout=10000",
        "warehouse": catalog.get("warehouse", "file://" + os.path.join(os.path.dirname(path), "warehouse")),
    }


REQUESTS = {
    "sql": sql,
    "read": read,
    "total": total,
    "count": count,
    "meta": meta,
    "delete_equal": delete_equal,
    "remove_orphans": remove_orphans,
}


def main():
    out = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": REQUESTS[request.pop("do").partition(".")[2]](**request)}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {_reason(e)}", "trace": _reason(traceback.format_exc())}
        print(json.dumps(answer), file=out, flush=True)


main()
