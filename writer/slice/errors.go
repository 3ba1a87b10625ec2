package slice

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrSlice is the class of every error in a slice expression: a mistake in usage.
var ErrSlice = errors.New("bad slice")

// Error is a mistake in a slice expression, with its place.
type Error struct {
	Expr string
	// Pos is the byte in Expr where the mistake starts; len(Expr) when something is missing at
	// the end.
	Pos int
	// Problem says what is wrong there, Advice what to do; Advice may be empty.
	Problem, Advice string
	// Column is the name that the table has no column for, where that is the problem.
	Column string
}

// Error shows the expression with a caret under the mistake, on three lines.
func (e *Error) Error() string {
	flat := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, e.Expr)
	return "slice: " + e.Problem + "\n  " + flat + "\n  " + strings.Repeat(" ", utf8.RuneCountInString(e.Expr[:e.Pos])) + "^"
}

// Hint is what to do about it.
func (e *Error) Hint() string { return e.Advice }

// Unwrap makes errors.Is(err, ErrSlice) true.
func (e *Error) Unwrap() error { return ErrSlice }
