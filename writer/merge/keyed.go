package merge

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// keyed is what is known of some rows of the input while they are matched: parallel columns.
type keyed struct {
	rows    []int32 // their numbers in the input
	prints  []fingerprint
	digests []fingerprint // of the columns that are compared
	latest  ages          // empty without --latest-by
	newer   ages          // empty without --if-newer
}

// keyedBytes is about what a row of keyed takes, its slots of an index included.
const keyedBytes = 4 + 16 + 16 + 8 + 8 + 24

func (k *keyed) len() int { return len(k.rows) }

// grow makes room for n rows more, so that no more than that is taken.
func (k *keyed) grow(n int, latest, newer *ordered) {
	k.rows, k.prints, k.digests = slices.Grow(k.rows, n), slices.Grow(k.prints, n), slices.Grow(k.digests, n)
	k.latest.grow(n, latest)
	k.newer.grow(n, newer)
}

func (k *keyed) clear() {
	k.rows, k.prints, k.digests = k.rows[:0], k.prints[:0], k.digests[:0]
	k.latest, k.newer = ages{}, ages{}
}

// spool keeps keyed rows that do not fit in memory, by hash of their keys: all rows with one key are in one
// bucket, in their order. A bucket fits in memory where the rows don't. Everything lies in one file, which
// has no name.
type spool struct {
	dir     string
	page    int // bytes of a bucket that are written at once
	file    *os.File
	end     int64
	buckets [buckets]bucket
}

const (
	bucketBits = 7
	buckets    = 1 << bucketBits
)

// newSpool returns an empty spool. The pages that wait to be full take an eighth of memory, or 4 MiB.
func newSpool(dir string, memory int64) *spool {
	return &spool{dir: dir, page: int(min(32<<10, max(512, memory/8/buckets)))}
}

// pageRow is what a row takes of a page, if no text is among its ages.
const pageRow = 4 + 2*16 + 2*9

type bucket struct {
	rows    int
	buffer  []byte
	extents [][2]int64 // offset and length
}

func bucketOf(f fingerprint) int { return int(hashOf(f) >> (64 - bucketBits)) }

// add puts rows into their buckets.
func (s *spool) add(k *keyed) error {
	if s.file == nil {
		var err error
		if s.file, err = os.CreateTemp(s.dir, "icewright-keys-*"); err != nil {
			return fmt.Errorf("spill keys: %w", err)
		}
		_ = os.Remove(s.file.Name())
	}
	for i, f := range k.prints {
		b := &s.buckets[bucketOf(f)]
		b.rows++
		if b.buffer == nil {
			b.buffer = make([]byte, 0, s.page)
		}
		to := b.buffer
		to = binary.LittleEndian.AppendUint32(to, uint32(k.rows[i]))
		for _, v := range [...]fingerprint{f, k.digests[i]} {
			to = binary.LittleEndian.AppendUint64(to, v.hi)
			to = binary.LittleEndian.AppendUint64(to, v.lo)
		}
		to = k.latest.appendTo(to, i)
		to = k.newer.appendTo(to, i)
		b.buffer = to
		if len(to)+pageRow > s.page {
			if err := s.flush(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *spool) flush(b *bucket) error {
	if len(b.buffer) == 0 {
		return nil
	}
	if _, err := s.file.WriteAt(b.buffer, s.end); err != nil {
		return fmt.Errorf("spill keys to %s: %w", s.file.Name(), err)
	}
	b.extents = append(b.extents, [2]int64{s.end, int64(len(b.buffer))})
	s.end += int64(len(b.buffer))
	b.buffer = b.buffer[:0]
	return nil
}

// seal ends adding.
func (s *spool) seal() error {
	for i := range s.buckets {
		if err := s.flush(&s.buckets[i]); err != nil {
			return err
		}
		s.buckets[i].buffer = nil
	}
	return nil
}

// parts are runs of buckets with at most rows rows each, or of one bucket.
func (s *spool) parts(rows int) (parts [][2]int) {
	from, n := 0, 0
	for i := range s.buckets {
		if n > 0 && n+s.buckets[i].rows > rows {
			parts = append(parts, [2]int{from, i})
			from, n = i, 0
		}
		n += s.buckets[i].rows
	}
	return append(parts, [2]int{from, buckets})
}

// load appends the rows of some buckets to k. latest and newer say whether they have such ages.
func (s *spool) load(k *keyed, part [2]int, latest, newer *ordered) error {
	rows := 0
	for i := part[0]; i < part[1]; i++ {
		rows += s.buckets[i].rows
	}
	k.grow(rows, latest, newer)
	for i := part[0]; i < part[1]; i++ {
		b := &s.buckets[i]
		var pieces []io.Reader
		for _, e := range b.extents {
			pieces = append(pieces, io.NewSectionReader(s.file, e[0], e[1]))
		}
		r := bufio.NewReaderSize(io.MultiReader(pieces...), 64<<10)
		for range b.rows {
			if err := k.readRow(r, latest, newer); err != nil {
				return fmt.Errorf("read spilled keys: %w", err)
			}
		}
	}
	return nil
}

func (k *keyed) readRow(r *bufio.Reader, latest, newer *ordered) error {
	var b [36]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return err
	}
	word := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	k.rows = append(k.rows, int32(binary.LittleEndian.Uint32(b[:])))
	k.prints = append(k.prints, fingerprint{word(4), word(12)})
	k.digests = append(k.digests, fingerprint{word(20), word(28)})
	return errors.Join(k.latest.readFrom(r, latest), k.newer.readFrom(r, newer))
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	name := s.file.Name()
	err := s.file.Close()
	s.file = nil
	_ = os.Remove(name)
	return err
}
