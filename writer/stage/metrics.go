package stage

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// metricsMode says what of a column's statistics goes to the manifest.
type metricsMode struct {
	counted bool // value, null and NaN counts
	width   int  // of bounds: 0 none, below 0 whole values
}

const maxInferredKey, maxInferredDefault = "write.metadata.metrics.max-inferred-column-defaults", 100

var (
	modeNone        = metricsMode{}
	modeDefault     = metricsMode{counted: true, width: 16}
	truncateMode    = regexp.MustCompile(`^truncate\(\s*([0-9]+)\s*\)$`)
	columnModeStart = table.MetricsModeColumnConfPrefix + "."
)

func parseMetricsMode(key, text string) (metricsMode, error) {
	switch mode := strings.ToLower(strings.TrimSpace(text)); mode {
	case "none":
		return modeNone, nil
	case "counts":
		return metricsMode{counted: true}, nil
	case "full":
		return metricsMode{counted: true, width: -1}, nil
	default:
		if m := truncateMode.FindStringSubmatch(mode); m != nil {
			if width, err := strconv.Atoi(m[1]); err == nil && width > 0 {
				return metricsMode{counted: true, width: width}, nil
			}
		}
	}
	return modeNone, fmt.Errorf("%w: %s is %q, not none, counts, truncate(length) or full", ErrProperty, key, text)
}

func (m metricsMode) bounds() bool { return m.width != 0 }

func (m metricsMode) lower(v []byte, cut func([]byte, int) []byte) []byte {
	if m.width < 0 {
		return v
	}
	return cut(v, m.width)
}

// upper is v where it is short enough, else the successor of its start; nil where there is none.
func (m metricsMode) upper(v []byte, cut func([]byte, int) []byte, next func([]byte) []byte) []byte {
	if m.width < 0 {
		return v
	}
	short := cut(v, m.width)
	if len(short) == len(v) {
		return v
	}
	return next(short)
}

// setMetricsModes sets every leaf's mode as Java's MetricsConfig does: the table's default, or
// without one truncate(16) for the first hundred leaves and none for the rest; sorted columns
// at least truncate(16); then what the table says of the column itself.
func setMetricsModes(leaves []*leaf, props iceberg.Properties, sorted map[int]bool) error {
	limit := len(leaves)
	mode := modeDefault
	if text, ok := props[table.DefaultWriteMetricsModeKey]; ok {
		m, err := parseMetricsMode(table.DefaultWriteMetricsModeKey, text)
		if err != nil {
			return err
		}
		mode = m
	} else {
		most, err := strconv.Atoi(props.Get(maxInferredKey, strconv.Itoa(maxInferredDefault)))
		if err != nil || most < 0 {
			return fmt.Errorf("%w: %s is %q, not a number from 0", ErrProperty, maxInferredKey, props[maxInferredKey])
		}
		limit = most
	}
	for i, l := range leaves {
		l.mode = mode
		if i >= limit {
			l.mode = modeNone
		}
		if sorted[l.id] && !l.mode.bounds() {
			l.mode = modeDefault
		}
		if text, ok := props[columnModeStart+l.path]; ok {
			m, err := parseMetricsMode(columnModeStart+l.path, text)
			if err != nil {
				return err
			}
			l.mode = m
		}
		if l.id == iceberg.RowIDFieldID || l.id == iceberg.LastUpdatedSequenceNumberFieldID {
			l.mode = modeNone // no filter is on them, and not every reader knows the ids
		}
	}
	return nil
}
