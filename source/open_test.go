package source

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/icewright/icewright/arrowconv"
)

func gzipOf(t testing.TB, texts ...string) string {
	t.Helper()
	var out bytes.Buffer
	for _, text := range texts { // a member each
		w := gzip.NewWriter(&out)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func zstdOf(t testing.TB, text string, options ...zstd.EOption) string {
	t.Helper()
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// noise is text that does not compress.
func noise(t testing.TB, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", b)
}

// noLeaks fails the test if goroutines that were not there before are there at its end.
func noLeaks(t testing.TB) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 3000 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
	})
}

func resolveOne(t testing.TB, arg string, o Options) Object {
	t.Helper()
	objects, err := Resolve(t.Context(), []string{arg}, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 {
		t.Fatalf("%s is %d objects", arg, len(objects))
	}
	return objects[0]
}

// slurp opens and reads an object to its end.
func slurp(t testing.TB, o Object) (string, arrowconv.Format, error) {
	t.Helper()
	r, err := o.Open(t.Context(), "")
	if err != nil {
		return "", "", err
	}
	var text []byte
	if r.Reader != nil {
		text, err = io.ReadAll(r.Reader)
	}
	return string(text), r.Format, errors.Join(err, r.Close())
}

// bzip2Rows is a header and half a million rows as bzip2 writes them, of several blocks.
func bzip2Rows(t testing.TB) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString("QlpoOTFBWSZTWbHISFMFJlTZgAAQAAQgACYjAEAgAFCAGAmqoZD03iqEInu1UIRNSoQiZ/msyVCEThigrJMprNvybF4Bt3GsQAAIAAIQAAAgEAAoM00E1UemKhCJioQibFQhE8VCETjFBWSZTWXMQlZsBJQlYgAAQAAQgAABAIABQZpoJqo9NQkVTESKp+hIqmIkVThdyRThQkNv4Baw")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// bzip2Empty is nothing as bzip2 writes it.
const bzip2Empty = "BZh9\x17rE8P\x90\x00\x00\x00\x00"

func TestOpen(t *testing.T) {
	bzipped := "id,name\n" + strings.Repeat("1,x\n", 500_000)
	noLeaks(t)
	dir := t.TempDir()
	text := "id,name\n1,x\n" + noise(t, 1<<20)
	skippable := "\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
	for _, c := range []struct {
		name, stored, want string
		format             arrowconv.Format
	}{
		{"a.csv", text, text, arrowconv.CSV},
		{"a.csv.gz", gzipOf(t, text), text, arrowconv.CSV},
		{"gzip told by content.csv", gzipOf(t, text), text, arrowconv.CSV},
		{"not gzip.csv.gz", text, text, arrowconv.CSV},
		{"members.csv.gz", gzipOf(t, text, "", "2,y\n"), text + "2,y\n", arrowconv.CSV},
		{"a.tsv.zst", zstdOf(t, text), text, arrowconv.TSV},
		{"frames.csv", zstdOf(t, text) + skippable + zstdOf(t, "2,y\n"), text + "2,y\n", arrowconv.CSV},
		{"skippable first", skippable + zstdOf(t, `{"a":1}`), `{"a":1}`, arrowconv.NDJSON},
		{"content alone", `{"a":1}`, `{"a":1}`, arrowconv.NDJSON},
		{"events.jsonl.gz", gzipOf(t, `{"a":1}`), `{"a":1}`, arrowconv.NDJSON},
		{"a.csv.bz2", bzip2Rows(t), bzipped, arrowconv.CSV},
		{"streams.csv.bz2", bzip2Rows(t) + bzip2Empty + bzip2Rows(t), bzipped + bzipped, arrowconv.CSV},
		{"bzip2 told by content.tsv", bzip2Rows(t), bzipped, arrowconv.TSV},
		{"empty inside.csv.bz2", bzip2Empty, "", arrowconv.CSV},
		{"empty.csv", "", "", arrowconv.CSV},
		{"empty inside.csv.gz", gzipOf(t, ""), "", arrowconv.CSV},
		{"a.parquet", "PAR1\x15 and more", "", arrowconv.Parquet},
		{"parquet in gzip", gzipOf(t, "PAR1\x15 and more"), "PAR1\x15 and more", arrowconv.Parquet},
	} {
		path := filepath.Join(dir, c.name)
		write(t, path, c.stored)
		got, format, err := slurp(t, resolveOne(t, path, Options{}))
		if err != nil || got != c.want || format != c.format {
			t.Errorf("%s: %d bytes of %s (%v), want %d of %s", c.name, len(got), format, err, len(c.want), c.format)
		}
	}
}

func TestOpenBroken(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	text := "id\n" + noise(t, 1<<20)
	flip := func(s string) string {
		b := []byte(s)
		b[len(b)/2] ^= 0xff
		return string(b)
	}
	for _, c := range []struct{ name, stored, want string }{
		{"cut.csv.gz", gzipOf(t, text)[:1<<20], "the gzip stream ends in the middle"},
		{"cut in the head.csv.gz", gzipOf(t, text)[:5], "the gzip stream ends in the middle"},
		{"corrupt.csv.gz", flip(gzipOf(t, text)), "the gzip stream is corrupt"},
		{"trailing.csv.gz", gzipOf(t, text) + "trailing garbage", "the gzip stream is corrupt"},
		{"cut.csv.zst", zstdOf(t, text)[:1<<20], "the zstd stream ends in the middle"},
		{"corrupt.csv.zst", flip(zstdOf(t, text)), "the zstd stream is corrupt"},
		{"a.csv.bz2", "BZh91AY&SY1234", "the bzip2 stream ends in the middle"},
		{"cut in the head.csv.bz2", "BZh9", "the bzip2 stream ends in the middle"},
		{"cut.csv.bz2", bzip2Rows(t)[:60], "the bzip2 stream ends in the middle"},
		{"cut in the second stream.csv.bz2", bzip2Rows(t) + bzip2Rows(t)[:60], "the bzip2 stream ends in the middle"},
		{"corrupt.csv.bz2", flip(bzip2Rows(t)), "the bzip2 stream is corrupt"},
		{"trailing.csv.bz2", bzip2Rows(t) + "trailing garbage", "the bzip2 stream is corrupt"},
		{"a.csv.xz", "\xfd7zXZ\x00\x00\x04", "xz is not a compression that can be read"},
		{"a.zip", "PK\x03\x04....", "zip is not a compression that can be read"},
		{"a.lz4", "\x04\x22\x4d\x18....", "lz4 is not a compression that can be read"},
	} {
		path := filepath.Join(dir, c.name)
		write(t, path, c.stored)
		_, _, err := slurp(t, resolveOne(t, path, Options{}))
		if err == nil || !errors.Is(err, arrowconv.ErrInput) || !strings.HasPrefix(err.Error(), path+": "+c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// TestChanged: a file that is not the one that was resolved is an error, when it is opened, in the
// middle of it, or at its end.
func TestChanged(t *testing.T) {
	text := "id\n" + strings.Repeat("1\n", 100_000)
	later := time.Now().Add(time.Minute)
	for _, c := range []struct {
		name   string
		change func(path string) error
		want   string
	}{
		{"vanished", os.Remove, "vanished while it was being read"},
		{"grown", func(path string) error { return os.WriteFile(path, []byte(text+"2\n"), 0o644) }, "it had 200003 bytes and now has 200005"},
		{"cut", func(path string) error { return os.Truncate(path, 10) }, "it had 200003 bytes and now has 10"},
		{"touched", func(path string) error { return os.Chtimes(path, later, later) }, "it was written at"},
		{"replaced", func(path string) error {
			if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}, "was replaced by another file"},
	} {
		for _, packed := range []bool{false, true} {
			stored := text
			if packed {
				stored = gzipOf(t, text)
				if strings.Contains(c.want, "bytes") {
					continue
				}
			}
			for _, when := range []string{"before", "during"} {
				t.Run(fmt.Sprintf("%s/%s/packed=%t", c.name, when, packed), func(t *testing.T) {
					noLeaks(t)
					path := filepath.Join(t.TempDir(), "a.csv")
					write(t, path, stored)
					object := resolveOne(t, path, Options{})
					err := func() error {
						if when == "before" {
							if err := c.change(path); err != nil {
								t.Fatal(err)
							}
						}
						r, err := object.Open(t.Context(), "")
						if err != nil {
							return err
						}
						defer r.Close()
						if when == "during" && !packed {
							if _, err := io.ReadFull(r.Reader, make([]byte, 1000)); err != nil {
								return err
							}
						}
						if when == "during" {
							if err := c.change(path); err != nil {
								t.Fatal(err)
							}
							if packed {
								// reading ahead may have seen the end already
								return object.origin.verify(t.Context())
							}
						}
						_, err = io.Copy(io.Discard, r.Reader)
						return err
					}()
					if err == nil || !errors.Is(err, arrowconv.ErrInput) || !strings.Contains(err.Error(), c.want) {
						t.Errorf("got %v, want %s", err, c.want)
					}
				})
			}
		}
	}
}

// stdinKinds are the readers that standard input can be: a file that takes deadlines, one that does
// not (as a process inherits it), and whatever a library's user has.
var stdinKinds = []string{"pipe", "blocking file", "reader"}

// stdinOf makes standard input of a kind, and its other end.
func stdinOf(t testing.TB, kind string) (io.Reader, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	switch kind {
	case "pipe":
		return r, w
	case "reader":
		return struct{ io.Reader }{r}, w
	}
	fd, err := syscall.Dup(int(r.Fd())) // Fd makes it blocking
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "stdin")
	t.Cleanup(func() { _ = file.Close() })
	return file, w
}

// TestStdinTwice: what an inference reads of standard input, the load reads again: all of it, whether
// the inference read a little or everything, plain or compressed, in memory or spooled.
func TestStdinTwice(t *testing.T) {
	noLeaks(t)
	spillDir := t.TempDir()
	small := "id,name\n" + strings.Repeat("1,some name or other\n", 1000)
	large := "id,name\n" + noise(t, 5<<19)
	for _, text := range []string{small, large} {
		for _, stored := range []string{text, gzipOf(t, text), zstdOf(t, text)} {
			for _, read := range []int{0, 100, len(text) / 2, len(text), len(text) + 1} {
				if len(text) == len(large) && read != 100 && read <= len(text) {
					continue
				}
				for _, kind := range stdinKinds {
					in, w := stdinOf(t, kind)
					go func() {
						_, _ = io.WriteString(w, stored)
						_ = w.Close()
					}()
					object := resolveOne(t, "-", Options{Stdin: in, SpillDir: spillDir})
					object.origin.(*pipe).twice()
					first, err := object.Open(t.Context(), "")
					if err != nil {
						t.Fatal(err)
					}
					_, err = io.CopyN(io.Discard, first.Reader, int64(read))
					if err != nil && (!errors.Is(err, io.EOF) || read <= len(text)) {
						t.Fatal(err)
					}
					if err := first.Close(); err != nil {
						t.Fatal(err)
					}
					got, format, err := slurp(t, object)
					if err != nil || got != text || format != arrowconv.CSV {
						t.Fatalf("%s, %d read first: %d of %d bytes, %s, %v", kind, read, len(got), len(text), format, err)
					}
					if _, _, err := slurp(t, object); !errors.Is(err, arrowconv.ErrInput) || !strings.Contains(err.Error(), "only once") {
						t.Fatalf("a third reading: %v", err)
					}
				}
			}
		}
	}
	if left, _ := os.ReadDir(spillDir); len(left) > 0 {
		t.Errorf("%v is left in the spill directory", left)
	}
}

// TestStdinCancel: a read that waits for standard input ends when its context does.
func TestStdinCancel(t *testing.T) {
	cause := errors.New("the user has left")
	for _, kind := range stdinKinds {
		t.Run(kind, func(t *testing.T) {
			noLeaks(t)
			in, w := stdinOf(t, kind)
			defer w.Close() // it ends the read that a mere reader leaves to itself
			if _, err := w.WriteString("id\n1\n"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			object := resolveOne(t, "-", Options{Stdin: in})
			time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
			start := time.Now()
			reader, err := object.Open(ctx, arrowconv.CSV)
			if err == nil {
				_, err = io.Copy(io.Discard, reader.Reader)
				err = errors.Join(err, reader.Close())
			}
			if !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if since := time.Since(start); since > 30*time.Second {
				t.Errorf("it took %s", since)
			}
		})
	}
}

// TestNamedPipe: a shell's <(…) and mkfifo's pipes are read as they come.
func TestNamedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo.csv")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { _ = os.WriteFile(path, []byte("id\n1\n"), 0o600) }()
	object := resolveOne(t, path, Options{})
	if object.Size != -1 {
		t.Errorf("size %d", object.Size)
	}
	if got, format, err := slurp(t, object); err != nil || got != "id\n1\n" || format != arrowconv.CSV {
		t.Errorf("%q, %s, %v", got, format, err)
	}
}
