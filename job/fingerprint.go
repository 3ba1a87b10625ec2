package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"runtime/debug"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/source"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
)

// A fingerprint is a hash over all that a run's rows come from: the versions of its sources as their stores tell
// them, the options that say what becomes of them, the table's schema and partition spec, and this build. It lies where
// a source was given other contents and its old size and time (or ETag).

// unprinted are the fields of a Job that change neither rows nor what is published of them, or that are covered
// otherwise: Sources by what they resolve to, Catalog and Table by the table's UUID.
var unprinted = []string{
	"Sources", "FilesFrom", "SourceProps", "Table", "Catalog", "Rejects", "MaxRejects", "TrustFingerprint", "DryRun",
	"Memory", "SpillDir", "Workers", "Stdin", "Attempt", "Now", "Progress", "Decided", "Warn", "Note",
}

// fingerprint is that of a run that reads objects into tbl; "" where the version of one of them is not certain.
func (j Job) fingerprint(tbl *table.Table, objects []source.Object) string {
	meta := tbl.Metadata()
	of := struct {
		Version int
		Build   []string
		Table   string
		Schema  *iceberg.Schema
		Spec    iceberg.PartitionSpec
		Options map[string]any
		Sources []string
	}{
		Version: 1, Build: builtFrom(), Table: meta.TableUUID().String(),
		Schema: meta.CurrentSchema(), Spec: meta.PartitionSpec(), Options: map[string]any{},
	}
	v := reflect.ValueOf(j)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !slices.Contains(unprinted, f.Name) && !v.Field(i).IsZero() {
			of.Options[f.Name] = v.Field(i).Interface()
		}
	}
	now := j.now()
	for _, o := range objects {
		version := o.Version(now)
		if version == "" {
			return ""
		}
		of.Sources = append(of.Sources, version)
	}
	text, err := json.Marshal(of)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// builtFrom tells builds apart: another one may read the same bytes otherwise.
func builtFrom() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	from := []string{info.Main.Version}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" || s.Key == "vcs.modified" {
			from = append(from, s.Value)
		}
	}
	return from
}

// standing is the snapshot that a run with the fingerprint would make anew, nil where there is none. What cannot be
// told is for the run itself to find out.
func (j Job) standing(ctx context.Context, s settings, tbl *table.Table, fingerprint string) *table.Snapshot {
	var inside func(iceberg.DataFile, iceberg.PartitionSpec, *iceberg.Schema) bool
	if j.Slice != "" {
		owned, err := slice.Parse(j.Slice, tbl.Schema(), s.zone, specs(tbl)...)
		if err != nil {
			return nil
		}
		inside = func(f iceberg.DataFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) bool {
			return owned.File(f, spec, schema) != slice.None
		}
	}
	snapshot, err := publish.Standing(ctx, tbl, j.branch(), fingerprint, inside)
	if err != nil {
		return nil
	}
	return snapshot
}

// unread makes the receipt that of a run that found its rows in the table without reading them.
func (r *Receipt) unread(tbl *table.Table, standing *table.Snapshot) {
	props := standing.Summary.Properties
	r.Status, r.Trusted, r.Attempts = Unchanged, true, 1
	r.BaseSnapshotID, r.Digest = idOf(tbl.SnapshotByName(r.Branch)), props[publish.KeyDigest]
	if r.Job = props[publish.KeyJob]; r.RunKey == "" {
		r.RunKey = props[publish.KeyRunKey]
	}
}
