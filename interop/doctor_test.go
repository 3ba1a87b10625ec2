//go:build interop

package interop

import (
	"slices"
	"strings"
	"testing"
)

// Doctor finds real catalogs and stores as sound as the other tests find them, by trying out what
// a load does; and it leaves nothing behind.
func TestDoctor(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			l := b.open(t)
			table := l.table(t)
			l.put(t, "rows.csv", "id,day\n1,2024-01-15\n")
			l.load(t, table, "rows.csv", "--partition-by", "day")
			before := l.everything(t)
			p := l.start(t, "doctor", table)
			if code := p.end(t); code != 0 {
				t.Errorf("exit code %d: %s", code, &p.stderr)
			}
			out := p.stdout.String()
			for _, want := range []string{"works: ", "list", "write, read, remove", table + ": needs nothing", "loads will work"} {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
			if l.s3 != nil {
				for _, want := range []string{"works: keys (", "addressed by path style", "upload in parts", "If-None-Match is heeded", "agrees with this machine's"} {
					if !strings.Contains(out, want) {
						t.Errorf("%q is not in\n%s", want, out)
					}
				}
				if strings.Contains(out, l.s3.Properties()["s3.secret-access-key"]) {
					t.Error("the secret key is printed")
				}
			}
			if after := l.everything(t); !slices.Equal(after, before) {
				t.Errorf("before:\n%q\nafter:\n%q", before, after)
			}
		})
	}
}
