package arrowconv

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/iceberg-go"
)

// ErrInput is the class of everything that is wrong with an input's rows or schema: running the
// same load again without touching the input or the table cannot succeed.
var ErrInput = errors.New("bad input")

// ErrNoRows says that an input has nothing that a schema could be inferred from. It comes with ErrInput.
var ErrNoRows = errors.New("it has no rows")

// Reject is an input row that could not be converted, and why.
type Reject struct {
	// Source is the input's name, Row the row's 1-based number in it, a CSV header not counted.
	Source string
	Row    int64
	// Line is the 1-based line that the row begins at, where rows of the format are not lines; else 0.
	Line int64
	// Column is the path of the column at fault, "" where the row as a whole is (a ragged row).
	Column string
	// Value is the text that could not be read, Want the Iceberg type it should have been.
	Value, Want string
	// Reason says why, where Value and Want do not say it all.
	Reason string
	// Raw is the row as the input spells it, without its line end; the row's JSON for Parquet.
	Raw []byte
}

// RowError ends a read at its first bad row. It wraps ErrInput.
type RowError struct{ Reject }

// maxShown bounds how much of a value an error repeats, in bytes.
const maxShown = 80

func (e *RowError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: row %d", e.Source, e.Row)
	if e.Line > 0 {
		fmt.Fprintf(&b, " (line %d)", e.Line)
	}
	b.WriteString(": ")
	if e.Column != "" {
		fmt.Fprintf(&b, "column %s: ", strconv.Quote(e.Column))
	}
	b.WriteString(e.what())
	return b.String()
}

// what is what is wrong, without where.
func (r Reject) what() string {
	if r.Want == "" {
		return r.Reason
	}
	text := "cannot read " + quoteShort(r.Value) + " as " + r.Want
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

func (e *RowError) Unwrap() error { return ErrInput }

// Hint says what a user can do about the row.
func (e *RowError) Hint() string {
	const reject = "--rejects DIR to set such rows aside"
	if e.Want != "" && readsWithComma(e.Value, e.Want) {
		return "say --decimal-comma, or " + reject
	}
	if (e.Reason == strayQuote || e.Reason == afterQuote) && bytes.Contains(e.Raw, []byte(`\"`)) {
		return `are quotes escaped with a backslash? Then say --csv-escape '\'; otherwise ` + reject
	}
	switch {
	case e.Line == 0 && e.Row == 1 && (e.Reason == endsWithin || e.Reason == arrayRow):
		return "is the file one JSON document? Then say --format json; otherwise " + reject
	case e.Missing():
		return "correct the row, or " + relaxHint + ", or " + reject
	case e.widens():
		return "correct the row, or say --evolve widen to give the column a wider type, or " + reject
	}
	return "correct the row, or say " + reject
}

// Missing says whether the row has no value where one is required.
func (e *RowError) Missing() bool { return e.Reason == faultNull.String() || e.Reason == missingKey }

// widens says whether the value is one that a type which Iceberg can widen the column's to has room for.
func (e *RowError) widens() bool {
	if e.Want == "" {
		return false
	}
	t, err := ParseType(e.Want)
	if err != nil {
		return false
	}
	var to iceberg.Type
	switch t := t.(type) {
	case iceberg.Int32Type:
		to = iceberg.PrimitiveTypes.Int64
	case iceberg.Float32Type:
		to = iceberg.PrimitiveTypes.Float64
	case iceberg.DecimalType:
		to = iceberg.DecimalTypeOf(38, t.Scale())
	default:
		return false
	}
	return readsAs(to, e.Value, '.')
}

// missingKey is the reason of a row that lacks a required key.
const missingKey = "it is required, and the row has no such key"

// readsWithComma says whether value is a number of type want once a comma is the decimal point.
func readsWithComma(value, want string) bool {
	if strings.Count(value, ",") != 1 || strings.Contains(value, ".") {
		return false
	}
	t, err := ParseType(want)
	return err == nil && readsAs(t, value, ',')
}

func quoteShort(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	cut := maxShown
	for cut > maxShown-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + fmt.Sprintf("… (%d bytes)", len(s))
}

// inputError is an error of class ErrInput that is not about one row.
type inputError struct {
	msg, hint string
	cause     error
}

func inputErrorf(hint, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &inputError{msg: err.Error(), hint: hint, cause: errors.Unwrap(err)}
}

func (e *inputError) Error() string { return e.msg }

// Hint says what a user can do about it; "" where there is nothing to add.
func (e *inputError) Hint() string { return e.hint }

// hintOf is the hint of an error of inputErrorf.
func hintOf(err error) string {
	var e *inputError
	if errors.As(err, &e) {
		return e.hint
	}
	return ""
}

func (e *inputError) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrInput}
	}
	return []error{ErrInput, e.cause}
}
