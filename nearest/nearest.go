// Package nearest guesses which known name a mistyped one was meant to be, for hints.
package nearest

import "strings"

// Name returns the candidate that name is most likely a slip of, "" where none is near: the one
// with the least insertions, deletions, changes and swaps of neighbours, up to two of them or a
// third of the name. Case and separators don't count, and a name cut short is near, at its end
// or by whole words at its beginning. Of equals the first wins.
func Name(name string, candidates []string) string {
	typed := fold(name)
	slips := max(2, len(typed)/3)
	if len(typed) < 4 { // two slips from almost anything
		slips = 1
	}
	best, found := slips+1, ""
	for _, c := range candidates {
		known := fold(c)
		d := distance(typed, known)
		if len(typed) > 1 && strings.HasPrefix(string(known), string(typed)) {
			d = min(d, 1)
		}
		if lastWords(c, typed) {
			d = min(d, 1)
		}
		if d < best {
			best, found = d, c
		}
	}
	return found
}

// lastWords says whether name ends in the words that typed is folded from, after others.
func lastWords(name string, typed []byte) bool {
	for i := range len(name) {
		if c := name[i]; (c == '_' || c == '-' || c == ' ' || c == '.') && string(fold(name[i+1:])) == string(typed) {
			return len(typed) > 1
		}
	}
	return false
}

// fold drops what people write differently in one and the same name.
func fold(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z':
			out = append(out, c|0x20)
		case c == '_' || c == '-' || c == ' ' || c == '.':
		default:
			out = append(out, c)
		}
	}
	return out
}

// distance is the Damerau-Levenshtein distance with adjacent swaps, in bytes.
func distance(a, b []byte) int {
	older, old, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := range a {
		cur[0] = i + 1
		for j := range b {
			change := old[j]
			if a[i] != b[j] {
				change++
			}
			cur[j+1] = min(change, old[j+1]+1, cur[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cur[j+1] = min(cur[j+1], older[j-1]+1)
			}
		}
		older, old, cur = old, cur, older
	}
	return old[len(b)]
}
