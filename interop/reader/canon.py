"""Values as JSON that compares exactly, the same for every reader and for the Go model.

null is null; numbers are strings (an integer in decimal, a decimal with its scale, a
float as the 16 hex digits of its 64 bits, any NaN as "nan"); a date is YYYY-MM-DD; a
time or timestamp is its count of units since midnight or 1970 with the unit, "17us";
binary is hex; a struct is an object, a list an array, a map an array of [key, value]
sorted by key.
"""

import struct

import pyarrow as pa


def rows(table, uuids=()):
    """The rows of an Arrow table, each a list in column order. Columns named in uuids
    come as 16 bytes from some readers."""
    columns = [
        column(table.column(i).combine_chunks(), table.column_names[i] in uuids)
        for i in range(table.num_columns)
    ]
    return [list(row) for row in zip(*columns)]


def column(array, is_uuid=False):
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    t = array.type
    if isinstance(t, pa.BaseExtensionType):
        return column(array.storage, is_uuid or "uuid" in t.extension_name)
    if pa.types.is_dictionary(t):
        return column(array.dictionary_decode(), is_uuid)
    if pa.types.is_timestamp(t) or pa.types.is_time(t):
        unit = "ns" if t.unit == "ns" else "us"
        scale = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}[t.unit]
        width = pa.int32() if t.bit_width == 32 else pa.int64()
        return [None if v is None else f"{v * scale}{unit}" for v in array.view(width).to_pylist()]
    if pa.types.is_floating(t):
        return each(array, lambda v: "nan" if v != v else struct.pack(">d", v).hex())
    if pa.types.is_integer(t):
        return each(array, str)
    if pa.types.is_decimal(t):
        return each(array, lambda v: format(v, "f"))
    if pa.types.is_date(t):
        return each(array, lambda v: v.isoformat())
    if is_uuid and pa.types.is_fixed_size_binary(t):
        return each(array, lambda v: "-".join((v.hex()[:8], v.hex()[8:12], v.hex()[12:16], v.hex()[16:20], v.hex()[20:])))
    if pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_fixed_size_binary(t) or pa.types.is_binary_view(t):
        return each(array, lambda v: v.hex())
    if pa.types.is_map(t):
        return parts(array, lambda a: [list(kv) for kv in zip(column(a.keys), column(a.items))], sort=True)
    if pa.types.is_list(t) or pa.types.is_large_list(t):
        return parts(array, lambda a: column(a.values))
    if pa.types.is_struct(t):
        names = [t.field(i).name for i in range(t.num_fields)]
        fields = [column(f) for f in array.flatten()]
        valid = array.is_valid().to_pylist()
        return [dict(zip(names, row)) if ok else None for ok, *row in zip(valid, *fields)]
    return array.to_pylist()  # booleans, strings


def each(array, f):
    return [None if v is None else f(v) for v in array.to_pylist()]


def parts(array, values, sort=False):
    """Cuts the flat values of a list or map at its offsets."""
    flat, offsets = values(array), array.offsets.to_pylist()
    out = []
    for i, ok in enumerate(array.is_valid().to_pylist()):
        part = flat[offsets[i] : offsets[i + 1]] if ok else None
        out.append(sorted(part, key=str) if ok and sort else part)
    return out
