package job

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/icewright/icewright/arrowconv"
)

// rejects sets bad rows aside in an NDJSON file, and counts them.
//
// The file holds whole lines only, at any moment: lines are gathered in memory and written to it
// in one piece that ends with a line break, so that a run that is killed leaves no half line.
// It is made with the first bad row: a run without one leaves no file.
type rejects struct {
	dir, path string
	limit     bound

	mu   sync.Mutex // OnReject comes from one goroutine at a time, the count is read by another
	n    int64
	buf  bytes.Buffer
	file *os.File
}

// rejectLine is a line of a rejects file.
type rejectLine struct {
	Source string `json:"source"`
	Row    int64  `json:"row"`
	Line   int64  `json:"line,omitempty"` // of a JSON document, where the row begins
	Column string `json:"column,omitempty"`
	Error  string `json:"error"`
	Raw    string `json:"raw"`
	// RawBase64 is Raw's bytes where they are not UTF-8, which JSON cannot carry.
	RawBase64 []byte `json:"raw_base64,omitempty"`
}

// flushBytes is how much is gathered before it is written.
const flushBytes = 64 << 10

// newRejects prepares the rejects file of an attempt: DIR/TABLE-ATTEMPT.ndjson. dir is made now,
// so that a directory that cannot be written to is known before the first row.
func newRejects(dir, table, attempt string, limit bound) (*rejects, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, usage("", "--rejects: %v", err)
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|`, r) || r < ' ' {
			return '_'
		}
		return r
	}, table)
	return &rejects{dir: dir, path: filepath.Join(dir, name+"-"+attempt+".ndjson"), limit: limit}, nil
}

// add sets one row aside. It is an arrowconv.Options.OnReject.
func (r *rejects) add(bad arrowconv.Reject) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	line := rejectLine{
		Source: bad.Source, Row: bad.Row, Line: bad.Line, Column: bad.Column,
		Error: reason(bad), Raw: string(bad.Raw),
	}
	if !utf8.Valid(bad.Raw) {
		line.Raw, line.RawBase64 = strings.ToValidUTF8(line.Raw, "\uFFFD"), bad.Raw
	}
	enc := json.NewEncoder(&r.buf) // ends the line
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		return fmt.Errorf("rejects %s: %w", r.path, err)
	}
	if r.buf.Len() >= flushBytes {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if r.limit.kind == '#' && r.n > r.limit.count {
		count := "1 row"
		if r.n > 1 {
			count = fmt.Sprintf("%d rows", r.n)
		}
		return r.tooMany(count, bad)
	}
	return nil
}

// reason is what a RowError says, without where: the line has fields for that.
func reason(bad arrowconv.Reject) string {
	bad.Source, bad.Row, bad.Line, bad.Column = "", 0, 0, ""
	return strings.TrimPrefix((&arrowconv.RowError{Reject: bad}).Error(), ": row 0: ")
}

func (r *rejects) tooMany(count string, last arrowconv.Reject) error {
	return &Error{
		Class: arrowconv.ErrInput,
		Text: fmt.Sprintf("%s could not be read, more than --max-rejects %s allows; the last: %v",
			count, r.limit.text, &arrowconv.RowError{Reject: last}),
		Advice: "they are in " + r.path,
	}
}

func (r *rejects) flush() error {
	if r.buf.Len() == 0 {
		return nil
	}
	if r.file == nil {
		f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return fmt.Errorf("rejects: %w", err)
		}
		r.file = f
	}
	if _, err := r.file.Write(r.buf.Bytes()); err != nil {
		return fmt.Errorf("rejects: %w", err)
	}
	r.buf.Reset()
	return nil
}

// close writes what is left. The file stays, whatever became of the run: it says why.
func (r *rejects) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.flush()
	if r.file != nil {
		if cerr := r.file.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("rejects: %w", cerr)
		}
		r.file = nil
	}
	return err
}

// count is the number of rows set aside so far.
func (r *rejects) count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// file is the path of the rejects file; "" while no row was set aside.
func (r *rejects) filePath() string {
	if r.count() == 0 {
		return ""
	}
	return r.path
}

// checked passes in on and, at its end, checks a bound given as a share of the rows read: before
// the writer may publish, since it sees the end of its input only after that. It also puts the
// rejects on disk first, so that no snapshot is without them.
func (r *rejects) checked(in iter.Seq2[arrowconv.Batch, error]) iter.Seq2[arrowconv.Batch, error] {
	return func(yield func(arrowconv.Batch, error) bool) {
		var read int64
		for b, err := range in {
			if err == nil {
				read += b.RowsRead()
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
		r.mu.Lock()
		n, err := r.n, r.flush()
		r.mu.Unlock()
		if err == nil && r.limit.kind == '%' && float64(n) > r.limit.share*float64(read) {
			err = &Error{
				Class: arrowconv.ErrInput,
				Text: fmt.Sprintf("%d of %d rows could not be read, more than --max-rejects %s allows",
					n, read, r.limit.text),
				Advice: "they are in " + r.path,
			}
		}
		if err != nil {
			yield(arrowconv.Batch{}, err)
		}
	}
}
