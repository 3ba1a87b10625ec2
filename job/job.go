// Package job carries out what a user asks for: it validates a job, opens its catalog, resolves
// its sources, makes or loads its table, and hands the rows to the writer. What a run did comes
// back as a Receipt. The reading commands (show, history, describe, drop) live here too, so that
// cmd has no logic of its own.
//
//   - A Job says what to load, from where, into which table, and how.
//   - A run is one execution of a job; its run key names it in the table's history.
//   - A Receipt says what a run did, for people and for machines.
//   - A Target is the table that a reading command is about.
//
// The package knows no wire formats (arrowconv), no origins (source) and no commits (writer). It
// logs nothing: news goes to Job.Progress and Job.Warn, results are values.
package job

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/derive"
	"github.com/icewright/icewright/source"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/stage"
)

// ErrUsage is the class of everything that is wrong with the question itself: a flag that does
// not parse, two flags that exclude one another, a table that cannot be what it is asked to be.
// Running it again as it stands cannot help.
var ErrUsage = errors.New("usage")

// Error is a failure with advice. It wraps the sentinel that says what a caller can do about it.
type Error struct {
	Class  error  // ErrUsage, arrowconv.ErrInput, ...
	Text   string // what failed, on which thing, why
	Advice string // what to do; may be empty
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Class }

// Hint is what the user can do about it, one line.
func (e *Error) Hint() string { return e.Advice }

func usage(hint, format string, args ...any) error {
	return &Error{Class: ErrUsage, Text: fmt.Sprintf(format, args...), Advice: hint}
}

// Mode is how a run changes the table.
type Mode string

// The modes of a load.
const (
	Replace Mode = "replace"
	Merge   Mode = "merge"
	Insert  Mode = "insert"
	Append  Mode = "append"
)

// Job says what to load, from where, into which table, and how. The zero value of every field
// but Sources and Table works. Field names are the flags' names: Job.RunKey is --run-key.
type Job struct {
	// Sources are files, directories, globs, s3:// and https:// addresses, or "-" for Stdin; at least one,
	// here or in FilesFrom.
	Sources []string
	// FilesFrom are files that name more sources, one a line, or "-" for Stdin. Default: none.
	FilesFrom []string
	// SourceProps are the s3.* properties of the store that s3:// sources lie in. Default, none: the catalog's, but
	// for its encryption. With one of them none of the catalog's count, so that its keys go to no other store.
	SourceProps iceberg.Properties
	// Table is the table's name with its namespace: "lake.events".
	Table string
	// Mode is how the run changes the table. The default, "", is Replace.
	Mode Mode

	// Format of the sources. The default, "", decides by each source's name and content.
	Format arrowconv.Format
	// CSVDelimiter is between CSV fields: one ASCII character, "tab", or a code such as \x01. Default, "":
	// detected; a comma unless the first rows show another (TSV: a tab).
	CSVDelimiter string
	// CSVQuote is what fields with delimiters in them are put in: one ASCII character, or "none".
	// Default, "": a double quote.
	CSVQuote string
	// CSVEscape is what takes the meaning from a quote or a delimiter, such as a backslash. Default, "":
	// quotes within quotes are doubled.
	CSVEscape string
	// CSVNulls are the CSV tokens that mean null. Default: an empty field without quotes.
	CSVNulls []string
	// CSVSkip is the number of lines before the CSV header. Default: 0.
	CSVSkip int
	// CSVComment is what CSV lines begin with that are no rows: one ASCII character. Default, "": none.
	CSVComment string
	// CSVNoHeader says that the first line is data; columns are then taken in table order. Default: false.
	CSVNoHeader bool
	// DecimalComma reads 12,50 as twelve and a half.
	DecimalComma bool
	// JSONRows is the path of keys, with dots between, to the array of a JSON document that has the rows.
	// Default, "": the document itself.
	JSONRows string
	// MaxRowBytes is the longest row of a text, and the longest value of other formats, a bound on memory: a
	// longer one ends the run. Default, 0: 64 MiB.
	MaxRowBytes int64
	// TimeZone is the IANA name of the zone that timestamps without one are taken in. Default: UTC.
	TimeZone string

	// PathColumns are the directories key=value of the sources' paths that are columns where a file lacks
	// them: "auto", which is all that the table has a column for, "none", or keys: "dt,region". The
	// default, "", is auto.
	PathColumns string
	// SourceColumns are two columns more, the name of a row's source and its number in it: "FILE,ROW".
	// "true" calls them source_file and source_row. The default, "", adds none.
	SourceColumns string

	// Derive are columns that are computed from the rows, "NAME=EXPRESSION" each; docs/derive.md has the
	// functions. Default: none.
	Derive []string

	// Schema is a file with the schema of a new table (Iceberg JSON, or YAML). Default: inference.
	Schema string
	// InferRows bounds the rows that inference reads. Default, 0: the whole first source.
	InferRows int
	// Decimals lets inference make decimals where every value of a column has decimal places.
	Decimals bool
	// Variants are columns of a new table that hold any JSON, whatever inference sees. Default: none.
	Variants []string
	// Columns takes these columns of the input only, and says what the table calls them: "a,b=c" takes a, and c
	// as b. Default, "": all, under their own names.
	Columns string
	// IgnoreCase matches columns whose names differ in case only. Default: they are different.
	IgnoreCase bool
	// Evolve says how an existing table's schema may change to take the input, in the commit that brings
	// its rows: a list of "add" (new optional columns), "widen" (a wider type) and "relax" (required to
	// optional). Default, "": not at all.
	Evolve string
	// PartitionBy is the partition spec of a new table: "day(ts), bucket(16, id)".
	PartitionBy string
	// SortBy is the sort order of a new table: "ts, id desc".
	SortBy string
	// TableProps are table properties of a new table.
	TableProps iceberg.Properties
	// FormatVersion of a new table: 1, 2 or 3. Default, 0: 2.
	FormatVersion int

	// Slice is the part of the table that the run owns. Default, "": the partitions its rows are in.
	Slice string
	// Outside says what becomes of rows outside Slice: "fail" (the default, "") or "drop".
	Outside string
	// OnEmpty says what input without rows does: "fail" (the default, ""), "keep" or "clear".
	OnEmpty string
	// ReplaceTable allows a load without Slice to replace an unpartitioned table as a whole.
	ReplaceTable bool
	// MaxShrink is the share of its rows that a partition may lose: "50%", "0.5". Default, "": 50%.
	MaxShrink string
	// AllowShrink turns the guard of MaxShrink off.
	AllowShrink bool
	// CompareRows scans live files without a digest, to find partitions that are unchanged.
	CompareRows bool

	// AllowDuplicates has mode Append add the rows whether or not they were added before. Default: false, once
	// under RunKey.
	AllowDuplicates bool
	// Key are the columns that tell rows apart, in one or several lists with commas between.
	// Modes Merge and Insert need it; others have none.
	Key []string
	// LatestBy is the column that picks one of several input rows with a key: the greatest. Default, "": such
	// rows are an error, or in mode Insert the first counts.
	LatestBy string
	// Window is how far apart in the column EventTime two rows with one key may be that are taken for one event,
	// in mode Insert: "24h", "7d". The default, "", takes all rows with one key for one. Needs EventTime.
	Window string
	// EventTime is the column of dates or timestamps that Window is about. Default, "": none.
	EventTime string
	// IfNewer is the column by which a row that is older than the table's changes nothing. Default, "": none.
	IfNewer string
	// DeleteWhen is the condition on input rows that delete the row with their key: "op = 'd'". Its columns
	// are the table's, or the input's alone. Default, "": none deletes.
	DeleteWhen string
	// IgnoreColumns are columns whose differences are no change, in one or several lists with commas between.
	// Default: none.
	IgnoreColumns []string
	// Strategy is how mode Merge changes rows that are there: CopyOnWrite or MergeOnRead. Default, "": what the
	// table's property write.merge.mode says, and CopyOnWrite where it says nothing.
	Strategy Strategy
	// History are two or three columns of the table that the run keeps, in one or several lists with commas between:
	// since when a row holds, until when, and whether it still does. The table then has a row for each change of a
	// key. Default: none, the table has what holds now.
	History []string
	// Effective is the column of the input that says since when a row holds. History needs it. Default, "": none.
	Effective string

	// Rejects is a directory that bad rows are set aside in. Default, "": the first one ends the run.
	Rejects string
	// MaxRejects bounds the rejected rows: "100" or "1%" of the rows read. Default, "": no bound.
	MaxRejects string

	// RunKey names the run in the table's history; mode Append adds rows once under it. Default, "": made of
	// table, mode and slice, or the digest of the rows that are appended.
	RunKey string
	// Branch that the run publishes to. Default, "": main.
	Branch string

	// Memory bounds the bytes held. Default, 0: 1 GiB.
	Memory int64
	// SpillDir is where what does not fit in Memory goes. Default, "": the system's temporary directory.
	SpillDir string
	// Workers is the number of cores to use. Default, 0: all.
	Workers int

	// Catalog says which catalog the table is in. Its zero value is SQLite in ./lake.
	Catalog catalog.Config
	// TrustFingerprint takes sources whose names, sizes and times (or ETags) are those that a snapshot was made of, by
	// a job with the same options, for unchanged, where nothing has touched the slice since; they are not read.
	// Snapshots that are made with it carry the fingerprint. Default: false, sources are read.
	TrustFingerprint bool
	// DryRun stages and plans, publishes nothing, and removes what it staged.
	DryRun bool

	// Stdin is read where a source is "-".
	Stdin io.Reader
	// Attempt names this process in the snapshot summary. Default, the zero UUID: a new UUIDv7.
	Attempt uuid.UUID
	// Now is the clock. Default, nil: time.Now.
	Now func() time.Time
	// Progress hears how far the run is. Called from several goroutines; may be nil.
	Progress func(Progress)
	// Decided hears, once each, what was decided about a source where the job leaves it open and not everybody
	// would expect it, such as a delimiter of CSV files that is no comma. May be nil.
	Decided func(source, text string)
	// Warn hears what the user should know though the run goes on. May be nil.
	Warn func(string)
	// Note hears what explains a result to who wonders about it. May be nil.
	Note func(string)

	// columns and location are of a new table that Create makes.
	columns  *iceberg.Schema
	location string
}

// Progress is how far a run is.
type Progress = writer.Progress

// Validate says what is wrong with j as far as it can be told without opening anything, naming
// the flag. Errors wrap ErrUsage.
func (j Job) Validate() error {
	_, err := j.check()
	return err
}

// settings are a job's texts, parsed.
type settings struct {
	ident      []string
	convert    arrowconv.Options
	zone       *time.Location
	outside    stage.Outside
	onEmpty    plan.OnEmpty
	maxShrink  float64
	maxRejects bound
	paths      source.PathColumns
	evolve     catalog.Evolve
	key        []string
	window     time.Duration
	ignore     []string
	history    *merge.History
	derive     derive.List
}

func (j Job) check() (s settings, err error) {
	if len(j.Sources)+len(j.FilesFrom) == 0 {
		return s, usage("name files, directories, globs, s3:// or https:// addresses, or - for standard input; --files-from takes a list of them",
			"no source given")
	}
	if n := slices.Index(j.Sources, "-"); n >= 0 && slices.Contains(j.Sources[n+1:], "-") {
		return s, usage("", "standard input (-) is given twice")
	}
	if err := catalog.CheckS3Properties(j.SourceProps); err != nil {
		return s, usage(Hint(err), "--source-prop: %v", err)
	}
	if n := slices.Index(j.FilesFrom, "-"); n >= 0 && (slices.Contains(j.Sources, "-") || slices.Contains(j.FilesFrom[n+1:], "-")) {
		return s, usage("save the list to a file", "standard input cannot be both: --files-from - and another -")
	}
	if s.ident, err = parseTable(j.Table); err != nil {
		return s, err
	}
	if err := j.checkMode(&s); err != nil {
		return s, err
	}
	if s.convert.Format, err = arrowconv.ParseFormat(string(j.Format)); err != nil {
		return s, usage(Hint(err), "--format: %s", err)
	}
	if s.convert.CSV, err = j.dialect(); err != nil {
		return s, err
	}
	if j.MaxRowBytes < 0 || j.MaxRowBytes > 0 && j.MaxRowBytes < minRow {
		return s, usage("give it 1KiB or more", "--max-row-bytes: %d bytes is too little", j.MaxRowBytes)
	}
	s.convert.JSONRows = j.JSONRows
	s.convert.MaxRowBytes = int(min(j.MaxRowBytes, maxRow))
	s.zone = time.UTC
	if j.TimeZone != "" {
		if s.zone, err = time.LoadLocation(j.TimeZone); err != nil {
			return s, usage("use a name such as Europe/Berlin or UTC", "--time-zone: unknown time zone %q", j.TimeZone)
		}
	}
	s.convert.TimeZone = s.zone
	if s.paths, err = parsePathColumns(j.PathColumns); err != nil {
		return s, err
	}
	if s.convert.SourceColumns, err = parseSourceColumns(j.SourceColumns); err != nil {
		return s, err
	}
	if j.InferRows < 0 {
		return s, usage("0 reads the whole first source", "--infer-rows: %d is negative", j.InferRows)
	}
	switch j.FormatVersion {
	case 0, 1, 2, 3:
	default:
		return s, usage("it is 1, 2 or 3", "--format-version: there is no version %d", j.FormatVersion)
	}
	s.convert.IgnoreCase = j.IgnoreCase
	if j.Columns != "" {
		if s.convert.Columns, err = parseColumns(j.Columns); err != nil {
			return s, err
		}
		if j.CSVNoHeader {
			return s, usage("without a header the columns are the table's, in its order", "--columns and --csv-no-header exclude one another")
		}
	}
	if err := j.checkDerive(&s); err != nil {
		return s, err
	}
	if s.evolve, err = parseEvolve(j.Evolve); err != nil {
		return s, err
	}
	switch j.Outside {
	case "", "fail":
		s.outside = stage.OutsideFail
	case "drop":
		s.outside = stage.OutsideDrop
	default:
		return s, usage("it is fail or drop", "--outside: unknown choice %q", j.Outside)
	}
	if j.Outside == "drop" && j.Slice == "" {
		return s, usage("say which part of the table the run owns with --slice", "--outside drop needs --slice")
	}
	if len(j.Variants) > 0 && j.Schema != "" {
		return s, usage("name the type variant in the schema file", "--variant is for inference, and --schema says the types")
	}
	switch j.OnEmpty {
	case "", "fail":
		s.onEmpty = plan.OnEmptyFail
	case "keep":
		s.onEmpty = plan.OnEmptyKeep
	case "clear":
		s.onEmpty = plan.OnEmptyClear
	default:
		return s, usage("it is fail, keep or clear", "--on-empty: unknown choice %q", j.OnEmpty)
	}
	if j.ReplaceTable && j.Slice != "" {
		return s, usage("--replace-table makes the whole table the slice", "--replace-table and --slice exclude one another")
	}
	s.maxShrink = 0.5
	if j.MaxShrink != "" {
		if s.maxShrink, err = parseShare(j.MaxShrink); err != nil {
			return s, usage("say a share such as 50% or 0.5", "--max-shrink: %v", err)
		}
	}
	if j.MaxRejects != "" {
		if j.Rejects == "" {
			return s, usage("--rejects DIR says where bad rows go", "--max-rejects needs --rejects")
		}
		if s.maxRejects, err = parseBound(j.MaxRejects); err != nil {
			return s, usage("say a number such as 100 or a share such as 1%", "--max-rejects: %v", err)
		}
	}
	if j.TrustFingerprint && j.Rejects != "" {
		return s, usage("rows that were set aside are in no snapshot, so they have to be read again", "--trust-fingerprint and --rejects exclude one another")
	}
	if j.TrustFingerprint && j.mode() == Append {
		return s, usage("it is for replace and merge", "--trust-fingerprint is not for --mode %s", j.mode())
	}
	if j.Memory < 0 || (j.Memory > 0 && j.Memory < minMemory) {
		return s, usage("give it 64MiB or more", "--memory: %d bytes is too little", j.Memory)
	}
	if j.Workers < 0 {
		return s, usage("0 uses every core", "--workers: %d is negative", j.Workers)
	}
	return s, nil
}

// A row may be as short as a line of text, and must be found by 32-bit positions in its chunk.
const (
	minRow = 1 << 10
	maxRow = 1 << 30
)

// minMemory is what a handful of open Parquet writers and the readers' chunks need.
const minMemory = 64 << 20

// branch is the branch that j publishes to.
func (j Job) branch() string {
	if j.Branch == "" {
		return "main"
	}
	return j.Branch
}

func (j Job) mode() Mode {
	if j.Mode == "" {
		return Replace
	}
	return j.Mode
}

func (j Job) now() time.Time {
	if j.Now != nil {
		return j.Now()
	}
	return time.Now()
}

// noteOnce passes on what arrowconv decides, each text once: what is true of one file mostly is of its
// neighbours, which are read at the same time.
func (j Job) noteOnce() func(arrowconv.Note) {
	var mu sync.Mutex
	heard := map[string]bool{}
	return func(n arrowconv.Note) {
		mu.Lock()
		defer mu.Unlock()
		if heard[n.Text] {
			return
		}
		heard[n.Text] = true
		switch {
		case n.Usual:
			j.note(n.Source + ": " + n.Text)
		case j.Decided != nil:
			j.Decided(n.Source, n.Text)
		}
	}
}

func (j Job) warn(format string, args ...any) {
	if j.Warn != nil {
		j.Warn(fmt.Sprintf(format, args...))
	}
}

func (j Job) note(text string) {
	if j.Note != nil {
		j.Note(text)
	}
}

// tableSpec is what j says about the table's making.
func (j Job) tableSpec() catalog.TableSpec {
	return catalog.TableSpec{
		Schema:        j.columns,
		Location:      j.location,
		PartitionBy:   j.PartitionBy,
		SortBy:        j.SortBy,
		FormatVersion: j.FormatVersion,
		Props:         maps.Clone(j.TableProps),
	}
}

// formatVersion is that of a new table.
func (j Job) formatVersion() int {
	if said, err := strconv.Atoi(j.TableProps[table.PropertyFormatVersion]); err == nil && j.FormatVersion == 0 {
		return said
	}
	return j.FormatVersion
}

// parseTable splits "ns.name". Errors wrap ErrUsage.
func parseTable(name string) ([]string, error) {
	if name == "" {
		return nil, usage("say --table NAMESPACE.NAME", "no table given")
	}
	ident, err := catalog.ParseIdentifier(name)
	if err != nil {
		return nil, fmt.Errorf("--table: %w", err)
	}
	return ident, nil
}

// dialect is what j says about CSV.
func (j Job) dialect() (c arrowconv.CSVOptions, err error) {
	c = arrowconv.CSVOptions{Skip: j.CSVSkip, NoHeader: j.CSVNoHeader, Nulls: j.CSVNulls, DecimalComma: j.DecimalComma}
	for _, f := range []struct {
		flag, text string
		to         *byte
	}{{"--csv-delimiter", j.CSVDelimiter, &c.Delimiter}, {"--csv-quote", j.CSVQuote, &c.Quote}, {"--csv-escape", j.CSVEscape, &c.Escape}, {"--csv-comment", j.CSVComment, &c.Comment}} {
		switch {
		case f.text == "":
		case f.to == &c.Quote && strings.EqualFold(f.text, "none"):
			c.Quote = arrowconv.NoQuote
		default:
			if *f.to, err = arrowconv.ParseDialectByte(f.text); err != nil {
				return c, usage(Hint(err), "%s: %v", f.flag, err)
			}
		}
	}
	if err := c.Check(); err != nil {
		return c, usage("each of --csv-delimiter, --csv-quote, --csv-escape and --csv-comment is another character", "--csv-*: %v", err)
	}
	return c, nil
}

// parseShare reads "50%" or "0.5" as a number from 0 to 1.
func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a share", text)
	}
	if percent {
		v /= 100
	}
	if !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q is not between 0 and 100%%", text)
	}
	return v, nil
}

// bound limits a number of rows: at most count, or at most share of the rows read. The zero
// bound limits nothing.
type bound struct {
	text  string
	count int64
	share float64
	kind  byte // 0: none, '#': count, '%': share
}

func parseBound(text string) (bound, error) {
	if strings.HasSuffix(text, "%") {
		share, err := parseShare(text)
		return bound{text: text, share: share, kind: '%'}, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return bound{}, fmt.Errorf("%q is neither a number of rows nor a percentage", text)
	}
	return bound{text: text, count: n, kind: '#'}, nil
}
