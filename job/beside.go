package job

import (
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/nearest"
	"github.com/icewright/icewright/source"
)

// What rows get beside what is in their files: columns of the path, and of where they come from.

// parsePathColumns reads "auto", "none" or "a,b".
func parsePathColumns(text string) (c source.PathColumns, err error) {
	switch text {
	case "", "auto":
		return c, nil
	case "none":
		return source.PathColumns{None: true}, nil
	}
	if c.Names, err = names(text); err != nil {
		return c, usage("say auto, none, or the keys with commas between: dt,region", "--path-columns: %v", err)
	}
	return c, nil
}

// parseSourceColumns reads "FILE,ROW", of which either may be empty; "true" is the usual names.
func parseSourceColumns(text string) (c arrowconv.SourceColumns, err error) {
	switch text {
	case "", "false":
		return c, nil
	case "true":
		return arrowconv.SourceColumns{File: "source_file", Row: "source_row"}, nil
	}
	file, row, _ := strings.Cut(text, ",")
	c = arrowconv.SourceColumns{File: strings.TrimSpace(file), Row: strings.TrimSpace(row)}
	if c.File == c.Row || strings.Contains(c.Row, ",") {
		return c, usage("say --source-columns, or --source-columns=FILE,ROW with two names, or one: FILE or ,ROW",
			"--source-columns: %q are not the names of two columns", text)
	}
	return c, nil
}

// names splits a list of names.
func names(text string) ([]string, error) {
	list := strings.Split(text, ",")
	for i, name := range list {
		if list[i] = strings.TrimSpace(name); list[i] == "" {
			return nil, usage("", "%q has an empty name", text)
		}
		if slices.Contains(list[:i], list[i]) {
			return nil, usage("", "%q has %s twice", text, list[i])
		}
	}
	return list, nil
}

// checkPathColumns notes which keys of the objects' paths are no columns of the table: there are many
// reasons for such directories. One that was asked for by its name is an error.
func (j Job) checkPathColumns(c source.PathColumns, objects []source.Object, schema *iceberg.Schema) error {
	var columns, left []string
	for _, f := range schema.Fields() {
		columns = append(columns, f.Name)
	}
	for _, name := range c.Names {
		if !slices.Contains(columns, name) {
			hint := "say --evolve add to add the column to the table, or leave it out"
			if near := nearest.Name(name, columns); near != "" {
				hint = "did you mean " + near + "? Otherwise " + hint
			}
			return &Error{Class: arrowconv.ErrInput, Text: "--path-columns: column " + name + " is not in the table", Advice: hint}
		}
	}
	for _, o := range objects {
		for _, k := range o.Constants {
			if !slices.Contains(columns, k.Name) && !slices.Contains(left, k.Name) {
				left = append(left, k.Name)
			}
		}
	}
	text := "the table has no column for these directories of the path: " + strings.Join(left, "=…, ") + "=…"
	switch {
	case len(left) > 0 && strings.Contains(j.Evolve, catalog.ChangeAdd):
		j.warn("%s; --evolve add adds those that --path-columns names: %s", text, strings.Join(left, ","))
	case len(left) > 0:
		j.note(text)
	}
	return nil
}
