package nearest

import "testing"

func TestName(t *testing.T) {
	known := []string{"partition-by", "table", "slice", "max-shrink", "id", "departed_at", "Region", "csv-no-header", "csv-null"}
	for typed, want := range map[string]string{
		"partiton-by": "partition-by", "tabel": "table", "tble": "table", "slcie": "slice", "maxshrink": "max-shrink", "departed": "departed_at",
		"departedAt": "departed_at", "no-header": "csv-no-header", "null": "csv-null", "header": "csv-no-header", "by": "partition-by", "y": "", "region": "Region", "di": "id", "colour": "", "x": "", "": "",
	} {
		if got := Name(typed, known); got != want {
			t.Errorf("Name(%q) = %q, want %q", typed, got, want)
		}
	}
}
