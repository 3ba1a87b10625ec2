"""Reads Iceberg tables with software that is not ours, for the Go tests beside it.

Takes one JSON request a line on standard input and answers with one JSON line on
standard output, so that a test pays for importing the libraries once. A request names
what to do and the table; see the functions. An answer is {"ok": ...} or {"error": ...}.
"""

import json
import sys
import traceback

from reader import acid, duck, files, ice, trino

REQUESTS = {
    "acid.encrypt": acid.encrypt,
    "acid.pipe": acid.pipe,
    "acid.same": acid.same,
    "acid.write": acid.write,
    "pyiceberg.read": ice.read,
    "pyiceberg.count": ice.count,
    "pyiceberg.total": ice.total,
    "pyiceberg.refs": ice.refs,
    "pyiceberg.history": ice.history,
    "pyiceberg.swaps": ice.swaps,
    "pyiceberg.write": ice.write,
    "pyiceberg.create": ice.create,
    "pyiceberg.append": ice.append,
    "pyiceberg.clusters": ice.clusters,
    "pyiceberg.files": files.check,
    "pyiceberg.meta": ice.meta,
    "duckdb.read": duck.read,
    "duckdb.count": duck.count,
    "duckdb.total": duck.total,
    "duckdb.meta": duck.meta,
    "trino.read": trino.read,
    "trino.count": trino.count,
    "trino.meta": trino.meta,
}


def main():
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": REQUESTS[request.pop("do")](**request)}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}", "trace": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


main()
