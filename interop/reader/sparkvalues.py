"""Values of Spark in the canonical form of canon.py, which needs Arrow; Spark's Python has none.

Importing this has PySpark hand out dates and timestamps in that form, instead of Python's own,
which end at the years 1 and 9999.
"""

import json
import struct
from datetime import date, timedelta

from pyspark.sql import types

EPOCH = date(1970, 1, 1)


def _micros(self, v):
    return None if v is None else f"{v}us"


def _date(self, v):
    return None if v is None else (EPOCH + timedelta(days=v)).isoformat()


types.DateType.fromInternal = _date
types.TimestampType.fromInternal = types.TimestampNTZType.fromInternal = _micros


def canonical(v, t):
    """The value v of a row, of Spark's type t."""
    if v is None:
        return None
    if isinstance(t, (types.FloatType, types.DoubleType)):
        return "nan" if v != v else struct.pack(">d", v).hex()
    if isinstance(t, types.IntegralType):
        return str(v)
    if isinstance(t, types.DecimalType):
        return format(v, "f")
    if isinstance(t, types.BinaryType):
        return v.hex()
    if isinstance(t, types.StructType):
        return {f.name: canonical(x, f.dataType) for f, x in zip(t.fields, v)}
    if isinstance(t, types.ArrayType):
        return [canonical(x, t.elementType) for x in v]
    if isinstance(t, types.MapType):
        return sorted(([canonical(k, t.keyType), canonical(x, t.valueType)] for k, x in v.items()), key=str)
    if t.typeName() == "variant":
        return json.dumps(json.loads(v.toJson()), ensure_ascii=False, separators=(",", ":"))
    return v  # booleans, strings; dates and timestamps, see above
