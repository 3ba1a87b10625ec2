package main

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"github.com/icewright/icewright/job"
)

// shownRows is show's default limit where a person reads, and so text is asked for.
const shownRows = 20

func (a *app) showCommand() *cobra.Command {
	var (
		t job.Target
		q job.Query
	)
	cmd := &cobra.Command{
		Use:   "show NS.NAME",
		Short: "Print rows of a table",
		Long: `Show prints the rows of a table, partition by partition. As text it is a table with at most
20 rows unless --limit says otherwise; --output csv and --output json (an object a line)
print every row, in the form that load reads back. NULL is a null; an empty string is blank.`,
		Example: `  icewright show air.flights --limit 5
  icewright show air.flights --columns origin,delay --filter "origin = 'SFO'"
  icewright show air.flights --output json | jq .delay
  icewright show air.flights --snapshot 6216733298171083811 --output csv > before.csv`,
		Args:        oneTable,
		Annotations: map[string]string{outputKey: "text,csv,json"},
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Catalog, t.Table = a.global.catalog, args[0]
			text := a.global.output == "text"
			if text && !cmd.Flags().Changed("limit") {
				q.Limit = shownRows
			}
			limit := q.Limit
			if text && limit > 0 {
				q.Limit++ // to know whether there are more
			}
			rows, err := job.Show(cmd.Context(), t, q)
			if err != nil {
				return err
			}
			defer rows.Close()
			switch a.global.output {
			case "json":
				return a.showLines(rows, objectPrinter(rows.Schema))
			case "csv":
				return a.showLines(rows, csvPrinter(rows.Schema))
			}
			return a.showTable(rows, limit)
		},
	}
	f := under(cmd.Flags(), "Rows")
	f.wide(&q.Limit, "limit", 0, "print at most `N` rows, 0 for all (default: 20 as text, else all)")
	cmd.Flags().StringSliceVar(&q.Columns, "columns", nil, "`NAMES` of the columns to print, with commas between (default: all)")
	f.mark("columns")
	f.text(&q.Filter, "filter", "", "print only rows that this `EXPRESSION` is true for, as in --slice")
	f.text(&q.TimeZone, "time-zone", "", "`ZONE` of timestamps in --filter that name none (default: UTC)")
	under(cmd.Flags(), "Rows").snapshot(&t)
	return cmd
}

// snapshot adds the flags that choose the snapshot to read.
func (f flagSet) snapshot(t *job.Target) {
	f.text(&t.Branch, "branch", "", "`BRANCH` or tag to read (default: main)")
	f.text(&t.Snapshot, "snapshot", "", "snapshot `ID` to read (default: the branch's latest)")
}

// printer appends a batch's rows as lines; header is what comes before the first.
type printer struct {
	header []byte
	append func(dst []byte, rec arrow.RecordBatch) []byte
}

// showLines prints rows as they come.
func (a *app) showLines(rows *job.Rows, p printer) error {
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	out.Write(p.header)
	var buf []byte
	for rec, err := range rows.All {
		if err != nil {
			out.Flush()
			return err
		}
		const step = 1024 // rows between writes, so that a reader that has gone is noticed
		for n := int64(0); n < rec.NumRows(); n += step {
			part := rec.NewSlice(n, min(n+step, rec.NumRows()))
			buf = p.append(buf[:0], part)
			part.Release()
			if _, err := out.Write(buf); err != nil {
				rec.Release()
				return outputError{err}
			}
		}
		rec.Release()
	}
	if err := out.Flush(); err != nil {
		return outputError{err}
	}
	return nil
}

func objectPrinter(schema *arrow.Schema) printer {
	names := make([][]byte, schema.NumFields())
	for i, f := range schema.Fields() {
		names[i] = append(appendString(nil, f.Name), ':')
	}
	return printer{append: func(dst []byte, rec arrow.RecordBatch) []byte {
		cols := columnsOf(rec)
		for row := range int(rec.NumRows()) {
			for i, c := range cols {
				sep := byte(',')
				if i == 0 {
					sep = '{'
				}
				dst = append(append(dst, sep), names[i]...)
				dst = c.appendJSON(dst, row)
			}
			dst = append(dst, '}', '\n')
		}
		return dst
	}}
}

// csvPrinter prints what load reads back: a null is an empty field, an empty string is "".
func csvPrinter(schema *arrow.Schema) printer {
	var header []byte
	for i, f := range schema.Fields() {
		if i > 0 {
			header = append(header, ',')
		}
		header = appendField(header, []byte(f.Name))
	}
	var value []byte
	return printer{append(header, '\n'), func(dst []byte, rec arrow.RecordBatch) []byte {
		cols := columnsOf(rec)
		for row := range int(rec.NumRows()) {
			for i, c := range cols {
				if i > 0 {
					dst = append(dst, ',')
				}
				if c.IsNull(row) {
					continue
				}
				value = c.text(value[:0], row)
				dst = appendField(dst, value)
			}
			dst = append(dst, '\n')
		}
		return dst
	}}
}

// appendField appends a CSV field, with quotes where RFC 4180 wants them and around nothing.
func appendField(dst, value []byte) []byte {
	if len(value) > 0 && !bytes.ContainsAny(value, "\",\r\n") && value[0] != ' ' && value[len(value)-1] != ' ' {
		return append(dst, value...)
	}
	dst = append(dst, '"')
	dst = append(dst, bytes.ReplaceAll(value, []byte{'"'}, []byte{'"', '"'})...)
	return append(dst, '"')
}

func columnsOf(rec arrow.RecordBatch) []column {
	cols := make([]column, rec.NumCols())
	for i := range cols {
		cols[i] = columnOf(rec.Column(i))
	}
	return cols
}

const (
	sampleRows = 1000 // rows that decide how wide a text table's columns are
	maxCell    = 60   // columns of the screen that one value may take, on a terminal
)

// showTable prints an aligned table. The first rows decide the widths, so that a table of any
// size can be printed; a later value that is wider pushes its line out. limit is the rows to
// print, 0 for all: one more that comes is only told of.
func (a *app) showTable(rows *job.Rows, limit int64) error {
	t := &textTable{names: []string{}, onTerminal: isTerminal(a.stdout), out: bufio.NewWriterSize(a.stdout, 64<<10), app: a}
	for _, f := range rows.Schema.Fields() {
		t.names = append(t.names, f.Name)
		t.right = append(t.right, isNumber(f.Type))
	}
	more := false
	for rec, err := range rows.All {
		if err != nil {
			return err
		}
		cols := columnsOf(rec)
		for row := range int(rec.NumRows()) {
			if limit > 0 && t.rows == limit {
				more = true
				break
			}
			if err := t.add(cols, row); err != nil {
				rec.Release()
				return outputError{err}
			}
		}
		rec.Release()
	}
	if err := t.end(); err != nil {
		return outputError{err}
	}
	if more && !a.global.quiet {
		fmt.Fprintf(a.stderr, "… there are more rows: --limit 0 prints all\n")
	}
	return nil
}

// textTable prints rows in aligned columns.
type textTable struct {
	app        *app
	out        *bufio.Writer
	names      []string
	right      []bool
	widths     []int
	sample     [][]shown // rows that wait for the widths
	rows       int64
	onTerminal bool
}

// shown is a value as the table shows it.
type shown struct {
	text string
	null bool
}

func (t *textTable) add(cols []column, row int) error {
	t.rows++
	line := make([]shown, len(cols))
	for i, c := range cols {
		if c.IsNull(row) {
			line[i] = shown{"NULL", true}
			continue
		}
		line[i].text = oneLine(string(c.text(nil, row)))
		if t.onTerminal {
			line[i].text = cut(line[i].text, maxCell)
		}
	}
	if t.widths != nil {
		return t.print(line)
	}
	if t.sample = append(t.sample, line); len(t.sample) < sampleRows {
		return nil
	}
	return t.begin()
}

// begin prints the heading and the rows that waited for it.
func (t *textTable) begin() error {
	t.widths = make([]int, len(t.names))
	for i, name := range t.names {
		t.widths[i] = screenWidth(name)
		for _, line := range t.sample {
			t.widths[i] = max(t.widths[i], screenWidth(line[i].text))
		}
	}
	head, rule := make([]shown, len(t.names)), make([]shown, len(t.names))
	for i, name := range t.names {
		head[i].text, rule[i].text = name, strings.Repeat("-", t.widths[i])
	}
	for _, line := range append([][]shown{head, rule}, t.sample...) {
		if err := t.print(line); err != nil {
			return err
		}
	}
	t.sample = nil
	return nil
}

func (t *textTable) print(line []shown) error {
	var b strings.Builder
	for i, v := range line {
		if i > 0 {
			b.WriteString("  ")
		}
		pad := strings.Repeat(" ", max(0, t.widths[i]-screenWidth(v.text)))
		text := v.text
		if v.null && t.onTerminal {
			text = t.app.stderr.paint(dim, text)
		}
		if t.right[i] {
			b.WriteString(pad + text)
		} else {
			b.WriteString(text + pad)
		}
	}
	_, err := t.out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	return err
}

func (t *textTable) end() error {
	if t.widths == nil {
		if err := t.begin(); err != nil {
			return err
		}
	}
	return t.out.Flush()
}

func isNumber(t arrow.DataType) bool {
	return arrow.IsInteger(t.ID()) || arrow.IsFloating(t.ID()) || arrow.IsDecimal(t.ID())
}

// oneLine spells line breaks and other control characters out, so that a row stays a line and no
// value steers the terminal.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r >= 0x7f && r < 0xa0:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// screenWidth is the width of s on a screen.
func screenWidth(s string) int { return uniseg.StringWidth(s) }

// cut shortens s to at most n columns of the screen.
func cut(s string, n int) string {
	if screenWidth(s) <= n {
		return s
	}
	width, end := 0, 0
	for g := uniseg.NewGraphemes(s); g.Next(); {
		if width += g.Width(); width >= n {
			break
		}
		_, end = g.Positions()
	}
	return s[:end] + "…"
}
