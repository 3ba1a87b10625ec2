package tally

// guarantee is one of the promises of docs/design.md, section 2.
type guarantee struct {
	number        int
	promise, kept string
	proofs        []string // tests, as gendoc.Proofs names them
}

var guarantees = []guarantee{
	{
		1, "**Atomic.** A reader sees the slice before the run or after it, nothing between.",
		"Data files are staged where no snapshot refers to them. One commit, which the catalog takes as one step, makes all of them visible.",
		[]string{"job.TestReaderNeverSeesHalf", "interop.TestAReaderSeesBeforeOrAfter", "cmd/icewright.TestKilledAtEveryPoint", "interop.TestKilledAtEveryPoint"},
	},
	{
		2, "**Idempotent.** The same input gives the same rows, and a rerun that would change nothing publishes nothing.",
		"What is staged is compared with what is there by digest, partition by partition. Equal ones keep their files.",
		[]string{"writer.TestRerunIsUnchanged", "writer.TestHistoriesAgainstAMap", "writer.TestFaults"},
	},
	{
		3, "**Exactly once.** One attempt makes at most one snapshot, and any number of attempts have the effect of one.",
		"The commit names its attempt and is pinned to the head that it was planned for. Without a clear answer the table is asked, never the memory.",
		[]string{"writer/publish.TestFaults", "writer/publish.TestAnyFaults", "interop.TestFaultyServers", "cmd/icewright.TestKilledAtEveryPoint", "interop.TestKilledAtEveryPoint"},
	},
	{
		4, "**Isolated.** Runs on disjoint slices all land. On one slice the outcome is that of some serial order, and a zombie is fenced off.",
		"A run that lost a race plans again on the new head. One that started before the run that won stops.",
		[]string{"writer/publish.TestConcurrentAttempts", "writer/publish.TestFence", "writer.TestSchedules", "writer.TestFaults", "interop.TestTwoProcesses", "interop.TestRaces", "interop.TestFirstLoadsRace", "interop.TestZombies"},
	},
	{
		5, "**Nothing lost.** Every input row is written, unchanged, rejected or filtered.",
		"The sum is checked before every publish (`reconcile` in `writer/load.go`), and once more in the staged files.",
		[]string{"writer.TestFaults", "writer.TestHistoriesAgainstAMap"},
	},
	{
		6, "**Bounded.** Peak memory stays under `--memory` plus a small constant.",
		"Buffers are counted by capacity. Past the bound they go to one spill file, which has no name.",
		[]string{"writer/stage.TestManyPartitionsStayWithinMemory", "cmd/icewright.TestKilledAtEveryPoint"},
	},
	{
		7, "**Deterministic.** The same input and options give data files with the same bytes.",
		"Where a row group or a file ends depends on the rows and the options alone, never on timing or on what was spilled.",
		[]string{"writer/stage.TestSameBytesWhateverTheTiming", "writer.TestFaults"},
	},
	{
		8, "**Clean.** A failed run leaves the table as it was and removes what it staged, or says which files stay, and why.",
		"Every file is noted before it is begun. What a killed process leaves `icewright doctor --litter` finds.",
		[]string{"writer/stage.TestFailuresLeaveNothingBehind", "writer.TestFaults", "writer.TestLitter", "cmd/icewright.TestDiskFull", "cmd/icewright.TestFullDisk"},
	},
	{
		9, "**Plain Iceberg.** Tables need nothing of ours to be read or maintained.",
		"The snapshots are what Iceberg's own ReplacePartitions would write. Ours are only entries in summaries and Parquet footers.",
		[]string{"interop.TestReplace", "interop.TestMatrix", "interop.TestSparkReadsAndWrites", "interop.TestSparkDeletes", "interop.TestSideBySide"},
	},
}
