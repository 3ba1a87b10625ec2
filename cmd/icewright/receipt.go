package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/icewright/icewright/job"
)

// printJSON writes v as one line: a scheduler that takes the last line of the output, as Airflow
// does, gets the whole of it.
func (a *app) printJSON(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return a.print(b.Bytes())
}

// print writes a result to standard output.
func (a *app) print(p []byte) error {
	if _, err := a.stdout.Write(p); err != nil {
		return outputError{err}
	}
	return nil
}

// maxPartitions is how many partitions a text receipt lists.
const maxPartitions = 20

func (a *app) printReceipt(r job.Receipt) error {
	if a.global.output == "json" {
		return a.printJSON(r)
	}
	return a.print([]byte(receiptText(r)))
}

// receiptText is a receipt for people: a sentence, what else they should know, and the
// partitions that changed.
func receiptText(r job.Receipt) string {
	var b strings.Builder
	var changed []job.PartitionReceipt
	for _, p := range r.Partitions {
		if p.Changed {
			changed = append(changed, p)
		}
	}
	flat := len(r.Partitions) == 1 && r.Partitions[0].Partition == ""
	same := len(r.Partitions) - len(changed)
	target := r.Table
	if r.Branch != "main" {
		target += " (branch " + r.Branch + ")"
	}
	fmt.Fprintf(&b, "%s %s: ", r.Status, target)
	switch {
	case r.Trusted:
		b.WriteString("the sources are those of the last run by their fingerprint, and were not read")
	case r.Mode == job.Merge, r.Mode == job.Insert:
		b.WriteString(mergeText(r))
	case r.Status == job.Unchanged, r.Status == job.AlreadyPublished, r.Status == job.Planned && len(changed) == 0:
		if r.RowsUnchanged == 0 {
			b.WriteString("nothing to publish")
			break
		}
		fmt.Fprintf(&b, "%s%s already there, nothing published", plural(r.RowsUnchanged, "row"), in(len(r.Partitions), flat))
	default:
		fmt.Fprintf(&b, "%s%s", plural(r.RowsWritten, "row"), in(len(changed), flat))
		if r.SnapshotID != nil {
			fmt.Fprintf(&b, " (snapshot %d)", *r.SnapshotID)
		}
		if same > 0 {
			fmt.Fprintf(&b, ", %s unchanged", plural(int64(same), "partition"))
		}
		if r.Status == job.Planned {
			b.WriteString(" would change; nothing published")
		}
	}
	fmt.Fprintf(&b, ", in %s\n", seconds(r.Seconds))
	if r.DuplicatesAllowed {
		b.WriteString("  duplicates allowed: nothing was looked up, and another run adds the rows again\n")
	}
	if r.RowsFiltered > 0 {
		fmt.Fprintf(&b, "  %s outside the slice dropped\n", plural(r.RowsFiltered, "row"))
	}
	if (r.Mode == job.Merge || r.Mode == job.Insert) && !r.Trusted {
		fmt.Fprintf(&b, "  %s considered, %s pruned, %s read, %s rewritten\n", plural(int64(r.FilesConsidered), "file"),
			grouped(int64(r.FilesPruned)), grouped(int64(r.FilesRead)), grouped(int64(r.FilesRewritten)))
		if r.DeleteFilesAdded > 0 {
			fmt.Fprintf(&b, "  %s added, with %s\n", plural(int64(r.DeleteFilesAdded), "delete file"), plural(r.PositionsDeleted, "position"))
		}
	} else if r.FilesRewritten > 0 {
		fmt.Fprintf(&b, "  %s outside the slice carried over from %s\n", plural(r.RowsKept, "row"), plural(int64(r.FilesRewritten), "file"))
	}
	if r.RowsRejected > 0 {
		fmt.Fprintf(&b, "  %s rejected, see %s\n", plural(r.RowsRejected, "row"), r.RejectsFile)
	}
	if r.Attempts > 1 {
		fmt.Fprintf(&b, "  planned %d times, since others were writing\n", r.Attempts)
	}
	if r.TableCreated {
		b.WriteString("  made the table\n")
	}
	for _, c := range r.SchemaChanges {
		fmt.Fprintf(&b, "  schema: %s\n", c)
	}
	if r.Status != job.Unchanged && len(changed) > 0 {
		rows := [][]string{{"partition", "rows before", "rows after"}}
		for i, p := range changed {
			if i == maxPartitions {
				break
			}
			name := p.Partition
			if name == "" {
				name = "(whole table)"
			}
			rows = append(rows, []string{name, known(p.RowsBefore), known(p.RowsAfter)})
		}
		b.WriteString(aligned("  ", rows, 1, 2))
		if more := len(changed) - maxPartitions; more > 0 {
			fmt.Fprintf(&b, "  … and %s\n", plural(int64(more), "more partition"))
		}
	}
	return b.String()
}

// known is a number of rows, where a run knows it.
func known(n *int64) string {
	if n == nil {
		return "unknown"
	}
	return grouped(*n)
}

// mergeText is what a merge did to rows.
func mergeText(r job.Receipt) string {
	var parts []string
	for _, c := range []struct {
		n    int64
		what string
	}{
		{r.RowsInserted, "inserted"},
		{r.RowsUpdated, "updated"},
		{r.RowsDeleted, "deleted"},
		{r.RowsClosed, "of the table closed"},
		{r.RowsUnchanged, "unchanged"},
		{r.RowsStale, "stale"},
		{r.DuplicatesDropped, "dropped as duplicates"},
	} {
		if c.n > 0 {
			parts = append(parts, grouped(c.n)+" "+c.what)
		}
		if c.what == "inserted" && r.RowsLate > 0 {
			parts[0] += fmt.Sprintf(" (%s of them late)", grouped(r.RowsLate))
		}
	}
	text := "no rows"
	if len(parts) > 0 {
		text = "rows " + strings.Join(parts, ", ")
	}
	switch {
	case r.SnapshotID != nil:
		text += fmt.Sprintf(" (snapshot %d)", *r.SnapshotID)
	case r.Status == job.Planned && r.RowsWritten+r.RowsDeleted > 0:
		text += " would change; nothing published"
	default:
		text += ", nothing published"
	}
	return text
}

// in is " in 31 partitions", and nothing where the table is unpartitioned.
func in(partitions int, flat bool) string {
	if flat {
		return ""
	}
	return " in " + plural(int64(partitions), "partition")
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// aligned lays rows out in columns, those of right flush right, each line behind indent.
func aligned(indent string, rows [][]string, right ...int) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], screenWidth(cell))
		}
	}
	flushRight := map[int]bool{}
	for _, i := range right {
		flushRight[i] = true
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-screenWidth(cell))
			if flushRight[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(indent + strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
