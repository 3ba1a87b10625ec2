package arrowconv

import (
	"context"
	"iter"

	"github.com/apache/iceberg-go"
)

func readParquet(ctx context.Context, in Input, sc *target, o Options) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {}
}

func inferParquet(ctx context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	return nil, ErrInput
}
