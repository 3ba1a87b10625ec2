package job

import (
	"errors"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/nearest"
	"github.com/icewright/icewright/writer/stage"
)

// Strategy is how a merge changes rows that are there.
type Strategy string

// The strategies.
const (
	CopyOnWrite Strategy = "copy-on-write" // files with a row that changes are written anew
	MergeOnRead Strategy = "merge-on-read" // rows that change are hidden by delete files
)

// mergeModeKey is the property by which a table says how its rows are to be merged.
const mergeModeKey = "write.merge.mode"

func (j Job) checkStrategy() error {
	switch j.Strategy {
	case "", CopyOnWrite, MergeOnRead:
		return nil
	}
	return usage(strategyHint(string(j.Strategy)), "--strategy: unknown strategy %q", j.Strategy)
}

func strategyHint(said string) string {
	if near := nearest.Name(said, []string{string(CopyOnWrite), string(MergeOnRead)}); near != "" {
		return "did you mean " + near + "?"
	}
	return "it is copy-on-write or merge-on-read"
}

// strategy is how rows of tbl are merged: as the job says, or the table, or by copy on write.
func (j Job) strategy(tbl *table.Table) (Strategy, error) {
	if len(listed(j.History)) > 0 {
		return CopyOnWrite, nil // versions that end move to new files anyway
	}
	s, whose := j.Strategy, "--strategy"
	if s == "" {
		s, whose = Strategy(tbl.Properties().Get(mergeModeKey, string(CopyOnWrite))), "table property "+mergeModeKey
	}
	switch s {
	case CopyOnWrite:
		return s, nil
	case MergeOnRead:
		err := stage.CanDelete(tbl.Metadata())
		if errors.Is(err, stage.ErrUnsupported) {
			return "", usage("say --strategy copy-on-write, or upgrade the table: icewright table alter "+j.Table+" --format-version 2",
				"%s: merge-on-read needs format version 2 or later, and %s has version %d, which knows no delete files", whose, j.Table, tbl.Metadata().Version())
		}
		return s, err
	}
	return "", usage(strategyHint(string(s))+" (or say --strategy)", "%s: unknown strategy %q", whose, s)
}
