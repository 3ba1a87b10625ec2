package testcat

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// REST is a REST catalog in this process that keeps its tables' metadata in memory. It
// heeds requirements and notes idempotency keys.
type REST struct {
	*httptest.Server
	// Warehouse is where new tables go.
	Warehouse string
	// Storage is what comes with a loaded table: its config, and keys by prefix. May be nil.
	Storage func() (config iceberg.Properties, keys map[string]iceberg.Properties)
	// Lose is asked whether the answer to commit n, counted from 1, gets lost after the commit
	// went in, or where before is true, before it did. May be nil.
	Lose func(n int) (lost, before bool)

	mu     sync.Mutex
	spaces map[string]bool
	tables map[string]table.Metadata
	// commits are the idempotency keys of the commits that came, in order.
	commits []string
}

// NewREST starts the server; it ends with the test.
func NewREST(t testing.TB, warehouse string) *REST {
	s := &REST{Warehouse: warehouse, spaces: map[string]bool{}, tables: map[string]table.Metadata{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/config", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, map[string]any{"defaults": map[string]string{}, "overrides": map[string]string{}, "idempotency-key-lifetime": "PT30M"})
	})
	mux.HandleFunc("/v1/namespaces", s.namespaces)
	mux.HandleFunc("/v1/namespaces/{ns}", s.namespace)
	mux.HandleFunc("POST /v1/namespaces/{ns}/tables", s.create)
	mux.HandleFunc("GET /v1/namespaces/{ns}/tables/{t}", s.load)
	mux.HandleFunc("POST /v1/namespaces/{ns}/tables/{t}", s.commit)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// Commits returns the idempotency keys of the commits that came.
func (s *REST) Commits() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.commits...)
}

func (s *REST) answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func (s *REST) refuse(w http.ResponseWriter, status int, typ string, why any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": fmt.Sprint(why), "type": typ, "code": status}})
}

func (s *REST) namespaces(w http.ResponseWriter, r *http.Request) {
	var body struct{ Namespace []string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spaces[strings.Join(body.Namespace, ".")] = true
	s.answer(w, map[string]any{"namespace": body.Namespace, "properties": map[string]string{}})
}

func (s *REST) namespace(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.spaces[r.PathValue("ns")] {
		s.refuse(w, http.StatusNotFound, "NoSuchNamespaceException", "no such namespace")
		return
	}
	s.answer(w, map[string]any{"namespace": []string{r.PathValue("ns")}, "properties": map[string]string{}})
}

func (s *REST) create(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name       string                 `json:"name"`
		Schema     *iceberg.Schema        `json:"schema"`
		Spec       *iceberg.PartitionSpec `json:"partition-spec"`
		Order      *table.SortOrder       `json:"write-order"`
		Properties iceberg.Properties     `json:"properties"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		s.refuse(w, http.StatusBadRequest, "BadRequestException", err)
		return
	}
	if body.Order == nil {
		body.Order = &table.UnsortedSortOrder
	}
	meta, err := table.NewMetadata(body.Schema, body.Spec, *body.Order, s.Warehouse+"/"+body.Name, body.Properties)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, "BadRequestException", err)
		return
	}
	s.mu.Lock()
	s.tables[r.PathValue("ns")+"."+body.Name] = meta
	s.mu.Unlock()
	s.table(w, meta)
}

func (s *REST) load(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	meta := s.tables[r.PathValue("ns")+"."+r.PathValue("t")]
	s.mu.Unlock()
	if meta == nil {
		s.refuse(w, http.StatusNotFound, "NoSuchTableException", "no such table")
		return
	}
	s.table(w, meta)
}

func (s *REST) table(w http.ResponseWriter, meta table.Metadata) {
	body := map[string]any{"metadata-location": meta.Location() + "/metadata/in-memory.metadata.json", "metadata": meta}
	if s.Storage != nil {
		config, keys := s.Storage()
		var list []map[string]any
		for prefix, props := range keys {
			list = append(list, map[string]any{"prefix": prefix, "config": props})
		}
		body["config"], body["storage-credentials"] = config, list
	}
	s.answer(w, body)
}

func (s *REST) commit(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Requirements table.Requirements
		Updates      table.Updates
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		s.refuse(w, http.StatusBadRequest, "BadRequestException", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits = append(s.commits, r.Header.Get("Idempotency-Key"))
	lost, before := false, false
	if s.Lose != nil {
		lost, before = s.Lose(len(s.commits))
	}
	if lost && before {
		s.refuse(w, http.StatusServiceUnavailable, "ServiceUnavailableException", "away")
		return
	}
	name := r.PathValue("ns") + "." + r.PathValue("t")
	meta, err := apply(s.tables[name], body.Requirements, body.Updates)
	switch {
	case errors.Is(err, ErrRequirement):
		s.refuse(w, http.StatusConflict, "CommitFailedException", err)
		return
	case err != nil:
		s.refuse(w, http.StatusBadRequest, "BadRequestException", err)
		return
	}
	s.tables[name] = meta
	if lost {
		s.refuse(w, http.StatusServiceUnavailable, "ServiceUnavailableException", "away")
		return
	}
	s.answer(w, map[string]any{"metadata-location": meta.Location() + "/metadata/in-memory.metadata.json", "metadata": meta})
}
