package writer

import (
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/stage"
)

// An insert is a merge of which only one outcome writes anything: rows whose key is there stay as they are, so no
// file is rewritten, and the snapshot is an append. That no key comes twice is seen to on every base, as for a merge:
// the keys are matched with the snapshot that the commit is pinned to, and after a lost race with what is new.

// Insert says which rows are there already. See merge.Options for the fields and their defaults.
type Insert struct {
	Key       []string
	LatestBy  string
	EventTime string
	Window    time.Duration
}

// InsertName names an insert that has no job file: by its table and key.
func InsertName(ident table.Identifier, key []string) string {
	return strings.Join(ident, ".") + " insert by " + strings.Join(key, ", ")
}

// matching is how the rows of a merge or an insert are matched.
func (m *merging) matching() merge.Options {
	o := merge.Options{
		Specs: m.staging.Metadata().PartitionSpecs(),
		Partitions: func(schema *iceberg.Schema, spec iceberg.PartitionSpec) (merge.Partitions, error) {
			return stage.NewPartitions(schema, spec)
		},
		Memory: m.o.Memory / 2, SpillDir: m.o.SpillDir, Workers: m.o.Workers,
	}
	if in := m.o.Insert; in != nil {
		o.KeysOnly = true
		o.Key, o.LatestBy, o.EventTime, o.Window = in.Key, in.LatestBy, in.EventTime, in.Window
		return o
	}
	mg := m.o.Merge
	o.Key, o.LatestBy, o.IfNewer, o.DeleteWhen, o.Ignore = mg.Key, mg.LatestBy, mg.IfNewer, mg.DeleteWhen, mg.Ignore
	o.History = mg.History
	return o
}
