package testcat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// Store is a catalog of one table that remembers every version of it. There is no database behind it, so
// that a commit costs next to nothing, and thousands of histories can be gone through.
type Store struct {
	ident table.Identifier

	mu       sync.Mutex
	versions []table.Metadata
}

// ErrRequirement is a commit's requirement that does not hold.
var ErrRequirement = errors.New("requirement failed")

// NewStore makes the catalog and its table. The files below location, which is to begin with mem://, are
// forgotten when the test ends.
func NewStore(t testing.TB, ident table.Identifier, meta table.Metadata) *Store {
	t.Helper()
	t.Cleanup(func() { forget(meta.Location()) })
	return &Store{ident: ident, versions: []table.Metadata{meta}}
}

// Versions are the table's metadata from its making on, one for each commit.
func (s *Store) Versions() []table.Metadata {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions[:len(s.versions):len(s.versions)]
}

// Load returns the table, whose files are opened with open, and the number of its version. The default
// of open, nil, opens the files themselves.
func (s *Store) Load(open func(iceio.IO) iceio.IO) (tbl *table.Table, version int) {
	versions := s.Versions()
	meta := versions[len(versions)-1]
	fs := func(context.Context) (iceio.IO, error) {
		if open == nil {
			return memIO{}, nil
		}
		return open(memIO{}), nil
	}
	return table.New(s.ident, meta, fmt.Sprintf("%s/metadata/%d.metadata.json", meta.Location(), len(versions)), fs, nil), len(versions) - 1
}

// Commit applies the updates if the requirements hold; otherwise the error wraps ErrRequirement.
func (s *Store) Commit(requirements []table.Requirement, updates []table.Update) (table.Metadata, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	meta, err := apply(s.versions[len(s.versions)-1], requirements, updates)
	if err != nil {
		return nil, err
	}
	s.versions = append(s.versions, meta)
	return meta, nil
}

// apply is what a catalog does for a commit.
func apply(meta table.Metadata, requirements []table.Requirement, updates []table.Update) (table.Metadata, error) {
	for _, q := range requirements {
		if err := q.Validate(meta); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRequirement, err)
		}
	}
	b, err := table.MetadataBuilderFromBase(meta, "")
	if err != nil {
		return nil, err
	}
	for _, u := range updates {
		if err := u.Apply(b); err != nil {
			return nil, err
		}
	}
	return b.Build()
}
