package catalog

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
)

// ExprError tells what is wrong in a partition or sort expression. It is an
// ErrConfig.
type ExprError struct {
	Kind string // "partition by" or "sort by"
	Expr string // the whole expression
	What string
	Do   string
}

func (e *ExprError) Error() string { return fmt.Sprintf("%s %q: %s", e.Kind, e.Expr, e.What) }

// Hint says what to write instead.
func (e *ExprError) Hint() string { return e.Do }

func (e *ExprError) Unwrap() error { return ErrConfig }

// transforms are Iceberg's, by name; Spark's plural works too.
// Source: iceberg.apache.org/spec/#partition-transforms.
var transforms = map[string]struct {
	make  func(n int) iceberg.Transform
	param string // what the number is called; "" without one
	// suffix is what Java's PartitionSpec.Builder adds to the column's name for the
	// name of the partition field.
	suffix string
}{
	"identity": {func(int) iceberg.Transform { return iceberg.IdentityTransform{} }, "", ""},
	"void":     {func(int) iceberg.Transform { return iceberg.VoidTransform{} }, "", "_null"},
	"year":     {func(int) iceberg.Transform { return iceberg.YearTransform{} }, "", "_year"},
	"month":    {func(int) iceberg.Transform { return iceberg.MonthTransform{} }, "", "_month"},
	"day":      {func(int) iceberg.Transform { return iceberg.DayTransform{} }, "", "_day"},
	"hour":     {func(int) iceberg.Transform { return iceberg.HourTransform{} }, "", "_hour"},
	"bucket":   {func(n int) iceberg.Transform { return iceberg.BucketTransform{NumBuckets: n} }, "buckets", "_bucket"},
	"truncate": {func(n int) iceberg.Transform { return iceberg.TruncateTransform{Width: n} }, "width", "_trunc"},
}

const transformForms = "day(ts), hour(ts), month(ts), year(ts), bucket(16, id), truncate(4, code), void(x), or a column's name"

// term is one transformed column of an expression.
type term struct {
	field     iceberg.NestedField
	column    string // the full name in the schema
	transform iceberg.Transform
	suffix    string
}

// ParsePartitionBy reads a partition spec for schema: terms such as day(ts),
// bucket(16, id) or a column's name, separated by commas. Columns inside structs
// have dotted names; odd names go in double quotes. Partition fields are named as
// Java names them (ts_day, id_bucket, code_trunc, x_null) and numbered from 1000.
// "" gives the unpartitioned spec. Errors are *ExprError, or wrap ErrConfig where the spec is right and cannot
// be written.
func ParsePartitionBy(expr string, schema *iceberg.Schema) (iceberg.PartitionSpec, error) {
	p := &exprParser{kind: "partition by", expr: expr, rest: expr, schema: schema}
	var opts []iceberg.PartitionOption
	byTime := map[int]string{} // the source columns of time transforms
	if p.skipSpace(); p.rest == "" {
		return iceberg.NewPartitionSpecOpts()
	}
	seen := map[string]bool{}
	for {
		t, err := p.term()
		if err != nil {
			return iceberg.PartitionSpec{}, err
		}
		name := t.column + t.suffix
		if other, ok := schema.FindFieldByName(name); ok && (t.suffix != "" || other.ID != t.field.ID) {
			return iceberg.PartitionSpec{}, p.fail("", "the partition field of %s would be called %q, as a column is", t.column, name)
		}
		if seen[name] {
			return iceberg.PartitionSpec{}, p.fail("", "there would be two partition fields %q", name)
		}
		seen[name] = true
		if _, ok := t.transform.(iceberg.TimeTransform); ok {
			term := formatTerm(t.transform, t.field.ID, schema)
			if other := byTime[t.field.ID]; other != "" {
				return iceberg.PartitionSpec{}, p.fail("keep the one that you select by", "%s and %s divide the same time twice", other, term)
			}
			byTime[t.field.ID] = term
		}
		id := iceberg.PartitionDataIDStart + len(opts)
		opts = append(opts, iceberg.AddPartitionFieldBySourceID(t.field.ID, name, t.transform, schema, &id))
		if done, err := p.comma(); err != nil {
			return iceberg.PartitionSpec{}, err
		} else if done {
			break
		}
	}
	spec, err := iceberg.NewPartitionSpecOpts(opts...)
	if err != nil {
		return spec, p.fail("", "%v", err)
	}
	return spec, checkSpec(spec, schema)
}

// checkSpec refuses specs that no manifest can be written for: iceberg-go v0.7.0 gives the Avro types of all
// decimals one name. Errors wrap ErrConfig.
func checkSpec(spec iceberg.PartitionSpec, schema *iceberg.Schema) error {
	var decimals []string
	for _, f := range spec.PartitionType(schema).FieldList {
		if _, ok := f.Type.(iceberg.DecimalType); ok {
			decimals = append(decimals, f.Name)
		}
	}
	if len(decimals) < 2 {
		return nil
	}
	return &ConfigError{
		What: fmt.Sprintf("partition fields %s: icewright can write one field of decimals in a spec", strings.Join(decimals, ", ")),
		Do:   "keep one of them, or take buckets of the others",
	}
}

// FormatSpec writes a spec so that ParsePartitionBy reads it back; "" when it is
// unpartitioned. The names of partition fields are not part of it.
func FormatSpec(spec iceberg.PartitionSpec, schema *iceberg.Schema) string {
	var terms []string
	for _, f := range spec.Fields() {
		terms = append(terms, formatTerm(f.Transform, f.SourceID(), schema))
	}
	return strings.Join(terms, ", ")
}

func formatTerm(t iceberg.Transform, source int, schema *iceberg.Schema) string {
	name, ok := schema.FindColumnName(source)
	if !ok {
		name = fmt.Sprintf("dropped column %d", source)
	}
	name = quoteColumn(name)
	switch t := t.(type) {
	case iceberg.IdentityTransform:
		return name
	case iceberg.BucketTransform:
		return fmt.Sprintf("bucket(%d, %s)", t.NumBuckets, name)
	case iceberg.TruncateTransform:
		return fmt.Sprintf("truncate(%d, %s)", t.Width, name)
	default:
		return fmt.Sprintf("%s(%s)", t, name)
	}
}

func quoteColumn(name string) string {
	if name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !bareRune(r) }) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// exprParser reads terms from the front of rest.
type exprParser struct {
	kind   string
	expr   string
	rest   string
	schema *iceberg.Schema
}

func (p *exprParser) fail(do, format string, a ...any) error {
	return &ExprError{Kind: p.kind, Expr: p.expr, What: fmt.Sprintf(format, a...), Do: do}
}

func (p *exprParser) skipSpace() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// bareRune tells whether r may stand in a name without quotes.
func bareRune(r rune) bool {
	return r == '_' || r == '.' || r == '-' || r == '$' || r >= '0' && r <= '9' ||
		r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
}

// word reads a name, bare or quoted.
func (p *exprParser) word(wanted string) (name string, quoted bool, err error) {
	p.skipSpace()
	if strings.HasPrefix(p.rest, `"`) {
		name, rest, ok := cutQuoted(p.rest)
		if !ok {
			return "", false, p.fail("", "a double quote is not closed")
		}
		p.rest = rest
		return name, true, nil
	}
	end := strings.IndexFunc(p.rest, func(r rune) bool { return !bareRune(r) })
	if end < 0 {
		end = len(p.rest)
	}
	if end == 0 {
		return "", false, p.fail("write "+transformForms, "expected %s %s", wanted, p.here())
	}
	name, p.rest = p.rest[:end], p.rest[end:]
	return name, false, nil
}

func (p *exprParser) here() string {
	if p.rest == "" {
		return "at the end"
	}
	return fmt.Sprintf("before %q", p.rest)
}

func (p *exprParser) take(c byte) bool {
	p.skipSpace()
	if strings.HasPrefix(p.rest, string(c)) {
		p.rest = p.rest[1:]
		return true
	}
	return false
}

// comma reads the separator of two terms; done is the end of the expression.
func (p *exprParser) comma() (done bool, err error) {
	if p.take(',') {
		return false, nil
	}
	if p.rest != "" {
		return false, p.fail("separate terms with commas", "expected a comma %s", p.here())
	}
	return true, nil
}

func (p *exprParser) term() (term, error) {
	name, quoted, err := p.word("a column or a transform")
	if err != nil {
		return term{}, err
	}
	if quoted || !p.take('(') {
		return p.column(name, "identity", 0)
	}
	key := strings.ToLower(name)
	tr, ok := transforms[key]
	if !ok {
		key = strings.TrimSuffix(key, "s")
		tr, ok = transforms[key]
	}
	if !ok {
		return term{}, p.fail("write "+transformForms, "no transform %q", name)
	}
	// bucket(16, id) in Spark's order, bucket(id, 16) in Trino's.
	var column string
	var number int
	haveColumn, haveNumber := false, false
	for {
		arg, quoted, err := p.word("a column")
		if err != nil {
			return term{}, err
		}
		n, numErr := strconv.Atoi(arg)
		switch {
		case tr.param != "" && !quoted && numErr == nil && !haveNumber:
			number, haveNumber = n, true
		case !haveColumn:
			column, haveColumn = arg, true
		default:
			return term{}, p.fail("write "+transformForms, "%s has an argument too many: %q", name, arg)
		}
		if p.take(')') {
			break
		}
		if !p.take(',') {
			return term{}, p.fail("", "%s is not closed %s", name, p.here())
		}
	}
	switch {
	case tr.param != "" && !haveNumber:
		return term{}, p.fail(fmt.Sprintf("write %s(16, %s)", key, column), "%s needs its %s", name, tr.param)
	case tr.param != "" && (number < 1 || number > 1<<31-1):
		return term{}, p.fail("", "%s: %s of %d", name, tr.param, number)
	case !haveColumn:
		return term{}, p.fail("write "+transformForms, "%s needs a column", name)
	}
	return p.column(column, key, number)
}

// column resolves a name in the schema and checks that the transform takes its type.
func (p *exprParser) column(name, transform string, n int) (term, error) {
	f, ok := p.schema.FindFieldByName(name)
	if !ok {
		near := nearest.Name(name, columnNames(p.schema))
		if near != "" {
			near = "did you mean " + quoteColumn(near) + "?"
		}
		return term{}, p.fail(near, "no column %q", name)
	}
	if !inStructs(p.schema.Fields(), f.ID) {
		return term{}, p.fail("", "column %q is inside a list or a map", name)
	}
	tr := transforms[transform]
	t := term{field: f, column: name, transform: tr.make(n), suffix: tr.suffix}
	if _, primitive := f.Type.(iceberg.PrimitiveType); !primitive || !t.transform.CanTransform(f.Type) {
		return term{}, p.fail("", "%s cannot be taken of column %q of type %s", transform, name, f.Type)
	}
	return t, nil
}

// inStructs tells whether the field is reached through structs only.
func inStructs(fields []iceberg.NestedField, id int) bool {
	for _, f := range fields {
		if f.ID == id {
			return true
		}
		if s, ok := f.Type.(*iceberg.StructType); ok && inStructs(s.FieldList, id) {
			return true
		}
	}
	return false
}

func columnNames(schema *iceberg.Schema) []string {
	var names []string
	var walk func(prefix string, fields []iceberg.NestedField)
	walk = func(prefix string, fields []iceberg.NestedField) {
		for _, f := range fields {
			names = append(names, prefix+f.Name)
			if s, ok := f.Type.(*iceberg.StructType); ok {
				walk(prefix+f.Name+".", s.FieldList)
			}
		}
	}
	walk("", schema.Fields())
	return names
}
