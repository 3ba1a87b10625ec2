package main

// benchmark is one case: contestants that do the same work, ours first, and what ours is to reach.
type benchmark struct {
	name, title string
	note        string // for the reader of the figures
	contestants []contestant
	targets     []target
	// differ says that the contestants' rows are not the same, on purpose.
	differ bool
	// rounds is the least number of rounds, for what is over in no time.
	rounds int
}

type contestant struct {
	name string
	job  job
}

// target is one thing to reach: a ratio of wall times to a peer, seconds, or a bound on memory.
type target struct {
	peer    string  // the contestant compared with
	ratio   float64 // at most, of wall times
	perRow  bool    // ratio is that of the times per row
	seconds float64 // at most
	memory  int64   // peak resident set, in MiB, at most
	over    float64 // peak above the input in memory, as a share of it, at most
}

const (
	ours = "icewright"
	duck = "DuckDB"
)

// cases are all of them, in the order of docs/benchmarks.md. A new one is a new row.
var cases = []benchmark{
	copying("lineitem-1", "lineitem CSV, 1 partition", "lineitem", "", "", 0.85, 400),
	copying("lineitem-84", "lineitem CSV, 84 partitions (ship month)", "lineitem", "month(l_shipdate)", "date_trunc('month', l_shipdate)", 0.65, 400),
	copying("lineitem-365", "lineitem CSV, 365 partitions (548 parts each)", "lineitem", "truncate(548, l_partkey)", "l_partkey - l_partkey % 548", 0.55, 512),
	copying("lineitem-2000", "lineitem CSV, 2,000 partitions (100 parts each)", "lineitem", "truncate(100, l_partkey)", "l_partkey - l_partkey % 100", 0.40, 768),
	copying("events-flat-30", "events NDJSON, flat, 30 days", "flat-events", "day(created_at)", "created_at::DATE", 0.95, 450),
	copying("events-flat-1", "events NDJSON, flat, 1 partition", "flat-events", "", "", 1.05, 450),
	noted(copying("events-nested-30", "events NDJSON, nested and typed, 30 days", "events", "day(created_at)", "created_at::DATE", 0.60, 512),
		"Where the time goes, by a profile on a busy machine: Zstandard 41 % (at its default level, as DuckDB's, whose files are larger), parsing 26 %, bringing rows together by partition 10 %, the digest 8 %, "+
			"reading the file 5 %; none of the rest has more, levels of nested columns 3 %. Table property `write.parquet.compression-level` = 1 took 14 % less time when it was tried once, and made "+
			"files 5 % larger. Not to try as hard where a page shows that it does not pay gained nothing."),
	copying("flights-182", "flights Parquet, 182 days", "flights", "day(date)", "date::DATE", 1.0, 300),
	{
		name: "arrow-31", title: "Arrow in memory, 31 partitions, shuffled, 12 columns",
		note: "Rows of `bench/input.go`, handed over as batches of 65,536. pqarrow writes two files with no partitions, on two goroutines. " +
			"icewright paces the collector as its command does; for the others it is at Go's default. The target is 89 MiB. What icewright takes above the input is rows that wait for a " +
			"page of 20,000 rows (up to 45 MiB: partitions that grow alike are put out of step), rows that are being encoded (12 MiB, and as they are brought together 5 more), blocks for the next rows (8 MiB), encoded pages " +
			"(8 MiB, the others are in the spill file), scratch space of two workers (some 15 MiB), and 48 MiB of garbage between two collections. What each further step costs, by one run each on a machine with other work, " +
			"where this took 140 MiB: 24 MiB of garbage, 114 MiB (a CSV file in 84 partitions then took 5 to 7 % more processor time, this case none); 16 MiB, 119; 16 MiB and half as many rows waiting, 100 MiB and 0.8 % larger " +
			"files; 16 MiB and no more than 16 MiB of rows waiting, 85 MiB and 0.9 % larger files. So the target is reached where shuffled days of any input get shorter pages and loads of text files more rounds of the collector, " +
			"which is not what most loads want.",
		contestants: []contestant{
			{ours, inMemory{Writer: "stage"}},
			{"WriteRecords", inMemory{Writer: "WriteRecords"}},
			{"pqarrow", inMemory{Writer: "pqarrow"}},
		},
		targets: []target{{peer: "WriteRecords", ratio: 0.45, over: 0.15}, {peer: "pqarrow", ratio: 1.0}},
	},
	{
		name: "end-to-end", title: "lineitem CSV, end to end with commit, 1 partition",
		note: "PyIceberg and Spark commit to a SQLite catalog as well. Starting Python or the JVM is not counted, nor is a first small INSERT OVERWRITE of Spark's.",
		contestants: []contestant{
			{ours, load{Input: "lineitem"}},
			{"PyIceberg", python{Script: "pyiceberg_overwrite.py", Input: "lineitem"}},
			{"Spark", python{Script: "spark_overwrite.py", Input: "lineitem", Spark: true}},
		},
		targets: []target{{peer: "PyIceberg", ratio: 0.5}, {peer: "Spark", ratio: 0.35}},
	},
	{
		name: "itself-2000", title: "2,000 partitions against 1",
		note: "By a profile of each, on a machine with other work, in seconds of processor time, the system's included, with 2,000 partitions and with 1: bringing rows together from all over memory 1.9 and 0, compression 3.1 and 2.0 (each of 32,000 column " +
			"chunks has entropy tables of its own for every page), files 1.2 and 0.1, the collector and allocation 1.7 and 0.1, the digest 0.3 and 0.3, of 11.0 and 4.8 in all. " +
			"Rows that are brought together, chunks and files alone make 1.9x of one partition; DuckDB takes about six times as long ([2,000](#lineitem-2000), [1](#lineitem-1)).",
		contestants: []contestant{
			{ours, load{Input: "lineitem", Partition: "truncate(100, l_partkey)"}},
			{"1 partition", load{Input: "lineitem"}},
		},
		targets: []target{{peer: "1 partition", ratio: 1.8, memory: 1229}},
	},
	{
		name: "itself-5x", title: "5 times the rows, 84 partitions", differ: true,
		note: "The file five times, under five names.",
		contestants: []contestant{
			{ours, load{Input: "lineitem", Partition: "month(l_shipdate)", Copies: 5}},
			{"once", load{Input: "lineitem", Partition: "month(l_shipdate)"}},
		},
		targets: []target{{peer: "once", ratio: 1.1, perRow: true, memory: 400}},
	},
	{
		name: "itself-bare", title: "digest, statistics and commit on against off, 84 partitions",
		note: "Off is a program of `bench/child.go` that calls the library: it reads the same file and writes the same files, but for digests and the bounds " +
			"of values (`Options.Bare` of `writer/stage`, which no flag sets), and commits nothing. Both load into a table that is there. In a profile the digest has 4 % of the samples, the bounds less than 1 %: 16 values of six million rows " +
			"are hashed to 128 bits and added. On this processor, with AVX-512, an integer, a date or a decimal takes 0.6 ns, a text that comes again 3.5 to 5 ns, another 5 to 11 ns and a row 1.4 ns; " +
			"without vectors a number takes 3.3 ns and a row 8 ns.",
		contestants: []contestant{
			{ours, load{Input: "lineitem", Partition: "month(l_shipdate)", Existing: true}},
			{"off", bare{Input: "lineitem", Partition: "month(l_shipdate)"}},
		},
		targets: []target{{peer: "off", ratio: 1.08}},
	},
	{
		name: "s3", title: "lineitem CSV to MinIO on the same machine against a local disk, 84 partitions",
		note: "MinIO takes its share of the same two cores. The files it holds are read back by icewright.",
		contestants: []contestant{
			{ours, load{Input: "lineitem", Partition: "month(l_shipdate)", S3: true}},
			{"local disk", load{Input: "lineitem", Partition: "month(l_shipdate)"}},
		},
		targets: []target{{peer: "local disk", ratio: 1.25}},
	},
	{
		name: "merge", title: "merge of 100,000 rows, half of them new, into 10,000,000, 12 columns",
		note: "Every two hundredth row changes, so that copy-on-write, the default of both, writes the whole table anew. Starting the JVM is not counted, nor is a first small MERGE INTO.",
		contestants: []contestant{
			{ours, byKey{Base: tenMillion, Changes: changes, Args: byID, Unpruned: true}},
			{"Spark", byKey{Base: tenMillion, Changes: changes, Script: "spark_merge.py", Spark: true}},
		},
		targets: []target{{peer: "Spark", ratio: 1.0}},
	},
	{
		name: "merge-pyiceberg", title: "the merge of 100,000 rows beside PyIceberg",
		note: "Starting Python is not counted. icewright merges on read: what changes is written, and hidden where it was. PyIceberg can only copy on write; " +
			"icewright's copy-on-write beside it has to write ten million rows anew as well, since every two hundredth changes, which is most of what it does. " +
			"(The target is from a time when PyIceberg's upsert took minutes; version 0.12 takes seconds, and memory.)",
		contestants: []contestant{
			{ours, byKey{Base: tenMillion, Changes: changes, Args: onRead, Unpruned: true}},
			{"copy-on-write", byKey{Base: tenMillion, Changes: changes, Args: byID, Unpruned: true}},
			{"PyIceberg", byKey{Base: tenMillion, Changes: changes, Script: "pyiceberg_upsert.py"}},
		},
		targets: []target{{peer: "PyIceberg", ratio: 0.05}},
	},
	{
		name: "merge-again", title: "the merge of 100,000 rows run again",
		contestants: []contestant{
			{ours, byKey{Base: tenMillion, Changes: changes, Args: byID, Unpruned: true, Rerun: true}},
			{"first run", byKey{Base: tenMillion, Changes: changes, Args: byID, Unpruned: true}},
		},
		targets: []target{{peer: "first run", ratio: 0.5}},
	},
	{
		name: "merge-on-read", title: "the merge of 100,000 rows by either strategy",
		contestants: []contestant{
			{ours, byKey{Base: tenMillion, Changes: changes, Args: onRead, Unpruned: true}},
			{"copy-on-write", byKey{Base: tenMillion, Changes: changes, Args: byID, Unpruned: true}},
		},
		targets: []target{{peer: "copy-on-write", ratio: 1.0}},
	},
	{
		name: "insert", title: "insert of 1,000,000 events, a fifth of them there already, into 20,000,000 of 20 days", differ: true,
		note: "`--window 24h` leaves the files of 18 days out. An append reads nothing, and has the fifth twice.",
		contestants: []contestant{
			{ours, byKey{Base: twentyDays, Changes: nextDay, Partition: "day(ordered_at)", Args: []string{"--mode", "insert", "--key", "id", "--window", "24h", "--event-time", "ordered_at"}}},
			{"append", byKey{Base: twentyDays, Changes: nextDay, Partition: "day(ordered_at)", Args: []string{"--mode", "append", "--run-key", "next-day"}, Unpruned: true}},
		},
		targets: []target{{peer: "append", ratio: 2.0}},
	},
	{
		name: "version", title: "`icewright version`", rounds: 20,
		contestants: []contestant{{ours, version{}}},
		targets:     []target{{seconds: 0.030}},
	},
	{
		name: "small", title: "1,000 rows into an existing SQLite table", rounds: 20, differ: true,
		contestants: []contestant{{ours, small{}}},
		targets:     []target{{seconds: 0.150}},
	},
}

// What the cases by key load.
var (
	tenMillion = rows{Count: 10_000_000}
	changes    = rows{Count: 50_000, Every: 200, New: 50_000, Above: 10_000_000, Change: 1}
	byID       = []string{"--mode", "merge", "--key", "id"}
	onRead     = []string{"--mode", "merge", "--key", "id", "--strategy", "merge-on-read"}
	twentyDays = rows{Count: 20_000_000, PerDay: 1_000_000}
	nextDay    = rows{First: 19_800_000, Count: 1_000_000, PerDay: 1_000_000}
)

// noted is b with a note.
func noted(b benchmark, note string) benchmark {
	b.note = note
	return b
}

// copying is a case of a file against DuckDB's COPY: by is the partition in Iceberg's words, expr in SQL.
func copying(name, title, input, by, expr string, ratio float64, memory int64) benchmark {
	return benchmark{
		name: name, title: title,
		contestants: []contestant{{ours, load{Input: input, Partition: by}}, {duck, duckdb{Input: input, Partition: expr}}},
		targets:     []target{{peer: duck, ratio: ratio, memory: memory}},
	}
}
