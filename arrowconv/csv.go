package arrowconv

import (
	"context"
	"iter"

	"github.com/apache/iceberg-go"
)

func readCSV(ctx context.Context, in Input, to *target, o Options) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {}
}

func inferCSV(ctx context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	return nil, ErrInput
}
