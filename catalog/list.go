package catalog

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/apache/iceberg-go/table"
)

// Tables yields the tables of a namespace and of those below it, all of the catalog's for an empty
// one: a namespace before those below it, tables sorted by name. Errors are classified as those of
// a read; a namespace that is not there is ErrNotFound.
func (c *Catalog) Tables(ctx context.Context, ns table.Identifier) iter.Seq2[table.Identifier, error] {
	return func(yield func(table.Identifier, error) bool) {
		seen := map[string]bool{}
		var walk func(table.Identifier) bool
		walk = func(ns table.Identifier) bool {
			seen[FormatIdentifier(ns)] = true
			if len(ns) > 0 {
				var tables []table.Identifier
				for id, err := range c.ListTables(ctx, ns) {
					if err != nil {
						yield(nil, err)
						return false
					}
					tables = append(tables, id)
				}
				slices.SortFunc(tables, compareIdentifiers)
				for _, id := range tables {
					if !yield(id, nil) {
						return false
					}
				}
			}
			below, err := c.ListNamespaces(ctx, ns)
			if err != nil {
				yield(nil, err)
				return false
			}
			slices.SortFunc(below, compareIdentifiers)
			for _, b := range below {
				// Some catalogs list the namespace itself, or those further below as well.
				inside := len(b) > len(ns) && slices.Equal(b[:len(ns)], ns)
				if inside && !seen[FormatIdentifier(b)] && !walk(b) {
					return false
				}
			}
			return true
		}
		walk(ns)
	}
}

func compareIdentifiers(a, b table.Identifier) int {
	return slices.CompareFunc(a, b, func(x, y string) int { return cmp.Compare(x, y) })
}

// ParseNamespace reads a namespace of one or more parts, written like a table's name.
func ParseNamespace(s string) (table.Identifier, error) {
	id, err := ParseIdentifier(strings.TrimSpace(s) + ".x")
	if err != nil {
		return nil, &IdentifierError{s, "it is no namespace"}
	}
	return id[:len(id)-1], nil
}
