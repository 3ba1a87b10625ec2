"""What the manifests say about each data file, against what is in the file.

Everything is worked out anew with PyIceberg's transforms and PyArrow's Parquet reader:
the partition of every row, the counts, the bounds, the order.
"""

import uuid

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.conversions import from_bytes
from pyiceberg.table.sorting import NullOrder, SortDirection
from pyiceberg.types import BinaryType, DoubleType, FixedType, FloatType, PrimitiveType, StringType, UUIDType

from reader import ice


def check(catalog, table):
    """Returns the number of files, and a sentence for everything that is wrong."""
    t = ice.load(catalog, table)
    wrong, n = [], 0
    for task in t.scan().plan_files():
        n += 1
        for sentence in _check_file(t, task.file):
            wrong.append(f"{task.file.file_path.rsplit('/', 1)[1]} {task.file.partition}: {sentence}")
    return {"files": n, "wrong": wrong}


def _check_file(t, f):
    source = t.io.new_input(f.file_path)
    if len(source) != f.file_size_in_bytes:
        yield f"file_size_in_bytes {f.file_size_in_bytes}, the file has {len(source)}"
    parquet = pq.ParquetFile(source.open())
    footer = parquet.metadata
    if footer.num_rows != f.record_count:
        yield f"record_count {f.record_count}, the file has {footer.num_rows}"
    if b"icewright.digest" not in (footer.metadata or {}):
        yield "no icewright.digest in the footer"
    offsets = [_offset(footer.row_group(i)) for i in range(footer.num_row_groups)]
    if f.split_offsets != offsets:
        yield f"split_offsets {f.split_offsets}, the row groups start at {offsets}"

    data = parquet.read()
    schema = t.schema()
    columns = {}
    for field in schema.fields:
        if field.name not in data.column_names:
            yield f"column {field.name} is not in the file"
            continue
        columns[field.field_id] = data.column(field.name).combine_chunks()
        in_file = parquet.schema_arrow.field(field.name).metadata or {}
        if in_file.get(b"PARQUET:field_id") != str(field.field_id).encode():
            yield f"column {field.name} has field id {in_file.get(b'PARQUET:field_id')}, not {field.field_id}"

    for field in schema.fields:
        if isinstance(field.field_type, PrimitiveType):
            yield from _check_metrics(f, field, columns[field.field_id])
    yield from _check_partition(t, f, columns)
    yield from _check_order(t, f, columns)


def _offset(row_group):
    first = row_group.column(0)
    start = first.data_page_offset
    return min(start, first.dictionary_page_offset) if first.has_dictionary_page else start


def _check_metrics(f, field, values):
    id, name, t = field.field_id, field.name, field.field_type
    nulls = (f.null_value_counts or {}).get(id)
    if nulls != values.null_count:
        yield f"{name}: null count {nulls}, the file has {values.null_count}"
    if (f.value_counts or {}).get(id) != len(values):
        yield f"{name}: value count {(f.value_counts or {}).get(id)}, the file has {len(values)}"
    present = [v for v in internal(values, t) if v is not None]
    if isinstance(t, (FloatType, DoubleType)):
        nans = sum(v != v for v in present)
        if (f.nan_value_counts or {}).get(id) != nans:
            yield f"{name}: NaN count {(f.nan_value_counts or {}).get(id)}, the file has {nans}"
        present = [v for v in present if v == v]
    lower, upper = (f.lower_bounds or {}).get(id), (f.upper_bounds or {}).get(id)
    if not present:
        if lower is not None or upper is not None:
            yield f"{name}: bounds {lower} {upper} of no value"
        return
    wanted = not isinstance(t, (StringType, BinaryType))
    if isinstance(t, UUIDType):
        wanted = _halves(min(present)) == min(map(_halves, present))
        if (lower is not None) != wanted or (upper is not None) != (_halves(max(present)) == max(map(_halves, present))):
            yield f"{name}: bounds {lower} {upper}, with Java's order and the others'"
    if lower is None and wanted:
        yield f"{name}: no lower bound"
    cut = isinstance(t, (StringType, BinaryType, FixedType))
    if lower is not None:
        low = from_bytes(t, lower)
        if low > min(present) or (not cut and low != min(present)):
            yield f"{name}: lower bound {low!r}, the least value is {min(present)!r}"
    if upper is not None:
        high = from_bytes(t, upper)
        if high < max(present) or (not cut and high != max(present)):
            yield f"{name}: upper bound {high!r}, the greatest value is {max(present)!r}"


def _halves(v):
    """A UUID in the order of Java, which has two signed numbers."""
    b = v.bytes if isinstance(v, uuid.UUID) else v
    return int.from_bytes(b[:8], "big", signed=True), int.from_bytes(b[8:], "big", signed=True)


def _check_partition(t, f, columns):
    schema, spec = t.schema(), t.specs()[f.spec_id]
    if len(spec.fields) != len(f.partition):
        yield f"{len(f.partition)} partition values for {len(spec.fields)} fields"
        return
    for i, field in enumerate(spec.fields):
        source = schema.find_field(field.source_id)
        transform = field.transform.transform(source.field_type)
        got = f.partition[i]
        if isinstance(got, uuid.UUID):
            got = got.bytes
        for value in set(internal(columns[field.source_id], source.field_type)):
            want = transform(value)
            if want != got and not (want != want and got != got):  # NaN belongs with NaN
                yield f"a row with {source.name} {value!r} belongs into {field.name} {want!r}, not {got!r}"


def _check_order(t, f, columns):
    order = t.sort_order()
    if order.is_unsorted:
        if f.sort_order_id:
            yield f"sort_order_id {f.sort_order_id} in a table without an order"
        return
    if f.sort_order_id != order.order_id:
        yield f"sort_order_id {f.sort_order_id}, not {order.order_id}"
        return
    keys = []
    for field in order.fields:
        source = t.schema().find_field(field.source_id)
        transform = field.transform.transform(source.field_type)
        values = [transform(v) for v in internal(columns[field.source_id], source.field_type)]
        keys.append((values, field.direction == SortDirection.DESC, field.null_order == NullOrder.NULLS_FIRST))
    for row in range(1, f.record_count):
        for values, down, nulls_first in keys:
            a, b = values[row - 1], values[row]
            if a == b or (a != a and b != b):
                continue
            if a is None or b is None:
                right = (a is None) == nulls_first
            elif a != a or b != b:
                right = (b != b) != down  # NaN is the greatest value
            else:
                right = (a < b) != down
            if not right:
                yield f"row {row}: {b!r} comes after {a!r}"
                return
            break


def internal(values, t):
    """The values as Iceberg's transforms and bounds take them: integers for dates and times."""
    a = values.type
    if isinstance(a, pa.BaseExtensionType):
        return internal(values.storage, t)
    if pa.types.is_date(a):
        return values.view(pa.int32()).to_pylist()
    if pa.types.is_timestamp(a) or pa.types.is_time(a):
        return values.view(pa.int64()).to_pylist()
    if pa.types.is_dictionary(a):
        return internal(pc.cast(values, a.value_type), t)
    return values.to_pylist()
