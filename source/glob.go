package source

import (
	"path"
	"strings"
)

// glob is a pattern over slash-separated names, segment by segment.
type glob struct {
	root     string // the longest directory that holds every match, without a wildcard; "" is here
	text     string
	segments []string // below root
}

func isGlob(s string) bool { return strings.ContainsAny(s, "*?[") }

// parseGlob reads a pattern. Errors are path.ErrBadPattern.
func parseGlob(pattern string) (*glob, error) {
	if strings.HasSuffix(pattern, "/") {
		pattern += "**"
	}
	all := strings.Split(pattern, "/")
	literal := 0
	for literal < len(all) && !isGlob(all[literal]) {
		literal++
	}
	g := &glob{root: strings.Join(all[:literal], "/"), text: pattern}
	if g.root == "" && literal > 0 {
		g.root = "/"
	}
	for _, segment := range all[literal:] {
		if _, err := path.Match(segment, ""); err != nil {
			return nil, err
		}
		if segment != "" {
			g.segments = append(g.segments, segment)
		}
	}
	return g, nil
}

// match tells whether the glob means name. A name with root before it is expected.
func (g *glob) match(name string) bool { return matchSegments(g.segments, g.below(name), false) }

// mayHold tells whether names below the directory dir may match: a walk leaves the others out.
func (g *glob) mayHold(dir string) bool { return matchSegments(g.segments, g.below(dir), true) }

func (g *glob) below(name string) []string {
	rest := strings.TrimPrefix(name, g.root)
	return strings.Split(strings.TrimPrefix(rest, "/"), "/")
}

// matchSegments matches names with pattern; with prefix, names may also be the beginning of a match.
func matchSegments(pattern, names []string, prefix bool) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			if len(pattern) > 1 && matchSegments(pattern[1:], names, prefix) {
				return true
			}
			if len(names) == 0 {
				return prefix
			}
			if hidden(names[0]) {
				return false
			}
			if len(names) == 1 && len(pattern) == 1 {
				return true
			}
			names = names[1:]
			continue
		}
		if len(names) == 0 {
			return prefix
		}
		// a wildcard is not meant for what a directory listing would leave out
		if hidden(names[0]) && pattern[0][0] != names[0][0] {
			return false
		}
		if ok, _ := path.Match(pattern[0], names[0]); !ok {
			return false
		}
		pattern, names = pattern[1:], names[1:]
	}
	return len(names) == 0
}
