package job

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
	"github.com/icewright/icewright/writer/merge"
)

// checkHistory settles the columns that --history names.
func (j Job) checkHistory(s *settings) error {
	names := listed(j.History)
	switch {
	case len(names) == 0 && j.Effective == "":
		return nil
	case len(names) == 0:
		return usage("name the columns that say from when to when a row holds: --history valid_from,valid_to", "--effective needs --history")
	case j.Effective == "":
		return usage("name the input's column that says since when a row holds: --effective updated_at", "--history needs --effective")
	case len(names) < 2 || len(names) > 3:
		are := fmt.Sprintf("%d columns are", len(names))
		if len(names) == 1 {
			are = "1 column is"
		}
		return usage("it is --history valid_from,valid_to or --history valid_from,valid_to,is_current", "--history: %s named", are)
	}
	if j.Strategy == MergeOnRead {
		return usage("leave it out, or say --strategy copy-on-write", "--strategy merge-on-read is not for --history yet")
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return usage("", "--history: column %q is named twice", name)
		}
		if i > 0 && name == j.Effective {
			return usage("it names the column of the input that says since when a row holds", "--effective: column %q is one that --history keeps", name)
		}
	}
	s.history = &merge.History{From: names[0], To: names[1], Effective: j.Effective}
	if len(names) == 3 {
		s.history.Current = names[2]
	}
	return nil
}

// withHistory is the schema of a new table with the columns of --history that it lacks, of the type of --effective's.
func withHistory(h *merge.History, schema *iceberg.Schema) (*iceberg.Schema, error) {
	if h == nil {
		return schema, nil
	}
	var names []string
	for _, f := range schema.Fields() {
		names = append(names, f.Name)
	}
	at := slices.Index(names, h.Effective)
	if at < 0 {
		at = slices.Index(names, h.From) // then the input's column is read as that is
	}
	if at < 0 {
		hint := "the rows have " + strings.Join(names, ", ")
		if near := nearest.Name(h.Effective, names); near != "" {
			hint = "did you mean " + near + "?"
		}
		return nil, usage(hint, "--effective: there is no column %q", h.Effective)
	}
	of := schema.Fields()[at].Type
	if why := merge.NoTimes(of); why != "" {
		return nil, usage("name a date, a timestamp or an integer, or make one: --derive 'since=cast("+h.Effective+" as timestamptz)' --effective since",
			"--effective: column %q is a %s, %s", h.Effective, of, why)
	}
	var extra []iceberg.NestedField
	for i, name := range h.Columns() {
		if slices.Contains(names, name) {
			continue
		}
		f := iceberg.NestedField{ID: schema.HighestFieldID() + 1 + len(extra), Name: name, Type: of}
		if i == 2 {
			f.Type = iceberg.PrimitiveTypes.Bool
		}
		extra = append(extra, f)
	}
	return withFields(schema, extra), nil
}

// readFor is the schema that rows are read with where a history is kept: what the input does not say may be lacking,
// and what only it has is read in the type that it is to have.
func readFor(h *merge.History, read *iceberg.Schema) (_ *iceberg.Schema, extra []iceberg.NestedField, err error) {
	fields := slices.Clone(read.Fields())
	var from iceberg.Type
	there := false
	var columns []string
	for i, f := range fields {
		columns = append(columns, f.Name)
		if f.Name == h.From {
			from = f.Type
		}
		if slices.Contains(h.Columns(), f.Name) && f.Name != h.Effective {
			fields[i].Required = false
		}
		there = there || f.Name == h.Effective
	}
	for _, name := range h.Columns() {
		if _, ok := read.FindFieldByName(name); !ok {
			hint := "add it: icewright table alter --add-column, or name a column that the table has"
			if near := nearest.Name(name, columns); near != "" {
				hint = "did you mean " + near + "?"
			}
			return nil, nil, usage(hint, "--history: the table has no column %q", name)
		}
	}
	if !there {
		extra = append(extra, iceberg.NestedField{ID: read.HighestFieldID() + 1, Name: h.Effective, Type: from})
	}
	return iceberg.NewSchemaWithIdentifiers(read.ID, read.IdentifierFieldIDs, fields...), extra, nil
}
