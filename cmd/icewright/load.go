package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/job"
	"github.com/icewright/icewright/writer"
)

// The headings of load's flags, in the order of a load: what comes in, which table it goes to,
// what of it is replaced, and how the run goes about it.
const (
	headInput   = "Input"
	headTable   = "New table"
	headDrift   = "Schema drift"
	headReplace = "Replace"
	headMerge   = "Merge"
	headInsert  = "Insert"
	headAppend  = "Append"
	headRun     = "Run"
)

func (a *app) loadCommand() *cobra.Command {
	var (
		j        job.Job
		mode     string
		strategy string
		format   string
		progress string
	)
	cmd := &cobra.Command{
		Use:   "load SOURCE... --table NS.NAME",
		Short: "Load files into a table, replacing the partitions they touch or merging by key",
		Long: `Load reads files and swaps the touched partitions of a table for their rows, in one
atomic snapshot. Loading the same files again publishes nothing.

With --mode merge it updates the rows that have a key of the input's, where they differ, and
inserts the others; docs/merge.md has the rules. With --history it keeps every version of a
key and the times between which it held; docs/history.md has the rules. With --mode insert it
adds the rows whose key is not there, in the table or within --window; docs/insert.md has the
rules. With --mode append it adds the rows, once under a run key; docs/append.md has the rules.

A SOURCE is a file, a directory, a glob (** crosses directories), an s3:// address with a
prefix or a glob, an https:// address, or - for standard input; plain, gzip, zstd or
bzip2. --files-from takes a list of them. The table is made by the first load, with the
schema of --schema or one that is inferred; from then on the table's schema decides, or with
--evolve, changes with the rows.`,
		Example: `  icewright load flights/*.csv.gz --table air.flights --partition-by 'day(departed_at)'
  icewright load s3://bucket/in/2024-01-15/ --table lake.events --slice 'event_date=2024-01-15' --catalog prod
  zcat big.csv.gz | icewright load - --format csv --table lake.big --partition-by 'bucket(16, id)' --sort-by ts
  find in -name '*.csv' | icewright load --files-from - --table lake.events
  icewright load events.ndjson --table lake.events --rejects bad/ --max-rejects 1%
  icewright load changes/*.ndjson --table shop.orders --mode merge --key order_id --latest-by updated_at --if-newer updated_at --delete-when "op = 'd'"
  icewright load events-*.ndjson.zst --table lake.events --mode insert --key event_id --window 24h --event-time ts
  icewright load customers.csv --table crm.customers --mode merge --key customer_id --history valid_from,valid_to,is_current --effective updated_at
  icewright load day.csv --table lake.raw --mode append --run-key raw-2024-01-15`,
		RunE: func(cmd *cobra.Command, args []string) error {
			j.Sources, j.Stdin, j.Catalog = args, a.stdin, a.global.catalog
			j.Mode, j.Format = job.Mode(strings.ToLower(mode)), arrowconv.Format(format)
			j.Strategy = job.Strategy(strings.ToLower(strategy))
			if cmd.Flags().Changed("slice") && strings.TrimSpace(j.Slice) == "" {
				return &job.Error{
					Class: job.ErrUsage, Text: "--slice is empty",
					Advice: "a variable in it may be unset; leave the flag out to replace the partitions that the rows are in",
				}
			}
			reporter, err := newReporter(a, progress)
			if err != nil {
				return err
			}
			j.Progress = reporter.report
			j.Warn = func(text string) { a.log.Warn(text) }
			j.Note = func(text string) { a.log.Debug(text) }
			j.Decided = func(source, text string) { a.log.Info(text, "source", source) }
			writer.PaceCollector(j.Memory)
			reporter.start()
			receipt, err := job.Load(cmd.Context(), j)
			reporter.stop()
			a.logRun(receipt)
			if err == nil || a.global.output == "json" {
				if receipt.Error != nil {
					receipt.Error.ExitCode = exitCode(cmd.Context(), err)
				}
				if perr := a.printReceipt(receipt); err == nil {
					err = perr
				}
			}
			return err
		},
	}
	f := under(cmd.Flags(), headInput)
	f.text(&j.Table, "table", "", "`TABLE` to load into, with its namespace: air.flights (required)")
	f.choice(&mode, "mode", "replace", []string{"replace", "merge", "insert", "append"}, "`MODE`, how the run changes the table: replace (the partitions its rows are in), merge (rows by --key), insert (rows whose --key is new) or append (once under --run-key)")
	inputFlags(f, &j, &format)
	f.directory(&j.Rejects, "rejects", "", "set bad rows aside in this `DIR` instead of ending the run")
	f.text(&j.MaxRejects, "max-rejects", "", "most bad rows to set aside: `N` or N% (default: no bound)")

	f = under(cmd.Flags(), headTable)
	f.text(&j.Schema, "schema", "", "`FILE` with the schema, Iceberg JSON or YAML (default: inferred)")
	inferenceFlags(f, &j)
	f.text(&j.PartitionBy, "partition-by", "", "partition `SPEC`: 'day(ts), bucket(16, id), region'")
	f.text(&j.SortBy, "sort-by", "", "sort `ORDER` of the rows in each file: 'ts, id desc'")
	f.props(&j.TableProps, "table-prop", "table property (repeatable)")
	f.number(&j.FormatVersion, "format-version", 0, "Iceberg format `VERSION`: 1, 2 or 3 (default: 2)")

	f = under(cmd.Flags(), headDrift)
	evolveFlag(f, &j)

	f = under(cmd.Flags(), headReplace)
	f.text(&j.Slice, "slice", "", "`EXPRESSION` for the part of the table that the run owns (default: the partitions its rows are in)")
	f.choice(&j.Outside, "outside", "", []string{"fail", "drop"}, "rows outside --slice: `CHOICE` of fail and drop (default: fail)")
	f.choice(&j.OnEmpty, "on-empty", "", []string{"fail", "keep", "clear"}, "input without rows: `CHOICE` of fail, keep (what is there) and clear (the slice) (default: fail)")
	f.truth(&j.ReplaceTable, "replace-table", "the whole table is the slice; needed where it is unpartitioned")
	f.text(&j.MaxShrink, "max-shrink", "", "refuse where a partition would lose more than this `SHARE` of its rows (default: 50%)")
	f.truth(&j.AllowShrink, "allow-shrink", "let partitions shrink")
	f.truth(&j.CompareRows, "compare-rows", "scan partitions that other engines wrote, to find those that are unchanged")

	f = under(cmd.Flags(), headMerge)
	f.texts(&j.Key, "key", "`COLUMNS` that tell rows apart: order_id,line_no (merge and insert need it)")
	f.text(&j.LatestBy, "latest-by", "", "of input rows with one key take the one that is greatest in this `COLUMN` (default: they are an error; of an insert, the first)")
	f.text(&j.IfNewer, "if-newer", "", "rows that are less in this `COLUMN` than the table's change nothing (default: rows count as they come)")
	f.text(&j.DeleteWhen, "delete-when", "", "`EXPRESSION` for input rows that delete the row with their key: \"op = 'd'\" (default: none does)")
	f.texts(&j.IgnoreColumns, "ignore-columns", "`COLUMNS` that may differ without being a change (default: none)")
	f.choice(&strategy, "strategy", "", []string{"copy-on-write", "merge-on-read"}, "`HOW` rows change: copy-on-write (their files are written anew) or merge-on-read (delete files hide them) (default: the table's write.merge.mode, or copy-on-write)")
	f.texts(&j.History, "history", "`COLUMNS` that say since when and until when a row holds, and whether it still does, to keep every version: valid_from,valid_to,is_current (default: only the newest is kept)")
	f.text(&j.Effective, "effective", "", "`COLUMN` of the input that says since when its row holds; --history needs it")

	f = under(cmd.Flags(), headInsert)
	f.text(&j.Window, "window", "", "rows with one key are one event where their times are this `DURATION` apart at most: 24h, 7d (default: whatever their times)")
	f.text(&j.EventTime, "event-time", "", "`COLUMN` of dates or timestamps that --window is about")

	f = under(cmd.Flags(), headAppend)
	f.truth(&j.AllowDuplicates, "allow-duplicates", "add the rows even if they, or others under the run key, were added before")

	f = under(cmd.Flags(), headRun)
	f.text(&j.Branch, "branch", "", "`BRANCH` to publish to (default: main)")
	f.text(&j.RunKey, "run-key", "", "`NAME` of the run in the table's history; append adds rows once under it (default: table, mode and slice; of an append, the digest of its rows)")
	f.truth(&j.TrustFingerprint, "trust-fingerprint", "sources with the names, sizes and times of the last run of the same job are unchanged: do not read them")
	f.truth(&j.DryRun, "dry-run", "say what would change, and publish nothing")
	f.bytes(&j.Memory, "memory", 1<<30, "memory budget")
	f.directory(&j.SpillDir, "spill-dir", "", "`DIR` for what does not fit in memory (default: the temporary directory)")
	f.number(&j.Workers, "workers", 0, "`CORES` to use (default: all)")
	f.choice(&progress, "progress", "auto", []string{"auto", "bar", "log", "json", "none"}, "`HOW` to show progress on standard error: auto, bar, log, json or none")
	return cmd
}

// inputFlags say how the sources are read. All commands that read them have the same.
func inputFlags(f flagSet, j *job.Job, format *string) {
	f.texts(&j.FilesFrom, "files-from", "`FILE` that names more sources, one a line, or - for standard input (repeatable)")
	f.props(&j.SourceProps, "source-prop", "`KEY=VALUE` for the store of s3:// sources, in place of the catalog's s3.* properties: s3.anonymous=true (repeatable)")
	f.choice(format, "format", "", arrowconv.FormatNames(), "`FORMAT` of the sources: "+arrowconv.FormatChoice()+" (default: by name and content)")
	f.text(&j.CSVDelimiter, "csv-delimiter", "", "`CHARACTER` between CSV fields, tab, or a code such as \\x01 (default: detected, or else a comma)")
	f.text(&j.CSVQuote, "csv-quote", "", "`CHARACTER` around CSV fields that hold a delimiter, or none (default: a double quote)")
	f.text(&j.CSVEscape, "csv-escape", "", "`CHARACTER` before a quote or a delimiter that is text, such as \\ (default: quotes are doubled)")
	f.texts(&j.CSVNulls, "csv-null", "CSV `TOKEN` that means null (repeatable; default: an empty field without quotes, which --csv-null \"\" keeps)")
	f.number(&j.CSVSkip, "csv-skip", 0, "skip `N` lines before the CSV header")
	f.text(&j.CSVComment, "csv-comment", "", "`CHARACTER` that begins CSV lines that are no rows (default: none)")
	f.truth(&j.CSVNoHeader, "csv-no-header", "the first CSV line is data; columns are in table order")
	f.truth(&j.DecimalComma, "decimal-comma", "numbers are written 12,50")
	f.text(&j.JSONRows, "json-rows", "", "`PATH` to the array with the rows inside a JSON object, such as features (default: the file is the array)")
	f.bytes(&j.MaxRowBytes, "max-row-bytes", 64<<20, "longest row of a text file, longest value of others; a longer one is an error")
	f.text(&j.TimeZone, "time-zone", "", "`ZONE` of timestamps that name none, such as Europe/Berlin (default: UTC)")
	f.text(&j.Columns, "columns", "", "take these columns only: `LIST` of a, and of b=c for column b of the table from column c (default: all)")
	f.truth(&j.IgnoreCase, "ignore-case", "columns whose names differ in case only are the same")
	f.texts(&j.Derive, "derive", "add a column that is computed from the row, `NAME=EXPRESSION`: 'order_sk=hash(order_id, line_no)', \"day=date(ts, 'Europe/Berlin')\" (repeatable; docs/derive.md)")
	f.text(&j.PathColumns, "path-columns", "auto", "directories key=value of the path that are columns where a file lacks them: auto (those of the table, all in a new one), none, or `KEYS`: dt,region")
	f.text(&j.SourceColumns, "source-columns", "", "add columns for the file that a row is from and its number in it, with these `NAMES`; give them with = (default: none)")
	f.Lookup("source-columns").NoOptDefVal = "true"
}

// inferenceFlags say how a schema is inferred.
func inferenceFlags(f flagSet, j *job.Job) {
	f.number(&j.InferRows, "infer-rows", 0, "infer the schema from the first `ROWS` (default: the whole first source)")
	f.truth(&j.Decimals, "decimals", "infer decimals instead of doubles")
	f.texts(&j.Variants, "variant", "`COLUMN` of the new table that holds any JSON, inferred as a variant (repeatable; needs --format-version 3)")
}

func evolveFlag(f flagSet, j *job.Job) {
	f.text(&j.Evolve, "evolve", "", "what may change in the table's schema, with the rows: `LIST` of add, widen and relax (default: nothing)")
}

// logRun is a run in one line of the log, for those who ask with --verbose.
func (a *app) logRun(r job.Receipt) {
	line := []any{
		"table", r.Table, "run_key", r.RunKey, "attempt", r.Attempt, "rows_read", r.RowsRead, "rows_written", r.RowsWritten,
		"files_added", r.FilesAdded, "files_removed", r.FilesRemoved, "files_rewritten", r.FilesRewritten, "rows_kept", r.RowsKept, "attempts", r.Attempts, "seconds", r.Seconds,
	}
	if r.SnapshotID != nil {
		line = append(line, "snapshot_id", *r.SnapshotID)
	}
	for _, stage := range []string{"stage", "plan", "rewrite", "publish"} {
		line = append(line, stage+"_seconds", r.Stages[stage])
	}
	a.log.Debug(string(r.Status), line...)
}

// seconds is d as people read it.
func seconds(s float64) string {
	switch d := time.Duration(s * float64(time.Second)); {
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}
