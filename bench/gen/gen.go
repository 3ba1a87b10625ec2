// Package gen makes the inputs of the benchmarks: the same bytes on every machine, for they come from
// a seeded generator and integer arithmetic only, and from no library whose output may change.
//
// An input is one text file. Lineitem is the largest table of TPC-H, events is a log of nested JSON
// objects, flat-events is the same log with one level of keys. Nothing here knows of tables or of Iceberg.
package gen

import (
	"io"
)

// Input is one of the inputs.
type Input struct {
	Name string
	File string // its name on disk
	// Unit is what Write counts, and Full how many of them a full benchmark takes.
	Unit string
	Full int
	// Write writes the input with n units. Less of an input is not a prefix of more of it: keys and
	// times are spread over the whole.
	Write func(w io.Writer, n int) error
}

// Inputs are all of them, in the order in which they are made.
var Inputs = []Input{
	{"lineitem", "lineitem.csv", "orders, of four rows on the average", 1_500_000, Lineitem},
	{"events", "events.ndjson", "events", 2_000_000, Events},
	{"flat-events", "flat-events.ndjson", "events", 2_000_000, FlatEvents},
}

// seed is the seed of all inputs. Another one makes other inputs, whose figures can't be compared.
const seed = 1

// random is a sequence of numbers: splitmix64, so that any place of it can be begun at without
// drawing all before it.
type random struct{ state uint64 }

// at begins the sequence of the i-th thing of a kind.
func at(kind, i uint64) random {
	r := random{kind*0x9e3779b97f4a7c15 ^ (i+1)*0xd1342543de82ef95}
	r.next()
	return r
}

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// below is one of 0 to n-1.
func (r *random) below(n int) int { return int((r.next() >> 32) * uint64(n) >> 32) }

// between is one of low to high, both included.
func (r *random) between(low, high int) int { return low + r.below(high-low+1) }

// skewed is one of 0 to n-1, small ones much oftener: n times the fourth power of a fraction.
func (r *random) skewed(n int) int {
	u := r.next() >> 32
	v := u * u >> 32
	v = v * u >> 32
	v = v * u >> 32
	return int(v * uint64(n) >> 32)
}

// of is one of the words.
func (r *random) of(words []string) string { return words[r.below(len(words))] }

// favourite is one of the words, the first ones much oftener.
func (r *random) favourite(words []string) string { return words[r.skewed(len(words))] }
