// Package point names the moments of a run between which something becomes true that was not before: a file
// is written, a commit is answered. A process may be killed at any of them, and tests kill one at each: they
// find the names in the source. In production nobody listens.
package point

var listener func(name string)

// Reach says that the process has come to a point. name is a literal, "room: what is true now", and is said
// at one place in the source only.
func Reach(name string) {
	if listener != nil {
		listener(name)
	}
}

// Listen has f called at every point, by whichever goroutine comes to it. For tests: it is to be called before
// anything that reaches a point.
func Listen(f func(name string)) { listener = f }
