package catalog

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// checkUses refuses schemas that lack a column which partitions or sorts the table, or whose
// columns have the name of a partition field.
func checkUses(meta table.Metadata, schema *iceberg.Schema, spec iceberg.PartitionSpec, order table.SortOrder) error {
	was := meta.CurrentSchema()
	column := func(id int) string {
		name, _ := was.FindColumnName(id)
		return name
	}
	for _, s := range append(slices.Clone(meta.PartitionSpecs()), spec) {
		for _, f := range s.Fields() {
			if _, ok := schema.FindFieldByID(f.SourceID()); ok {
				continue
			}
			if _, ok := was.FindFieldByID(f.SourceID()); !ok {
				continue // it was gone before
			}
			if s.ID() == spec.ID() {
				return cannot("say --partition-by without it as well", "column %q partitions the table: %s", column(f.SourceID()), formatTerm(f.Transform, f.SourceID(), was))
			}
			return cannot("readers need the column to tell which partition such a file is; rename it out of the way instead",
				"column %q cannot be dropped: files may be partitioned by %s, under spec %d", column(f.SourceID()), formatTerm(f.Transform, f.SourceID(), was), s.ID())
		}
	}
	for _, f := range order.Fields() {
		if _, ok := schema.FindFieldByID(f.SourceID()); !ok {
			return cannot("say --sort-by without it as well", "column %q sorts the table", column(f.SourceID()))
		}
	}
	for _, f := range spec.Fields() {
		g, ok := schema.FindFieldByName(f.Name)
		own := false // the name of its own source, as identity has it, and the void that is left of one
		switch f.Transform.(type) {
		case iceberg.IdentityTransform, iceberg.VoidTransform:
			own = g.ID == f.SourceID()
		}
		if ok && !own {
			return cannot("", "column %q would have the name of a partition field", f.Name)
		}
	}
	return nil
}

// columnProps are the properties that end in a column's name.
var columnProps = []string{
	table.MetricsModeColumnConfPrefix + ".",
	"write.parquet.bloom-filter-enabled.column.",
	"write.parquet.bloom-filter-fpp.column.",
	"write.parquet.bloom-filter-ndv.column.",
	"write.parquet.stats-enabled.column.",
}

// followColumns lets properties follow the columns that they name: to a new name, or away. A
// name mapping keeps the old names: files without field ids were written under them.
func followColumns(props iceberg.Properties, meta table.Metadata, schema *iceberg.Schema) error {
	was := meta.CurrentSchema()
	for k, v := range maps.Clone(props) {
		for _, prefix := range columnProps {
			name, ok := strings.CutPrefix(k, prefix)
			f, known := was.FindFieldByName(name)
			if !ok || !known {
				continue
			}
			now, stays := schema.FindColumnName(f.ID)
			if stays && now == name {
				continue
			}
			delete(props, k)
			if stays {
				props[prefix+now] = v
			}
		}
	}
	return followMapping(props, meta, schema)
}

// followMapping gives a name mapping the new names, beside the old ones.
func followMapping(props iceberg.Properties, meta table.Metadata, schema *iceberg.Schema) error {
	mapping := meta.NameMapping()
	if mapping == nil {
		return nil
	}
	was, is := fieldsByID(meta.CurrentSchema()), fieldsByID(schema)
	up := map[int]int{}
	parents(up, -1, schema.Fields()) // -1 is the top level's in the library
	renamed, added := map[int]iceberg.NestedField{}, map[int][]iceberg.NestedField{}
	for id, f := range is {
		switch old, known := was[id]; {
		case known && old.Name != f.Name:
			renamed[id] = f
		case !known && (up[id] == -1 || was[up[id]].Type != nil):
			added[up[id]] = append(added[up[id]], f)
		}
	}
	if len(renamed)+len(added) == 0 {
		return nil
	}
	for _, fields := range added {
		slices.SortFunc(fields, func(a, b iceberg.NestedField) int { return a.ID - b.ID })
	}
	mapping, err := iceberg.UpdateNameMapping(mapping, renamed, added)
	if err != nil {
		return err
	}
	text, err := json.Marshal(mapping)
	if err != nil {
		return err
	}
	props[table.DefaultNameMappingKey] = string(text)
	return nil
}

// MappingUpdates give the name mapping of a table with that metadata, if it has one, what schema adds.
func MappingUpdates(meta table.Metadata, schema *iceberg.Schema) ([]table.Update, error) {
	props := iceberg.Properties{}
	if err := followMapping(props, meta, schema); err != nil || len(props) == 0 {
		return nil, err
	}
	return []table.Update{table.NewSetPropertiesUpdate(props)}, nil
}

// fieldsByID are all fields of a schema, those of structs, lists and maps too.
func fieldsByID(schema *iceberg.Schema) map[int]iceberg.NestedField {
	out := map[int]iceberg.NestedField{}
	var walk func([]iceberg.NestedField)
	walk = func(fields []iceberg.NestedField) {
		for _, f := range fields {
			out[f.ID] = f
			if n, ok := f.Type.(iceberg.NestedType); ok {
				walk(n.Fields())
			}
		}
	}
	walk(schema.Fields())
	return out
}
