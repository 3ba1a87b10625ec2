package job

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

// From these on, a table's upkeep is worth a warning. Each is where plans and reads begin to pay
// for it, not a limit of the format.
const (
	manySmallFiles = 100
	manySnapshots  = 500
	manyManifests  = 200
	oldSnapshot    = 30 * 24 * time.Hour
	largeMetadata  = 16 << 20 // bytes of metadata.json, read and written by every commit
	// smallShare of the target size is what compaction takes for small, in Spark too.
	smallShare = 0.75

	defaultTarget = table.WriteTargetFileSizeBytesDefault
)

// upkeep is what is counted of a table's live files.
type upkeep struct {
	manifests, data, small     int
	smallBytes                 int64
	kept                       int // files that compaction would leave of the small ones
	positions, vectors, equals int
	oldSpecs                   int
}

// health says what the table needs: compaction, expiry, deletes that not every engine reads.
func (d *Diagnosis) health(ctx context.Context, c Checkup, tbl *table.Table) {
	meta, name := tbl.Metadata(), c.Table
	before := len(d.Findings)
	d.snapshots(c, tbl)
	if head := tbl.CurrentSnapshot(); head != nil {
		u, err := inspect(ctx, tbl, head)
		if err != nil {
			d.failed("table", name, fmt.Errorf("table %s: %w", name, catalog.Classify(err)), "see that its metadata files are there and can be read")
			return
		}
		d.files(name, tbl, u)
	}
	if meta.Version() >= 3 {
		d.add("table", Note, name, "keep to format version 2 where an engine of yours cannot", "it has format version %d, which not every engine reads yet", meta.Version())
	}
	if len(d.Findings) == before {
		d.add("table", Fine, name, "", "needs nothing")
	}
}

func (d *Diagnosis) snapshots(c Checkup, tbl *table.Table) {
	meta, props := tbl.Metadata(), tbl.Properties()
	expire := "expire old ones, in Spark: CALL catalog.system.expire_snapshots(table => '" + c.Table + "')"
	snaps := meta.Snapshots()
	if len(snaps) >= manySnapshots {
		d.add("table", Warning, c.Table, expire, "%d snapshots: each commit writes and each reader reads them all", len(snaps))
	} else if len(snaps) > 1 {
		oldest := snaps[0].TimestampMs
		for _, s := range snaps {
			oldest = min(oldest, s.TimestampMs)
		}
		if age := c.Now().Sub(time.UnixMilli(oldest)); age > oldSnapshot {
			d.add("table", Note, c.Table, expire, "the oldest of %d snapshots is %d days old; what they hold takes up space", len(snaps), int(age.Hours()/24))
		}
	}
	logged := 0
	for range meta.PreviousFiles() {
		logged++
	}
	if logged >= 50 && !strings.EqualFold(props["write.metadata.delete-after-commit.enabled"], "true") {
		d.add("table", Note, c.Table, "icewright table alter "+c.Table+" --table-prop write.metadata.delete-after-commit.enabled=true",
			"%d earlier metadata files are kept, and each commit adds one", logged)
	}
}

// files judges what was counted.
func (d *Diagnosis) files(name string, tbl *table.Table, u upkeep) {
	compact := "compact it, in Spark: CALL catalog.system.rewrite_data_files(table => '" + name + "'), in Dremio: OPTIMIZE TABLE " + name + "; or load the partitions again"
	if spare := u.small - u.kept; spare >= manySmallFiles && spare*2 >= u.data {
		d.add("table", Warning, name, compact, "%d of %d data files are small, %.1f MiB on average; compacted they would be %d",
			u.small, u.data, float64(u.smallBytes)/float64(u.small)/(1<<20), u.kept)
	}
	const applied = "have them applied, in Spark: CALL catalog.system.rewrite_data_files(table => '%s', options => map('delete-file-threshold', '1'))"
	if u.equals > 0 {
		d.add("table", Warning, name, fmt.Sprintf(applied, name), "%d equality delete files: not every engine reads them, Dremio not in every version", u.equals)
	}
	if u.vectors > 0 {
		d.add("table", Warning, name, fmt.Sprintf(applied, name), "%d deletion vectors: engines that do not know format version 3, Dremio before it among them, cannot read the table", u.vectors)
	}
	if u.positions > 0 {
		d.add("table", Note, name, fmt.Sprintf(applied, name), "%d position delete files: each is read with the data", u.positions)
	}
	if u.manifests >= manyManifests && u.data/u.manifests < 20 {
		d.add("table", Warning, name, "merge them, in Spark: CALL catalog.system.rewrite_manifests('"+name+"')",
			"%d manifests for %d data files: planning opens each", u.manifests, u.data)
	}
	if u.oldSpecs > 0 {
		d.add("table", Note, name, "rewrite them under the current spec, in Spark: CALL catalog.system.rewrite_data_files(table => '"+name+"', options => map('rewrite-all', 'true'))",
			"%d files were written under an older partition spec: a load whose slice one of them straddles rewrites it", u.oldSpecs)
	}
}

// inspect counts the live files of a snapshot.
func inspect(ctx context.Context, tbl *table.Table, snap *table.Snapshot) (u upkeep, err error) {
	target := int64(defaultTarget)
	if n, err := strconv.ParseInt(tbl.Properties()[table.WriteTargetFileSizeBytesKey], 10, 64); err == nil && n > 0 {
		target = n
	}
	type small struct {
		files int
		bytes int64
	}
	parts := map[string]small{}
	manifests := map[string]bool{}
	for f, err := range liveFiles(ctx, tbl, snap) {
		if err != nil {
			return u, err
		}
		manifests[f.manifest] = true
		switch f.ContentType() {
		case iceberg.EntryContentEqDeletes:
			u.equals++
			continue
		case iceberg.EntryContentPosDeletes:
			if strings.EqualFold(string(f.FileFormat()), "puffin") {
				u.vectors++
			} else {
				u.positions++
			}
			continue
		}
		u.data++
		if int(f.SpecID()) != tbl.Metadata().DefaultPartitionSpec() {
			u.oldSpecs++
		}
		if size := f.FileSizeBytes(); float64(size) < smallShare*float64(target) {
			u.small, u.smallBytes = u.small+1, u.smallBytes+size
			p := parts[f.partition.Key]
			parts[f.partition.Key] = small{p.files + 1, p.bytes + size}
		}
	}
	u.manifests = len(manifests)
	for _, p := range parts {
		u.kept += int((p.bytes + target - 1) / target)
	}
	return u, nil
}
