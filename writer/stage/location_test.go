package stage

import (
	"path"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/writer/slice"
)

// TestNoValueLeavesTheTable: whatever texts the rows bring, and whatever a partition field is called, a data
// file lies below the table's data folder, in one folder for each field.
func TestNoValueLeavesTheTable(t *testing.T) {
	nasty := rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{"..", ".", "/", "../../etc/passwd", `..\..`, "%2e%2e%2f", "a/../../b", "\x00", "\n", "~", "", "…/…", "s3://other/bucket", "?x=1#y", "file:///etc"}),
		rapid.StringMatching(`[./%\\~=]{1,300}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "c", Type: iceberg.PrimitiveTypes.String})
		var fields []iceberg.PartitionField
		values := map[int]any{}
		for i := range rapid.IntRange(1, 3).Draw(t, "fields") {
			name := nasty.Filter(func(s string) bool { return s != "" }).Draw(t, "name")
			fields = append(fields, iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000 + i, Name: name, Transform: iceberg.IdentityTransform{}})
			values[1000+i] = nasty.Draw(t, "value")
		}
		part := slice.NewPartition(iceberg.NewPartitionSpec(fields...), schema, values)
		for _, props := range []iceberg.Properties{
			{}, {table.ObjectStoreEnabledKey: "true"}, {table.ObjectStoreEnabledKey: "true", table.WriteObjectStorePartitionedPathsKey: "false"},
		} {
			l := newLocations("s3://bucket/lake/t", props)
			got := l.file(part.Path, "f.parquet")
			below, ok := strings.CutPrefix(got, "s3://bucket/lake/t/data/")
			if !ok || path.Clean("/"+below) != "/"+below || !strings.HasSuffix(got, "f.parquet") {
				t.Fatalf("%q", got)
			}
			if folders := strings.Count(below, "/"); len(props) == 0 && folders != len(fields) {
				t.Fatalf("%d folders for %d fields: %q", folders, len(fields), got)
			}
			if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == '\\' || r == '?' || r == '#' }) {
				t.Fatalf("%q", got)
			}
		}
	})
}

func TestLongPartitionsHaveShortFolders(t *testing.T) {
	l := newLocations("/lake/t", iceberg.Properties{})
	seen := map[string]string{}
	for _, partition := range []string{
		"s=" + strings.Repeat("%E6%BC%A2", 30),
		"s=" + strings.Repeat("%E6%BC%A2", 30) + "x",
		"s=x" + strings.Repeat("%E6%BC%A2", 30),
		"s=xx" + strings.Repeat("%E6%BC%A2", 30),
		"a=1/s=" + strings.Repeat("y", 5000) + "/b=" + strings.Repeat("%20", 400),
		"s=short/t=" + strings.Repeat("z", 190),
	} {
		got := l.file(partition, "f.parquet")
		for _, folder := range strings.Split(got, "/") {
			if len(folder) > maxSegment {
				t.Errorf("%d bytes in one folder: %s", len(folder), folder)
			}
			cut, _, _ := strings.Cut(folder, "~")
			if p := strings.LastIndexByte(cut, '%'); p >= 0 && p > len(cut)-3 {
				t.Errorf("an escape is cut: %s", cut)
			}
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s have one folder", other, partition)
		}
		seen[got] = partition
	}
	if got, want := l.file("s=short/t=1", "f.parquet"), "/lake/t/data/s=short/t=1/f.parquet"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
