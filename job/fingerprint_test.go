package job

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/source"
)

func metadataTable(t *testing.T, fields ...iceberg.NestedField) *table.Table {
	t.Helper()
	meta, err := table.NewMetadata(iceberg.NewSchema(0, fields...), iceberg.UnpartitionedSpec, table.UnsortedSortOrder, "mem://t", nil)
	if err != nil {
		t.Fatal(err)
	}
	return table.New([]string{"a", "t"}, meta, "", nil, nil)
}

// Every option of a job is part of its fingerprint, unless it is named as one that changes no row.
func TestEveryOptionIsInTheFingerprint(t *testing.T) {
	tbl := metadataTable(t, iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64})
	plain := Job{}.fingerprint(tbl, nil)
	if plain == "" || plain != (Job{}).fingerprint(tbl, nil) {
		t.Fatalf("%q", plain)
	}
	seen := 0
	for i := range reflect.TypeFor[Job]().NumField() {
		f := reflect.TypeFor[Job]().Field(i)
		if !f.IsExported() {
			continue
		}
		var j Job
		v := reflect.ValueOf(&j).Elem().Field(i)
		switch f.Type.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(7)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(f.Type, 1, 1))
		case reflect.Map:
			v.Set(reflect.MakeMap(f.Type))
		default:
			if !slices.Contains(unprinted, f.Name) {
				t.Errorf("%s: a fingerprint cannot hold a %s", f.Name, f.Type)
			}
			continue
		}
		got := j.fingerprint(tbl, nil)
		if named := slices.Contains(unprinted, f.Name); named != (got == plain) || got == "" {
			t.Errorf("%s: named as one that changes nothing: %v; the fingerprint is the same: %v", f.Name, named, got == plain)
		}
		seen++
	}
	if seen < 30 {
		t.Errorf("%d options only", seen)
	}
	for _, name := range unprinted {
		if _, ok := reflect.TypeFor[Job]().FieldByName(name); !ok {
			t.Errorf("there is no option %s", name)
		}
	}
	other := metadataTable(t, iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64})
	if (Job{}).fingerprint(other, nil) == plain {
		t.Error("another table has the same fingerprint")
	}
}

// A file has no version that can be trusted while another could still get the same time.
func TestFreshFilesHaveNoFingerprint(t *testing.T) {
	tbl := metadataTable(t, iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64})
	name := filepath.Join(t.TempDir(), "a.csv")
	for _, c := range []struct {
		written time.Time
		after   time.Duration
		trusted bool
	}{
		{time.Unix(1_700_000_000, 5000), 10 * time.Millisecond, false},
		{time.Unix(1_700_000_000, 5000), time.Second, true},
		{time.Unix(1_700_000_000, 0), time.Second, false}, // a file system that keeps seconds
		{time.Unix(1_700_000_000, 0), 4 * time.Second, true},
		{time.Unix(1_700_000_000, 5000), -time.Hour, false}, // a clock that was set back
	} {
		if err := os.WriteFile(name, []byte("n\n1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, c.written, c.written); err != nil {
			t.Fatal(err)
		}
		objects, err := source.Resolve(t.Context(), []string{name}, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		j := Job{Now: func() time.Time { return c.written.Add(c.after) }}
		if got := j.fingerprint(tbl, objects); (got != "") != c.trusted {
			t.Errorf("written at %v, resolved %v later: fingerprint %q", c.written, c.after, got)
		}
	}
}
