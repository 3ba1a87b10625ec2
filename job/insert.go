package job

import (
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
)

// checkWindow reads --window, which goes with --event-time.
func (j Job) checkWindow(s *settings) (err error) {
	switch {
	case j.Window == "" && j.EventTime == "":
		return nil
	case j.Window == "":
		return usage("say --window 24h, or leave --event-time out to look at all rows with a key", "--event-time needs --window: how far apart copies of an event may be")
	case j.EventTime == "":
		return usage("name the column that tells when an event was: --event-time ts", "--window needs --event-time")
	}
	if s.window, err = parseWindow(j.Window); err != nil {
		return err
	}
	return nil
}

// parseWindow reads a duration: Go's, "36h" or "1h30m", or days and weeks, "7d" or "2w".
func parseWindow(text string) (time.Duration, error) {
	const hint = "say a duration such as 90m, 24h, 7d or 2w"
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		number, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 {
			return 0, usage(hint, "--window: %q is no duration", text)
		}
		if n > int64(math.MaxInt64/length) {
			return 0, usage("leave --window out to look at all rows with a key", "--window: %s is too long", text)
		}
		return time.Duration(n) * length, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, usage(hint, "--window: %q is no duration", text)
	}
	if d < 0 {
		return 0, usage(hint, "--window: %s is negative; a window reaches to both sides of a row's time", text)
	}
	return d, nil
}

// bloomEnabled is the property that asks for Bloom filters of a column.
const bloomEnabled = "write.parquet.bloom-filter-enabled.column."

// withFilters has the files of a table that is made to be matched by key have Bloom filters of the key's columns,
// unless the job says something else of a column.
func (j Job) withFilters(s settings, spec catalog.TableSpec) catalog.TableSpec {
	if spec.Schema == nil || j.mode() != Merge && j.mode() != Insert {
		return spec
	}
	props := iceberg.Properties{}
	for _, name := range s.key {
		f, ok := spec.Schema.FindFieldByName(name)
		if !ok {
			continue // the load says so
		}
		if _, boolean := f.Type.(iceberg.BooleanType); !boolean {
			props[bloomEnabled+name] = "true"
		}
	}
	maps.Copy(props, spec.Props)
	spec.Props = props
	return spec
}
