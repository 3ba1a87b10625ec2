package job

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
)

// checkup is Doctor in a directory, with what every diagnosis must hold checked.
func checkup(t *testing.T, c Checkup) Diagnosis {
	t.Helper()
	d, err := Doctor(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.Findings {
		if f.Text == "" || f.Check == "" {
			t.Errorf("an empty finding: %+v", f)
		}
		if (f.Level == Warning || f.Level == Problem) && f.Fix == "" {
			t.Errorf("a %s without a fix: %s", f.Level, f.Text)
		}
		if f.Level == Fine && f.Fix != "" {
			t.Errorf("a fix for what is fine: %s: %s", f.Text, f.Fix)
		}
	}
	return d
}

// found is the finding of a check whose text has part; the test fails without one.
func found(t *testing.T, d Diagnosis, check string, level Level, part string) Finding {
	t.Helper()
	i := slices.IndexFunc(d.Findings, func(f Finding) bool {
		return f.Check == check && f.Level == level && strings.Contains(f.Text, part)
	})
	if i < 0 {
		t.Fatalf("no %s of %s with %q in\n%+v", level, check, part, d.Findings)
	}
	return d.Findings[i]
}

// loadRows loads a CSV file of that text.
func loadRows(t *testing.T, dir, table, text string, change func(*Job)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	j := Job{Sources: []string{file}, Table: table, Catalog: catalog.Config{Dir: dir}}
	if change != nil {
		change(&j)
	}
	if _, err := Load(t.Context(), j); err != nil {
		t.Fatal(err)
	}
}

func TestDoctorOfNothingYet(t *testing.T) {
	dir := t.TempDir()
	d := checkup(t, Checkup{Catalog: catalog.Config{Dir: dir}})
	found(t, d, "catalog", Note, "first load")
	if err := d.Err(); err != nil {
		t.Errorf("an empty directory is no problem: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("looking made %v", left)
	}
}

func TestDoctorOfASoundTable(t *testing.T) {
	dir := t.TempDir()
	loadRows(t, dir, "a.b", "id,day\n1,2024-01-15\n", func(j *Job) { j.PartitionBy = "day" })
	d := checkup(t, Checkup{Catalog: catalog.Config{Dir: dir}, Table: "a.b"})
	found(t, d, "catalog", Fine, "answers")
	found(t, d, "warehouse", Fine, "list, write, read, remove")
	found(t, d, "table", Fine, "nothing")
	if err := d.Err(); err != nil {
		t.Error(err)
	}
}

func TestDoctorOfATableThatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	loadRows(t, dir, "a.b", "id,day\n1,2024-01-15\n", func(j *Job) { j.PartitionBy = "day" })
	d := checkup(t, Checkup{Catalog: catalog.Config{Dir: dir}, Table: "a.c"})
	found(t, d, "table", Problem, "no table a.c")
	if err := d.Err(); !errors.Is(err, ErrUsage) || !errors.Is(err, ErrUnwell) {
		t.Errorf("error %v", err)
	}
}

// A warehouse that cannot be written is a problem, and --read-only does not find it.
func TestDoctorOfAReadOnlyWarehouse(t *testing.T) {
	dir := t.TempDir()
	loadRows(t, dir, "a.b", "id,day\n1,2024-01-15\n", func(j *Job) { j.PartitionBy = "day" })
	warehouse := filepath.Join(dir, "lake", "warehouse")
	if err := os.Rename(warehouse, warehouse+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(warehouse, nil, 0o600); err != nil { // a file in its place: nobody can write below it
		t.Fatal(err)
	}
	d := checkup(t, Checkup{Catalog: catalog.Config{Dir: dir}})
	if err := d.Err(); !errors.Is(err, ErrUnwell) {
		t.Errorf("error %v of\n%+v", err, d.Findings)
	}
}

// A configuration with a secret in it is nobody else's to read, and nothing prints it.
func TestDoctorKeepsSecrets(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, ".iceberg-go.yaml")
	text := "catalog:\n  prod:\n    type: sql\n    uri: sqlite:///x.db\n    s3.access-key-id: AKIAVISIBLE\n    s3.secret-access-key: hush-hush\n    token: hush-token\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c := catalog.Config{Dir: dir, Name: "prod", Home: t.TempDir()}
	loadRows(t, dir, "a.b", "id,day\n1,2024-01-15\n", func(j *Job) { j.PartitionBy, j.Catalog = "day", c })
	d := checkup(t, Checkup{Catalog: c, Table: "a.b"})
	if f := found(t, d, "configuration", Warning, "other users can read"); !strings.Contains(f.Fix, "chmod 600 "+config) {
		t.Errorf("fix %q", f.Fix)
	}
	if all := fmt.Sprintf("%+v", d); strings.Contains(all, "hush") {
		t.Errorf("a secret shows in %s", all)
	}
	from := map[string]string{}
	for _, s := range d.Settings {
		from[s.Key] = s.Origin
	}
	if !strings.HasPrefix(from["token"], config) || !strings.HasPrefix(from["uri"], config) {
		t.Errorf("origins %v", from)
	}
	if err := os.Chmod(config, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range checkup(t, Checkup{Catalog: c}).Findings {
		if f.Check == "configuration" {
			t.Errorf("a private file is warned of: %+v", f)
		}
	}
}

// Each day's file is small and each replaces the one before: that is what piles up.
func TestDoctorOfATableInNeed(t *testing.T) {
	dir := t.TempDir()
	var rows strings.Builder
	rows.WriteString("id,day\n")
	for i := range 30 {
		fmt.Fprintf(&rows, "%d,2024-01-%02d\n", i, i+1)
	}
	loadRows(t, dir, "a.b", rows.String(), func(j *Job) { j.PartitionBy = "day" })
	c := Checkup{Catalog: catalog.Config{Dir: dir}, Table: "a.b"}
	cat, tbl, err := Target{Catalog: c.Catalog, Table: c.Table}.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	u, err := inspect(t.Context(), tbl, tbl.CurrentSnapshot())
	if err != nil {
		t.Fatal(err)
	}
	// One small file in each of 30 partitions: compaction could leave no fewer.
	if u.data != 30 || u.small != 30 || u.kept != 30 || u.manifests != 1 || u.oldSpecs+u.equals+u.positions+u.vectors != 0 {
		t.Errorf("counted %+v", u)
	}

	judge := func(u upkeep) Diagnosis {
		d := Diagnosis{}
		d.files("a.b", tbl, u)
		return d
	}
	for _, c := range []struct {
		u     upkeep
		level Level
		text  string
	}{
		{upkeep{data: 400, small: 390, smallBytes: 390 << 20, kept: 30, manifests: 1}, Warning, "390 of 400 data files are small, 1.0 MiB on average; compacted they would be 30"},
		{upkeep{data: 10, equals: 3, manifests: 1}, Warning, "3 equality delete files"},
		{upkeep{data: 10, vectors: 2, manifests: 1}, Warning, "2 deletion vectors"},
		{upkeep{data: 10, positions: 4, manifests: 1}, Note, "4 position delete files"},
		{upkeep{data: 1000, manifests: 300}, Warning, "300 manifests for 1000 data files"},
		{upkeep{data: 10, manifests: 1, oldSpecs: 5}, Note, "5 files were written under an older partition spec"},
	} {
		d := judge(c.u)
		if len(d.Findings) != 1 || d.Findings[0].Level != c.level || !strings.Contains(d.Findings[0].Text, c.text) || d.Findings[0].Fix == "" {
			t.Errorf("%+v gives %+v", c.u, d.Findings)
		}
	}
	for _, sound := range []upkeep{
		{data: 30, small: 30, kept: 30, manifests: 1},
		{data: 1000, small: 110, kept: 10, manifests: 5}, // most files are large
		{data: 10_000, manifests: 300},                   // the manifests are full
	} {
		if d := judge(sound); len(d.Findings) > 0 {
			t.Errorf("%+v gives %+v", sound, d.Findings)
		}
	}
}

// Snapshots and metadata files pile up with every run that changes something.
func TestDoctorCountsSnapshots(t *testing.T) {
	dir := t.TempDir()
	for i := range 60 {
		loadRows(t, dir, "a.b", fmt.Sprintf("id,day\n%d,2024-01-15\n", i), func(j *Job) {
			j.PartitionBy = "day"
			if i == 0 {
				j.TableProps = iceberg.Properties{"write.metadata.previous-versions-max": "100"}
			}
		})
	}
	c := Checkup{Catalog: catalog.Config{Dir: dir}, Table: "a.b"}
	d := checkup(t, c)
	f := found(t, d, "table", Note, "earlier metadata files are kept")
	if !strings.Contains(f.Fix, "write.metadata.delete-after-commit.enabled=true") {
		t.Errorf("fix %q", f.Fix)
	}
	c.Now = func() time.Time { return time.Now().Add(40 * 24 * time.Hour) }
	f = found(t, checkup(t, c), "table", Note, "the oldest of 60 snapshots is 40 days old")
	if !strings.Contains(f.Fix, "expire_snapshots(table => 'a.b')") {
		t.Errorf("fix %q", f.Fix)
	}
}

// A catalog whose commits can get lost is a finding, though loads work.
func TestDoctorOnUnsafeCatalog(t *testing.T) {
	d := Diagnosis{}
	d.unsafe(&catalog.Catalog{Name: "lake", Unsafe: "two can win"})
	d.unsafe(&catalog.Catalog{Name: "safe"})
	if f := found(t, d, "catalog", Warning, "two can win"); len(d.Findings) != 1 || !strings.Contains(f.Fix, "REST or SQL") {
		t.Errorf("findings: %+v", d.Findings)
	}
}
