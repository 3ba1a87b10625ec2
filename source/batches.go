package source

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
)

// Batches reads objs, in the order given, as one sequence of batches with the Arrow schema
// arrowconv.ArrowSchema(schema). Each object has the format of o, or the one detected for it, and its
// own row numbers from 1; Batch.Source is its name. Small objects are read side by side.
//
// Ownership, order, rejects and errors are as arrowconv.Read has them. An object that is not the one
// that was resolved ends the sequence with an error, after batches of it may have been given.
func Batches(ctx context.Context, objs []Object, schema *iceberg.Schema, o arrowconv.Options) iter.Seq2[arrowconv.Batch, error] {
	return func(yield func(arrowconv.Batch, error) bool) {
		for event, err := range sideBySide(ctx, objs, func(ctx context.Context, obj Object, give func(event) bool) error {
			return obj.read(ctx, schema, o, give)
		}) {
			switch {
			case err != nil:
				yield(arrowconv.Batch{}, err)
				return
			case event.reject != nil:
				if o.OnReject == nil {
					yield(arrowconv.Batch{}, &arrowconv.RowError{Reject: *event.reject})
					return
				}
				if err := o.OnReject(*event.reject); err != nil {
					yield(arrowconv.Batch{}, err)
					return
				}
			default:
				if !yield(event.batch, nil) {
					return
				}
			}
		}
	}
}

// event is what reading an object gives: a batch, or a row that was set aside.
type event struct {
	batch  arrowconv.Batch
	reject *arrowconv.Reject
}

func (e event) drop() {
	if e.batch.RecordBatch != nil {
		e.batch.Release()
	}
}

// errStopped ends a read whose events nobody wants any more.
var errStopped = errors.New("stopped")

// read gives the events of one object in order.
func (o Object) read(ctx context.Context, schema *iceberg.Schema, opts arrowconv.Options, give func(event) bool) (err error) {
	r, err := o.Open(ctx, opts.Format)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	opts.Format = r.Format
	opts.OnReject = func(reject arrowconv.Reject) error {
		if !give(event{reject: &reject}) {
			return errStopped
		}
		return nil
	}
	for batch, err := range arrowconv.Read(ctx, r.Input, schema, opts) {
		if err != nil {
			return err
		}
		if !give(event{batch: batch}) {
			return errStopped
		}
	}
	if r.At != nil {
		return r.Verify(ctx)
	}
	return nil
}

const (
	// abreastBytes is how many stored bytes of objects may be read in front of the one whose batches
	// are being given. One larger object keeps every core busy by itself, and memory is spent once.
	abreastBytes = 16 << 20
	// abreast is how many objects are read at once at most. With S3 it hides their first answers' wait.
	abreast = 8
	// eventsAhead is how many events an object may be in front of their reader.
	eventsAhead = 2
)

// reading is an object that is being read.
type reading struct {
	events chan event
	err    error // why events was closed; read after it
}

// sideBySide gives the events of objs in order, reading small neighbours at the same time. When
// the caller stops, or an object fails, the others are stopped and waited for.
func sideBySide(ctx context.Context, objs []Object, read func(context.Context, Object, func(event) bool) error) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var started []*reading
		first := 0 // index in objs of started[0]
		defer func() {
			cancel()
			for _, r := range started {
				for e := range r.events {
					e.drop()
				}
			}
		}()
		ahead := int64(0) // stored bytes of started[1:]
		for first < len(objs) {
			for next := first + len(started); next < len(objs) && len(started) < abreast; next = first + len(started) {
				size := objs[next].Size
				if len(started) > 0 && (size < 0 || ahead+size > abreastBytes) {
					break
				}
				if len(started) > 0 {
					ahead += size
				}
				started = append(started, start(ctx, objs[next], read))
			}
			r := started[0]
			for e := range r.events {
				if !yield(e, nil) {
					return
				}
			}
			if r.err != nil {
				yield(event{}, r.err)
				return
			}
			started = started[1:]
			if first++; len(started) > 0 {
				ahead -= objs[first].Size
			}
		}
	}
}

func start(ctx context.Context, obj Object, read func(context.Context, Object, func(event) bool) error) *reading {
	r := &reading{events: make(chan event, eventsAhead)}
	go func() {
		defer close(r.events)
		r.err = read(ctx, obj, func(e event) bool {
			select {
			case r.events <- e:
				return true
			case <-ctx.Done():
				e.drop()
				return false
			}
		})
		if errors.Is(r.err, errStopped) {
			r.err = context.Cause(ctx)
		}
	}()
	return r
}

// Infer returns the schema that arrowconv.Infer finds in the first object that is not empty, with the path
// columns of all of them and the source columns of o after it. What it
// reads of a pipe is kept, in memory and then in a file of Options.SpillDir, and read again by Batches.
func Infer(ctx context.Context, objs []Object, o arrowconv.InferOptions) (*iceberg.Schema, error) {
	if len(objs) == 0 {
		return nil, inputError("source", "has nothing to infer a schema from", "", nil)
	}
	object := objs[0]
	for _, obj := range objs {
		if obj.Size != 0 {
			object = obj
			break
		}
	}
	schema, _, err := object.infer(ctx, o)
	if err != nil {
		return nil, err
	}
	return withConstants(schema, object, objs, o)
}

// withConstants adds the columns that come from elsewhere than the objects' bytes. Beside a table those of
// paths are not added, unless o says so: a path has keys for many reasons, and the table's columns say which
// count.
func withConstants(schema *iceberg.Schema, object Object, objs []Object, o arrowconv.InferOptions) (*iceberg.Schema, error) {
	return arrowconv.WithConstants(schema, arrowconv.Input{Name: object.Name}, func(yield func([]arrowconv.Constant) bool) {
		for _, obj := range objs {
			constants := obj.Constants
			if o.Beside != nil {
				constants = slices.DeleteFunc(slices.Clone(constants), func(c arrowconv.Constant) bool {
					_, known := o.Beside.FindFieldByName(c.Name)
					return known || !o.AddConstants
				})
			}
			if !yield(constants) {
				return
			}
		}
	}, o)
}

// InferAll is Infer over all objects: the schema has the columns of each, in the types that hold the
// values of all. Objects without rows are passed over, unless there are no others.
func InferAll(ctx context.Context, objs []Object, o arrowconv.InferOptions) (*iceberg.Schema, error) {
	var all *iceberg.Schema
	var last Object
	for _, obj := range objs {
		if obj.Size == 0 {
			continue
		}
		schema, format, err := obj.infer(ctx, o)
		if errors.Is(err, arrowconv.ErrNoRows) {
			continue
		}
		if err == nil && all != nil {
			text := format == arrowconv.CSV || format == arrowconv.TSV
			schema, err = arrowconv.Unite(obj.Name, all, schema, o.Beside, text)
		}
		if err != nil {
			return nil, err
		}
		all, last = schema, obj
	}
	if all == nil {
		return Infer(ctx, objs, o)
	}
	return withConstants(all, last, objs, o)
}

func (o Object) infer(ctx context.Context, opts arrowconv.InferOptions) (schema *iceberg.Schema, format arrowconv.Format, err error) {
	if p, ok := o.origin.(*pipe); ok {
		p.twice()
	}
	r, err := o.Open(ctx, opts.Format)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	opts.Format = r.Format
	schema, err = arrowconv.Infer(ctx, r.Input, opts)
	return schema, r.Format, err
}
