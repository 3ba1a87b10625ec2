package arrowconv

import (
	"bytes"
	"context"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
)

// Format is how an input spells rows. The zero value means that DetectFormat decides.
type Format string

const (
	CSV     Format = "csv"
	TSV     Format = "tsv"
	JSON    Format = "json"
	NDJSON  Format = "ndjson"
	Parquet Format = "parquet"
	Arrow   Format = "arrow"
	Avro    Format = "avro"
)

// format is what there is to know about a Format.
type format struct {
	name       Format
	aliases    []string // other names of it
	extensions []string // of file names, without the dot
	// shared says by the first bytes which of two formats a file with one of the extensions is in. nil
	// where they are this format's alone.
	shared func(head []byte) Format
	// marks tells the format by the first eight bytes of an input, whatever its name: those of formats
	// that no text begins with. nil for texts.
	marks func(head []byte) bool
	// anywhere says that inputs are read at any place rather than from the start to the end.
	anywhere bool
	read     func(context.Context, Input, *target, Options) iter.Seq2[Batch, error]
	infer    func(context.Context, Input, InferOptions) (*iceberg.Schema, error)
}

// formats are all there are, in the order in which people are told of them. What --format takes, its
// help, detection, hints and docs/formats.md come from here.
var formats = []format{
	{name: CSV, extensions: []string{"csv"}, read: readCSV, infer: inferCSV},
	{name: TSV, extensions: []string{"tsv", "tab"}, read: readCSV, infer: inferCSV},
	{name: JSON, extensions: []string{"json", "geojson"}, shared: jsonOrLines, read: readJSON, infer: inferJSON},
	{
		name: NDJSON, aliases: []string{"jsonl"}, extensions: []string{"ndjson", "jsonl", "ldjson"},
		read: readNDJSON, infer: inferNDJSON,
	},
	{
		name: Parquet, extensions: []string{"parquet", "pq", "parq"}, marks: marksParquet, anywhere: true,
		read: readParquet, infer: inferParquet,
	},
	{
		name: Arrow, aliases: []string{"ipc", "feather"}, extensions: []string{"arrow", "arrows", "feather", "ipc"},
		marks: marksArrow, anywhere: true, read: readArrow, infer: inferArrow,
	},
	{name: Avro, extensions: []string{"avro"}, marks: marksAvro, read: readAvro, infer: inferAvro},
}

// packings are the suffixes of compressed files. They say nothing of the format.
var packings = []string{".gz", ".gzip", ".zst", ".zstd", ".bz2", ".bzip2"}

func (f Format) row() (format, bool) {
	i := slices.IndexFunc(formats, func(row format) bool { return row.name == f })
	if i < 0 {
		return format{}, false
	}
	return formats[i], true
}

// Anywhere says whether inputs of the format are read at any place of theirs: with Input.At a load
// spares the temporary file that a stream would have to go through.
func (f Format) Anywhere() bool {
	row, _ := f.row()
	return row.anywhere
}

// FormatNames are the names of all formats, in the order of FormatChoice.
func FormatNames() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f.name)
	}
	return names
}

// FormatChoice names all formats, for help and hints: "csv, tsv, ndjson or parquet".
func FormatChoice() string {
	names := FormatNames()
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// ParseFormat reads the name of a format or an alias of it, in any case; "" is "", which detects.
// Errors wrap ErrInput.
func ParseFormat(name string) (Format, error) {
	if name == "" {
		return "", nil
	}
	var known []string
	for _, f := range formats {
		for _, n := range append([]string{string(f.name)}, f.aliases...) {
			if strings.EqualFold(n, name) {
				return f.name, nil
			}
			known = append(known, n)
		}
	}
	hint := "it is one of " + FormatChoice()
	if near := nearest.Name(strings.ToLower(name), known); near != "" {
		hint = "did you mean " + near + "? " + strings.ToUpper(hint[:1]) + hint[1:]
	}
	return "", inputErrorf(hint, "unknown format %q", name)
}

// FormatMarked is the format that an input's first eight bytes are the mark of; "" for texts and for
// whatever is not known.
func FormatMarked(head []byte) Format {
	for _, f := range formats {
		if f.marks != nil && f.marks(head) {
			return f.name
		}
	}
	return ""
}

// DetectFormat says in which format an input is: by the mark of a binary format, by its name (a
// compression suffix does not matter) or, where both are silent, by its first decompressed bytes.
// Errors wrap ErrInput.
func DetectFormat(name string, head []byte) (Format, error) {
	if f := FormatMarked(head); f != "" {
		return f, nil
	}
	base := strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/")))
	for _, suffix := range packings {
		base = strings.TrimSuffix(base, suffix)
	}
	extension := strings.TrimPrefix(path.Ext(base), ".")
	for _, f := range formats {
		if !slices.Contains(f.extensions, extension) {
			continue
		}
		if f.shared != nil {
			return f.shared(head), nil
		}
		return f.name, nil
	}
	if f := guessText(head); f != "" {
		return f, nil
	}
	return "", inputErrorf("say --format "+FormatChoice(), "%s: neither its name nor its first bytes tell the format", name)
}

// guessText says what a text looks like; "" if like nothing.
func guessText(head []byte) Format {
	text := trimJSONSpace(head)
	if len(text) > 1 {
		// A JSON object begins with a key or ends at once, an array has an object or ends at once; a CSV
		// header may begin with a brace or a bracket too.
		rest := bytes.TrimLeft(text[1:], " \t\r\n")
		if len(rest) > 0 && (text[0] == '{' && (rest[0] == '"' || rest[0] == '}') || text[0] == '[' && (rest[0] == '{' || rest[0] == ']')) {
			return jsonOrLines(text)
		}
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if bytes.IndexByte(line, 0) < 0 {
		tabs, commas := bytes.Count(line, []byte("\t")), bytes.Count(line, []byte(","))
		switch {
		case tabs > commas:
			return TSV
		case commas > 0 || bytes.ContainsAny(line, ";|"):
			return CSV
		}
	}
	return ""
}

// trimJSONSpace is head without its mark and the white space before the text.
func trimJSONSpace(head []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(head, utf8BOM), " \t\r\n")
}

var utf8BOM = []byte("\xef\xbb\xbf")

// marksParquet: a text may begin with PAR1 too, the header of a golfer's score card, but not go on
// as a page or a footer does.
func marksParquet(head []byte) bool {
	rest, ok := bytes.CutPrefix(head, []byte("PAR1"))
	return ok && (len(rest) == 0 || rest[0] < ' ' && !bytes.ContainsRune([]byte("\t\r\n"), rune(rest[0])) || rest[0] >= 0x7f)
}
