package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/icewright/icewright/arrowconv"
)

func bad(row int64, raw string) arrowconv.Reject {
	return arrowconv.Reject{Source: "a.csv", Row: row, Column: "n", Value: raw, Want: "long", Raw: []byte(raw)}
}

// Whatever the moment, the file holds whole lines: a run that is killed leaves no half line.
func TestRejectsHoldWholeLines(t *testing.T) {
	dir := t.TempDir()
	r, err := newRejects(filepath.Join(dir, "new", "dir"), "a.b/c", "attempt", bound{})
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(r.dir); len(entries) != 0 {
		t.Fatalf("there is a file before the first bad row")
	}
	const rows = 5000
	for i := range int64(rows) {
		if err := r.add(bad(i+1, strings.Repeat("x", int(i%300))+"\n\"é")); err != nil {
			t.Fatal(err)
		}
		if i%500 == 0 {
			if text, err := os.ReadFile(r.path); err == nil && !strings.HasSuffix(string(text), "}\n") {
				t.Fatalf("after row %d the file ends with %q", i, text[max(0, len(text)-20):])
			}
		}
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(r.filePath())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != rows || r.count() != rows {
		t.Fatalf("%d lines, %d counted, want %d", len(lines), r.count(), rows)
	}
	var last rejectLine
	if err := json.Unmarshal([]byte(lines[rows-1]), &last); err != nil {
		t.Fatal(err)
	}
	if last.Row != rows || last.Source != "a.csv" || last.Column != "n" || !strings.HasSuffix(last.Raw, "\n\"é") {
		t.Errorf("the last line is %+v", last)
	}
	if name := filepath.Base(r.path); name != "a.b_c-attempt.ndjson" {
		t.Errorf("the file is called %s", name)
	}
}

// Bytes that JSON cannot carry are not lost.
func TestRejectsKeepBytes(t *testing.T) {
	r, err := newRejects(t.TempDir(), "a.b", "x", bound{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.add(bad(1, "a\xffb")); err != nil {
		t.Fatal(err)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(r.path)
	var line rejectLine
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatal(err)
	}
	if line.Raw != "a\uFFFDb" || string(line.RawBase64) != "a\xffb" {
		t.Errorf("got %+v", line)
	}
}

// A number is checked as rows are rejected, a share when the input has ended: before the writer,
// which waits for that end, may publish.
func TestMaxRejects(t *testing.T) {
	input := func(r *rejects, rows, rejected int64) iter.Seq2[arrowconv.Batch, error] {
		return func(yield func(arrowconv.Batch, error) bool) {
			b := arrowconv.Batch{RecordBatch: array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, rows-rejected)}
			for i := range rejected {
				if err := r.add(bad(i+1, "x")); err != nil {
					yield(arrowconv.Batch{}, err)
					return
				}
				b.Rejected = append(b.Rejected, i+1)
			}
			yield(b, nil)
		}
	}
	for _, c := range []struct {
		limit          string
		rows, rejected int64
		ok             bool
	}{
		{"3", 100, 3, true},
		{"3", 100, 4, false},
		{"0", 100, 0, true},
		{"0", 100, 1, false},
		{"1%", 100, 1, true},
		{"1%", 100, 2, false},
		{"0%", 100, 1, false},
		{"100%", 2, 2, true},
		{"1%", 0, 0, true},
	} {
		t.Run(fmt.Sprintf("%s of %d of %d", c.limit, c.rejected, c.rows), func(t *testing.T) {
			limit, err := parseBound(c.limit)
			if err != nil {
				t.Fatal(err)
			}
			r, err := newRejects(t.TempDir(), "a.b", "x", limit)
			if err != nil {
				t.Fatal(err)
			}
			var got error
			for b, err := range r.checked(input(r, c.rows, c.rejected)) {
				if err != nil {
					got = err
					break
				}
				b.Release()
			}
			if err := r.close(); err != nil {
				t.Fatal(err)
			}
			if (got == nil) != c.ok {
				t.Errorf("got %v", got)
			}
			if got != nil && !errors.Is(got, arrowconv.ErrInput) {
				t.Errorf("%v is not bad input", got)
			}
		})
	}
}
