package publish

import "testing"

// The spellings are Java's, so that a manifest reads the same whoever wrote it.
func TestAvroName(t *testing.T) {
	for name, want := range map[string]string{
		"ts_day": "ts_day", "address.city": "address_x2Ecity", "order-id": "order_x2Did", "a b": "a_x20b",
		"9lives": "_9lives", "größe": "gr_xF6_xDFe", "😎": "_xD83D_xDE0E",
	} {
		if got := avroName(name); got != want {
			t.Errorf("avroName(%q) = %q, want %q", name, got, want)
		}
	}
}
