package plan

import (
	"errors"
	"fmt"
)

// ErrGuard is the class of refusals: the plan would do what its user likely does not want.
var ErrGuard = errors.New("refused")

// GuardError is a refusal with its reason and what to do about it.
type GuardError struct{ Reason, Advice string }

func (e *GuardError) Error() string { return "refused: " + e.Reason }

// Hint is what to do about it.
func (e *GuardError) Hint() string { return e.Advice }

// Unwrap makes errors.Is(err, ErrGuard) true.
func (e *GuardError) Unwrap() error { return ErrGuard }

func guard(advice, reason string, args ...any) error {
	return &GuardError{Reason: fmt.Sprintf(reason, args...), Advice: advice}
}

// checkShrink refuses partitions that would lose too many of their rows. In a declared slice,
// or when the whole table is the slice, that includes partitions that vanish. Where live files
// of an older spec go, their rows may come back in any partition, so the slice is judged as a
// whole besides. Clearing a slice with OnEmptyClear is explicit and passes.
func checkShrink(units []*unit, sc *scope, o Options) error {
	if o.AllowShrink || sc.rows == 0 {
		return nil
	}
	const advice = "see whether the input is complete; to go on, say --allow-shrink"
	shrinks := func(before, after int64) bool {
		return float64(before-after) > o.MaxShrink*float64(before)
	}
	for _, u := range units {
		if u.equal {
			continue
		}
		var before, after int64
		foreign := false
		for _, p := range u.parts {
			before, after, foreign = before+p.RowsBefore, after+p.RowsAfter, foreign || p.foreign
			if !p.foreign && shrinks(p.RowsBefore, p.RowsAfter) {
				name := "the table"
				if p.Partition.Partition.Path != "" {
					name = "partition " + p.Partition.Partition.Path
				} else if sc.declared != nil {
					name = "the slice"
				}
				return guard(advice, "%s would shrink from %d to %d rows", name, p.RowsBefore, p.RowsAfter)
			}
		}
		if foreign && shrinks(before, after) {
			return guard(advice, "the slice would shrink from %d to %d rows", before, after)
		}
	}
	return nil
}
