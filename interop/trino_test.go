//go:build interop

package interop

import (
	"context"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/icewright/icewright/localstack/stack"
)

// trino serves all tests of a run. It starts when first asked for, which takes a quarter of a minute.
var trino = server(func() (*stack.Trino, error) {
	return stack.StartTrino(context.Background(), world.tools, serverOptions("trino"), nil)
})

// inTrino adds to a request what leads reader/trino.py to the server, and the server to the lake.
func (l *lake) inTrino(t testing.TB, request map[string]any) map[string]any {
	t.Helper()
	out := maps.Clone(request)
	if out == nil {
		out = map[string]any{}
	}
	out["server"], out["settings"] = trino(t).URI, stack.TrinoCatalog(l.rest, l.s3)
	return out
}

// trinoNames are the types that Trino calls otherwise.
var trinoNames = map[string]string{
	"long": "bigint", "int": "integer", "float": "real", "string": "varchar", "binary": "varbinary", "struct": "row", "list": "array",
	"time": "time(6)", "timestamp": "timestamp(6)", "timestamptz": "timestamp(6) with time zone",
}

var (
	fieldColon = regexp.MustCompile(`(\w+): `)
	ofTypes    = strings.NewReplacer("<", "(", ">", ")", "!", "")
)

// trinoType is an Iceberg type as Trino spells it. What is required it does not tell.
func trinoType(kind string) string {
	kind = fixed.ReplaceAllString(kind, "binary")
	// Names of fields are put aside with a sign that no type has.
	kind = fieldColon.ReplaceAllString(kind, "$1@")
	kind = regexp.MustCompile(`[a-z_]+@?`).ReplaceAllStringFunc(kind, func(name string) string {
		if other, ok := trinoNames[name]; ok {
			return other
		}
		return name
	})
	return ofTypes.Replace(strings.ReplaceAll(kind, "@", " "))
}
