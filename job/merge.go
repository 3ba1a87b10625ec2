package job

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/nearest"
	"github.com/icewright/icewright/source"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/slice"
)

// modes are the modes that this version carries out.
var modes = []Mode{Replace, Merge, Insert, Append}

// otherWords are what others call a mode, where the word is no slip of it or, as in upsert, looks like one of another.
var otherWords = map[string]string{"upsert": string(Merge), "update": string(Merge), "overwrite": string(Replace)}

// checkMode settles the mode, and refuses what belongs to another one.
func (j Job) checkMode(s *settings) error {
	if !slices.Contains(modes, j.mode()) {
		var all []string
		for _, m := range modes {
			all = append(all, string(m))
		}
		hint := "it is one of " + strings.Join(all, ", ")
		if near := cmp.Or(otherWords[strings.ToLower(string(j.Mode))], nearest.Name(string(j.Mode), all)); near != "" {
			hint = "did you mean " + near + "?"
		}
		return usage(hint, "--mode: unknown mode %q", j.Mode)
	}
	s.key, s.ignore = listed(j.Key), listed(j.IgnoreColumns)
	for _, f := range []struct {
		flag  string
		given bool
		of    []Mode
	}{
		{"--key", len(s.key) > 0, []Mode{Merge, Insert}},
		{"--latest-by", j.LatestBy != "", []Mode{Merge, Insert}},
		{"--if-newer", j.IfNewer != "", []Mode{Merge}},
		{"--delete-when", j.DeleteWhen != "", []Mode{Merge}},
		{"--ignore-columns", len(s.ignore) > 0, []Mode{Merge}},
		{"--strategy", j.Strategy != "", []Mode{Merge}},
		{"--history", len(listed(j.History)) > 0, []Mode{Merge}},
		{"--effective", j.Effective != "", []Mode{Merge}},
		{"--window", j.Window != "", []Mode{Insert}},
		{"--event-time", j.EventTime != "", []Mode{Insert}},
		{"--allow-duplicates", j.AllowDuplicates, []Mode{Append}},
		{"--slice", j.Slice != "", []Mode{Replace}},
		{"--outside", j.Outside != "", []Mode{Replace}},
		{"--on-empty", j.OnEmpty != "", []Mode{Replace}},
		{"--replace-table", j.ReplaceTable, []Mode{Replace}},
		{"--max-shrink", j.MaxShrink != "", []Mode{Replace}},
		{"--allow-shrink", j.AllowShrink, []Mode{Replace}},
		{"--compare-rows", j.CompareRows, []Mode{Replace}},
	} {
		if f.given && !slices.Contains(f.of, j.mode()) {
			of := string(f.of[0])
			if len(f.of) > 1 {
				of += " or " + string(f.of[1])
			}
			return usage("say --mode "+of+", or leave it out", "%s belongs to --mode %s, and the mode is %s", f.flag, of, j.mode())
		}
	}
	if (j.mode() == Merge || j.mode() == Insert) && len(s.key) == 0 {
		return usage("name the columns that tell rows apart: --key order_id", "--mode %s needs --key", j.mode())
	}
	if err := j.checkStrategy(); err != nil {
		return err
	}
	if err := j.checkHistory(s); err != nil {
		return err
	}
	return j.checkWindow(s)
}

// listed takes lists apart: "a,b", "c" is a, b, c.
func listed(lists []string) (names []string) {
	for _, l := range lists {
		for name := range strings.SplitSeq(l, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// merge is what the writer is to do with rows of schema. extra are columns that --delete-when names and the
// table lacks: they are read after those of read, and not written.
func (j Job) merge(ctx context.Context, s settings, schema, read *iceberg.Schema, objects []source.Object) (*writer.Merge, []iceberg.NestedField, error) {
	m := &writer.Merge{Key: s.key, LatestBy: j.LatestBy, IfNewer: j.IfNewer, Ignore: s.ignore, History: s.history}
	if j.DeleteWhen == "" {
		return m, nil, nil
	}
	var extra []iceberg.NestedField
	for {
		var err error
		m.DeleteWhen, err = slice.Parse(j.DeleteWhen, withFields(schema, extra), s.zone)
		if err == nil {
			return m, extra, nil
		}
		var bad *slice.Error
		if !errors.As(err, &bad) {
			return nil, nil, err
		}
		if bad.Column == "" || strings.Contains(bad.Column, ".") || len(extra) > 20 {
			hint := bad.Advice
			if strings.Contains(hint, "--replace-table") {
				hint = "say which rows of the input delete: --delete-when \"op = 'd'\""
			}
			return nil, nil, usage(hint, "--delete-when: %s", strings.TrimPrefix(bad.Error(), "slice: "))
		}
		f, err := j.extraColumn(ctx, s, bad, read, objects)
		if err != nil {
			return nil, nil, err
		}
		f.ID = read.HighestFieldID() + 1 + len(extra)
		extra = append(extra, f)
	}
}

// deleteWhenRows is how many rows are looked at for the type of a column that only --delete-when names.
const deleteWhenRows = 1000

// extraColumn is the column that an expression names and the table lacks, as the first rows have it. The other columns go to
// those of read, whose types nobody asks for, and so whatever they hold is no matter here.
func (j Job) extraColumn(ctx context.Context, s settings, bad *slice.Error, read *iceberg.Schema, objects []source.Object) (iceberg.NestedField, error) {
	o := j.inferOptions(s)
	o.Rows, o.Variants, o.Beside, o.AddConstants = deleteWhenRows, nil, j.withTexts(s, read), true
	if o.Columns != nil {
		o.Columns = append(slices.Clone(o.Columns), arrowconv.ColumnChoice{Name: bad.Column, From: bad.Column})
	}
	input, err := source.Infer(ctx, objects, o)
	if errors.Is(err, arrowconv.ErrNoRows) {
		return iceberg.NestedField{Name: bad.Column, Type: iceberg.PrimitiveTypes.String}, nil // of no rows
	}
	if err != nil {
		return iceberg.NestedField{}, err
	}
	f, ok := input.FindFieldByName(bad.Column)
	if !ok && s.convert.IgnoreCase {
		f, ok = input.FindFieldByNameCaseInsensitive(bad.Column)
		f.Name = bad.Column
	}
	if !ok {
		return f, usage(bad.Advice, "--delete-when: neither the table nor the input has a column %s", bad.Column)
	}
	f.Required = false
	if _, unknown := f.Type.(iceberg.UnknownType); unknown {
		f.Type = iceberg.PrimitiveTypes.String
	}
	return f, nil
}

// withFields is schema with more columns after its own.
func withFields(schema *iceberg.Schema, extra []iceberg.NestedField) *iceberg.Schema {
	if len(extra) == 0 {
		return schema
	}
	return iceberg.NewSchemaWithIdentifiers(schema.ID, schema.IdentifierFieldIDs, slices.Concat(schema.Fields(), extra)...)
}
