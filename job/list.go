package job

import (
	"context"
	"errors"
	"iter"

	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

// Listed is a table of a catalog.
type Listed struct {
	// Table is its whole name, as --table takes it; Namespace and Name are its parts.
	Table     string   `json:"table"`
	Namespace []string `json:"namespace"`
	Name      string   `json:"name"`
}

// List yields the tables of a namespace and of those below it; of all for "". It opens the catalog
// when it is ranged over. Errors wrap ErrUsage or one of package catalog's.
func List(ctx context.Context, cfg catalog.Config, namespace string) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		var ns table.Identifier
		if namespace != "" {
			var err error
			if ns, err = catalog.ParseNamespace(namespace); err != nil {
				yield(Listed{}, err)
				return
			}
		}
		cfg.Existing = true
		cat, err := catalog.Open(ctx, cfg)
		if err != nil {
			yield(Listed{}, err)
			return
		}
		defer cat.Close()
		for id, err := range cat.Tables(ctx, ns) {
			if errors.Is(err, catalog.ErrNotFound) && namespace != "" {
				err = usage("icewright table list shows all", "there is no namespace %s", namespace)
			}
			if err != nil {
				yield(Listed{}, err)
				return
			}
			if !yield(Listed{
				Table: catalog.FormatIdentifier(id), Namespace: icebergcatalog.NamespaceFromIdent(id), Name: icebergcatalog.TableNameFromIdent(id),
			}, nil) {
				return
			}
		}
	}
}
