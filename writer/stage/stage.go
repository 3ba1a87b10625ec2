// Package stage turns batches of rows into data files that no snapshot refers to yet. It
// knows partitions (the rows with one partition tuple), runs (a page's worth of one
// partition's rows, in memory), row groups (runs encoded as Parquet pages) and files (row
// groups written one after the other). It decides nothing about what is visible: planning and
// publishing come after it.
//
// Rows flow through three steps. One router, the caller's goroutine, finds each row's
// partition and copies its values into that partition's blocks; a batch that is all one partition's
// is kept as it is, and batches that have few rows for each of many are routed together. A few thousand rows of a partition make a run, and workers turn each column of a run
// into pages, with statistics, and its rows into a digest. When a partition has row groups for a
// file of the target size, or the input has ended, one goroutine writes the whole file from
// start to end: so few files are open at once, however many partitions there are, and one hot
// partition still keeps every worker busy.
//
// Memory is bounded by bytes of buffer capacity. Where many partitions share it, the largest are
// encoded before they have a whole run, and past the bound the largest partitions' rows, as they are, and
// then pages move to a spill file and come back when they are needed. Where a run, a row group or a file
// ends depends on the rows and the options alone, never on timing or on what was spilled: the same
// input gives the same bytes.
package stage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/slice"
)

// Outside says what to do with rows outside the declared slice.
type Outside int

const (
	// OutsideFail ends the run at the first row outside the slice.
	OutsideFail Outside = iota
	// OutsideDrop leaves such rows out and counts them as filtered.
	OutsideDrop
)

// ErrProperty says that a table property has a value that cannot be used.
var ErrProperty = errors.New("bad table property")

// ErrUnsupported says that the table has a column, transform or file format that icewright
// cannot write.
var ErrUnsupported = errors.New("cannot be written")

// Options are the options of Stage. The zero value works.
type Options struct {
	// Slice is the part of the table that the run owns. The default, nil, is every row.
	Slice *slice.Slice
	// Outside says what to do with rows outside Slice. The default fails, because such rows are
	// more often a mistake in the job than noise in the data.
	Outside Outside
	// Only picks the rows to stage among those inside Slice; nil of a batch is all of them. Others count as
	// filtered. The default, nil, is all.
	Only func(arrow.RecordBatch) (*slice.Selection, error)
	// Carried says that the rows come from the table, to be written anew. What holds of arrowconv's
	// batches need not hold of them, and their files' names say so: 00000-1-… instead of 00000-0-…
	Carried bool
	// Memory bounds the bytes held in buffers: rows, segments, row groups. The default, 0, is
	// 1 GiB. The Go heap's slack between collections is part of it, given that the process
	// sets debug.SetMemoryLimit accordingly.
	Memory int64
	// SpillDir is where the spill file goes, if memory runs short. The default, "", is os.TempDir().
	SpillDir string
	// Workers encode and write. The default, 0, is GOMAXPROCS. Their number changes no byte.
	Workers int
	// ID is in the names of the files, so that those of one call can be told from others. It is a
	// version 7 UUID: when it was made tells how old they are. The default, zero, is a new one.
	ID uuid.UUID
	// Bare leaves out what the table's readers and the next runs need: the digests, and every bound of values, in
	// footers and in what Files says of itself. It is there to measure what they cost, and such files are not to be
	// published. The default, false, has all of them.
	Bare bool
	// Progress, unless nil, is called after every batch and every file, never concurrently.
	Progress func(Progress)
}

// Progress is how far a call of Stage has come.
type Progress struct {
	RowsRead, BytesRead int64
	Partitions          int
	Files               int
	BytesStaged         int64
	// BytesSpilled is how much went to the spill file so far.
	BytesSpilled int64
}

// Result is what Stage wrote. RowsRead = RowsStaged + RowsFiltered + RowsRejected.
type Result struct {
	// Files are the data files, by partition in order of first appearance, then in row order.
	Files []slice.StagedFile
	// RowsRead counts input rows, rejected ones included.
	RowsRead     int64
	RowsStaged   int64
	RowsFiltered int64
	RowsRejected int64
	// BytesRead is the decompressed size of the input, as far as batches told it.
	BytesRead int64
	// BytesStaged is the size of Files.
	BytesStaged  int64
	BytesSpilled int64
	// Digest is that of all staged rows.
	Digest digest.Sum
}

func (o Options) withDefaults() (Options, error) {
	if o.Memory < 0 {
		return o, fmt.Errorf("stage: Memory is %d bytes, less than 0", o.Memory)
	}
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.ID == uuid.Nil {
		o.ID = uuid.Must(uuid.NewV7())
	}
	return o, nil
}

// Stage writes the rows of in to data files of tbl, under its current schema, partition spec,
// sort order and properties, and returns them. Batches have the Arrow schema that
// arrowconv.ArrowSchema gives for the table's schema; Stage releases them.
//
// On error nothing is left behind: staged files and the spill file are removed, also after ctx
// is cancelled. Errors wrap ErrOutside for a row outside the slice, arrowconv.ErrInput for a
// null in a required column, ErrProperty and ErrUnsupported for what the table asks for;
// errors of in are passed on.
func Stage(ctx context.Context, tbl *table.Table, in iter.Seq2[arrowconv.Batch, error], o Options) (*Result, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := newStaging(ctx, tbl, o)
	if err != nil {
		return nil, err
	}
	return s.stage(ctx, tbl, in)
}

// stage leaves nothing behind but the files that it returns.
func (s *staging) stage(ctx context.Context, tbl *table.Table, in iter.Seq2[arrowconv.Batch, error]) (*Result, error) {
	res, err := s.run(ctx, in)
	err = errors.Join(err, s.spill.close())
	if err == nil {
		return res, nil
	}
	// The file system of ctx may refuse to work once ctx is cancelled.
	clean := context.WithoutCancel(ctx)
	fsys, ferr := tbl.FS(clean)
	if ferr == nil {
		ferr = removeAll(clean, fsys, slices.Sorted(maps.Keys(s.files.begun)))
	}
	return nil, errors.Join(err, ferr)
}

// Remove deletes staged files that will not be published. It goes on after an error and
// returns all of them joined; a file that is not there is none.
func Remove(ctx context.Context, tbl *table.Table, files []slice.StagedFile) error {
	fsys, err := tbl.FS(ctx)
	if err != nil {
		return err
	}
	locations := make([]string, len(files))
	for i, f := range files {
		locations[i] = f.FilePath()
	}
	slices.Sort(locations) // deletion vectors share a file
	return removeAll(ctx, fsys, slices.Compact(locations))
}

// staging is one call of Stage.
type staging struct {
	o     Options
	plan  sizes
	files *fileWriter
	spill *spillFile
	meta  table.Metadata

	router  *router
	blocks  *blocks
	columns *columnSets
	workers []*worker
	queue   *queue
	open    chan struct{}       // a token per complete file being written
	streams chan struct{}       // a token per file being written while its rows come in
	inUse   *semaphore.Weighted // bytes of runs on their way
	flying  atomic.Int64        // the same, as a number
	encoded atomic.Int64        // bytes of pages in memory

	mu       sync.Mutex
	progress Progress
	staged   []stagedFile
}

type stagedFile struct {
	slice.StagedFile
	partition, index int
}

// sizes are the byte bounds that a run works with. Those that decide where something ends
// follow from the table and from Options.Memory, never from the number of workers.
type sizes struct {
	run      int64 // of rows in memory, to be encoded at once
	runRows  int
	leastRun int64 // less is not worth the pages
	raw      int64 // rows of all partitions that wait for a run; up to two and a half times as much where the partitions are many
	leastRaw int64 // of that, what is not worth a short page
	slab     int64 // rows that wait to be routed, where the partitions are many
	rowGroup int64 // of rows, before they are encoded
	segRows  int   // rows of a row group at most
	file     int64 // target of a file on disk

	sortUnit  int64 // rows that are sorted as one, with sortCost; 0 where the table is not sorted
	sortChunk int64 // of sorted rows in the spill file, the same
	mergeRoom int64 // chunks that are merged at a time

	tracked   int64 // blocks, runs and pages together
	blocks    int64 // of that blocks
	flying    int64 // runs on their way to a worker or with it
	rowGroups int64 // pages, not written yet
	pages     int64 // of these, those that stay in memory where there is a spill file
	uploads   int64 // parts of files on their way to a store
	streams   int   // files that are written while their rows come in
}

func newSizes(memory int64, set settings, leaves, workers int, sorted bool) sizes {
	// An eighth is for uploads. What is left goes to the workers' scratch space, to the input and to
	// the collector.
	tracked := memory * 5 / 8
	z := sizes{
		tracked: tracked, blocks: tracked * 5 / 8, flying: tracked / 16, rowGroups: tracked * 3 / 8, raw: tracked / 8,
		leastRaw: min(tracked/8, 16<<20), slab: min(tracked/16, mostSlab),
		file: set.targetFileSize, segRows: set.rowGroupRows, uploads: memory / 8,
	}
	z.pages = min(z.rowGroups, mostPages)
	z.rowGroup = max(minSegment, min(set.rowGroupSize, set.targetFileSize/2))
	z.run = min(max(4<<20, int64(leaves)<<16), z.rowGroup, max(z.flying/4, minSegment))
	z.flying = min(z.flying, int64(workers+1)*z.run) // one each, and one to follow
	z.runRows = min(set.pageRows*max(1, usualRun/set.pageRows), set.rowGroupRows)
	z.leastRun = min(int64(leaves)<<11, z.raw/8)
	// Such a file may keep a part until the input ends. The room for the others is never less than two.
	z.streams = int(min(mostStreams, z.uploads/(32<<20)))
	if sorted {
		// A partition that is merged takes the place of a unit: half for chunks, half for windows.
		z.sortUnit = max(minSegment, min(tracked/6, mostSortUnit))
		z.sortChunk = max(minSegment, min(z.sortUnit/64, 256<<10))
		z.mergeRoom = z.sortUnit / 2
		z.flying, z.blocks = max(tracked/3, z.sortUnit), tracked
	}
	return z
}

// mostPages is how much of the pages of all partitions stays in memory. To write the others twice costs little, as they are compressed:
// then five times the rows take no more memory than once. A small load has no spill file.
const mostPages = 8 << 20

// mostSortUnit keeps the texts of a column within 32-bit offsets.
const mostSortUnit = 1 << 30

// usualRun is the rows of a run, or about: as many as the usual limit of a page.
const usualRun = 20_000

// rawOf is how much may wait for a run with so many partitions: short pages cost more than memory, once
// the pages of many partitions are short.
func (z sizes) rawOf(partitions int) int64 {
	return max(z.raw, min(z.raw*5/2, int64(partitions)*3*z.leastRun))
}

// mostWaiting is how much may wait for a run, where waiting bytes do that are rows rows. Partitions that grow alike would all have a whole
// run at the same time; once some have gone early, they are as full as evenly spread ones are, which is half on average.
func (z sizes) mostWaiting(partitions int, waiting, rows int64) int64 {
	raw := z.rawOf(partitions)
	if rows == 0 {
		return raw
	}
	run := min(z.run, waiting*int64(z.runRows)/rows) // of rows like these
	return min(raw, max(z.leastRaw, int64(partitions)*run*3/5))
}

// openFiles is how many files may be written at a time.
const openFiles = 8

// mostStreams is how many files may be written while their rows come in. Where more partitions have row
// groups, the others' wait.
const mostStreams = 4

// minSegment keeps tiny targets, which tests set, from making a row group of every row.
const minSegment = 16 << 10

func newStaging(ctx context.Context, tbl *table.Table, o Options) (*staging, error) {
	meta := tbl.Metadata()
	set, err := readSettings(meta.Properties())
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	fsys, err := tbl.FS(ctx)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	wfs, ok := fsys.(iceio.WriteFileIO)
	if !ok {
		return nil, fmt.Errorf("stage: %w: the file system of %s is read-only", ErrUnsupported, meta.Location())
	}
	as, err := arrowconv.ArrowSchema(meta.CurrentSchema())
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	s := &staging{o: o, meta: meta, spill: &spillFile{dir: o.SpillDir}, queue: newQueue(), open: make(chan struct{}, max(openFiles, o.Workers))}
	for range o.Workers {
		w, err := newWorker(s, set, as)
		if err != nil {
			return nil, fmt.Errorf("stage: %w", err)
		}
		s.workers = append(s.workers, w)
	}
	s.plan = newSizes(o.Memory, set, len(s.workers[0].enc.leaves), o.Workers, s.workers[0].sorter != nil)
	s.inUse = semaphore.NewWeighted(s.plan.flying)
	s.streams = make(chan struct{}, s.plan.streams)
	s.blocks = newBlocks(s.workers[0].layouts, s.plan.raw/10)
	s.columns = &columnSets{layouts: s.workers[0].layouts}
	if s.files, err = newFileWriter(catalog.BoundUploads(wfs, s.plan.uploads), meta, s.workers[0].enc, s.spill, o); err != nil {
		return nil, err
	}
	s.files.wrote = func(g *rowGroup) {
		s.encoded.Add(-g.counted)
		g.dropPages()
	}
	s.router, err = newRouter(s, as)
	if err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	return s, nil
}

// run routes in, while workers encode. It returns when all of them have.
func (s *staging) run(ctx context.Context, in iter.Seq2[arrowconv.Batch, error]) (*Result, error) {
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	g, gctx := errgroup.WithContext(work)
	for _, w := range s.workers {
		g.Go(func() error { return w.run(gctx, g) })
	}
	err := s.router.run(gctx, in)
	stopped := gctx.Err() != nil // by a worker or from outside, so that err is no more than the echo
	if err != nil {
		cancel()
	}
	s.queue.close()
	// A worker that finds the queue closed before it sees the end of gctx has no error to tell.
	if werr := g.Wait(); werr != nil && (err == nil || stopped) {
		err = werr
	}
	s.letGo()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, err
	}
	return s.result()
}

// letGo releases batches that a run that failed has kept.
func (s *staging) letGo() {
	for _, r := range s.queue.left() {
		for _, b := range r.blocks {
			s.blocks.give(b)
		}
	}
	for _, p := range s.router.parts {
		if p != nil {
			for _, b := range p.blocks {
				s.blocks.give(b)
			}
		}
	}
}

func (s *staging) result() (*Result, error) {
	r := s.router.result
	slices.SortFunc(s.staged, func(a, b stagedFile) int {
		if a.partition != b.partition {
			return a.partition - b.partition
		}
		return a.index - b.index
	})
	for _, f := range s.staged {
		r.Files = append(r.Files, f.StagedFile)
		r.RowsStaged += f.Count()
		r.BytesStaged += f.FileSizeBytes()
		r.Digest = r.Digest.Add(f.Digest)
	}
	r.BytesSpilled = s.spill.end.Load()
	if lost := r.RowsRead - r.RowsStaged - r.RowsFiltered - r.RowsRejected; lost != 0 || r.Digest.Rows != r.RowsStaged && !s.o.Bare {
		return nil, fmt.Errorf("stage: a defect: %d rows read, %d staged (%d in the digest), %d filtered, %d rejected",
			r.RowsRead, r.RowsStaged, r.Digest.Rows, r.RowsFiltered, r.RowsRejected)
	}
	return &r, nil
}

// report calls Options.Progress with the state that change makes.
func (s *staging) report(change func(*Progress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.progress)
	if s.o.Progress != nil {
		s.progress.BytesSpilled = s.spill.end.Load()
		s.o.Progress(s.progress)
	}
}
