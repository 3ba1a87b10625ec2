package catalog

import (
	"context"
	"errors"

	"github.com/apache/iceberg-go"
)

func openREST(ctx context.Context, name string, props iceberg.Properties, cfg Config) (*Catalog, error) {
	return nil, errors.New("not yet")
}
