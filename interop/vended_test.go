//go:build interop

package interop

import (
	"context"
	"strings"
	"testing"

	"github.com/icewright/icewright/localstack/stack"
)

// vendingNessie is Nessie with MinIO's STS behind it: it makes temporary keys for each table.
var vendingNessie = func() func(testing.TB) *stack.REST {
	var s3 *stack.S3
	start := server(func() (*stack.REST, error) {
		o := serverOptions("nessie-vending")
		o.Vend = true
		return stack.StartNessie(context.Background(), world.tools, o, s3)
	})
	return func(t testing.TB) *stack.REST { s3 = minio(t); return start(t) }
}()

// A load without any S3 key of its own, with the temporary ones that a real catalog gets from
// a real STS; without those it is refused by the store.
func TestVendedKeysOfARealCatalog(t *testing.T) {
	rest, s3 := vendingNessie(t), minio(t)
	l := restLake(t, rest, s3)
	table := l.table(t)
	var flags []string
	for i := 0; i < len(l.flags); i += 2 {
		if !strings.Contains(l.flags[i+1], "access-key") {
			flags = append(flags, l.flags[i:i+2]...)
		}
	}
	l.flags = flags
	l.put(t, "in.csv", "p,n\na,1\nb,2\n")
	if r := l.load(t, table, "in.csv", "--partition-by", "p"); r.Status != "published" || r.RowsWritten != 2 {
		t.Errorf("%+v", r)
	}
	if r := l.load(t, table, "in.csv", "--partition-by", "p"); r.Status != "unchanged" {
		t.Errorf("again: %+v", r)
	}
	l.put(t, "in.csv", "p,n\na,1\nb,3\n")
	p := l.start(t, loadArgs(table, "in.csv", "--no-vended-credentials")...)
	if code := p.end(t); code == 0 {
		t.Errorf("without any keys: exit code %d\n%s", code, &p.stdout)
	}
	if r := l.load(t, table, "in.csv"); r.Status != "published" {
		t.Errorf("changed: %+v", r)
	}
}
