package catalog

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	iceio "github.com/apache/iceberg-go/io"
)

// AvroName spells a name as Iceberg's Java library does where Avro does not allow it: each UTF-16 unit that is no
// letter, digit or underscore becomes _x and its hexadecimal digits, and a digit in front gets an underscore.
// Java takes letters of every script for letters; Avro's specification, and the library here, only those of ASCII.
func AvroName(name string) string {
	var b strings.Builder
	for i, c := range utf16.Encode([]rune(name)) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		switch {
		case letter || digit && i > 0:
			b.WriteByte(byte(c))
		case digit:
			b.WriteString("_" + string(rune(c)))
		default:
			fmt.Fprintf(&b, "_x%X", c)
		}
	}
	return b.String()
}

// withAvroNames reads f, an Avro file, with AvroName for the names that Java wrote with letters beyond ASCII:
// partition fields of manifests have them. Iceberg finds fields by id, so it makes no difference what they are
// called. Whatever else f is, it is read as it is.
func withAvroNames(name string, f iceio.File) iceio.File {
	if !strings.HasSuffix(name, ".avro") {
		return f
	}
	return &avroFile{File: f}
}

// avroFile is a file whose header may be another when it is read from the start to the end.
type avroFile struct {
	iceio.File
	from io.Reader // nil before the first Read
}

func (f *avroFile) Read(p []byte) (int, error) {
	if f.from == nil {
		f.from = spelt(f.File)
	}
	return f.from.Read(p)
}

// Seek goes to a place of the file as it is stored.
func (f *avroFile) Seek(offset int64, whence int) (int64, error) {
	f.from = f.File
	if offset == 0 && whence == io.SeekStart {
		f.from = nil
	}
	return f.File.Seek(offset, whence)
}

// spelt is in with the names of its header spelt for Avro.
func spelt(in io.Reader) io.Reader {
	var raw bytes.Buffer
	r := bufio.NewReader(in)
	h, err := readAvroHeader(bufferedTee{r, &raw})
	if err == nil {
		if schema, changed := spellNames(h.schema()); changed {
			h.set(schema)
			return io.MultiReader(bytes.NewReader(h.bytes()), r)
		}
	}
	return io.MultiReader(&raw, r)
}

// bufferedTee keeps what is read of r, to the byte.
type bufferedTee struct {
	r    *bufio.Reader
	kept *bytes.Buffer
}

func (t bufferedTee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.kept.Write(p[:n])
	return n, err
}

func (t bufferedTee) ReadByte() (byte, error) {
	b, err := t.r.ReadByte()
	if err == nil {
		t.kept.WriteByte(b)
	}
	return b, err
}

// avroHeader is the beginning of an Avro object container file. Source: avro.apache.org/docs/1.12.0/specification.
type avroHeader struct {
	entries []avroEntry
	sync    [16]byte
}

type avroEntry struct {
	key   string
	value []byte
}

var avroMagic = []byte("Obj\x01")

// longestAvroHeader bounds a header's part. Tables of ten thousand columns have manifests with less.
const longestAvroHeader = 16 << 20

var errNoAvroHeader = errors.New("no header of an Avro file")

func readAvroHeader(r bufferedTee) (h avroHeader, err error) {
	magic := make([]byte, len(avroMagic))
	if _, err := io.ReadFull(r, magic); err != nil || !bytes.Equal(magic, avroMagic) {
		return h, errNoAvroHeader
	}
	text := func() ([]byte, error) {
		n, err := binary.ReadVarint(r)
		if err != nil || n < 0 || n > longestAvroHeader {
			return nil, errNoAvroHeader
		}
		var b bytes.Buffer // grows as there is something, whatever the length says
		_, err = io.CopyN(&b, r, n)
		return b.Bytes(), err
	}
	for {
		n, err := binary.ReadVarint(r)
		if err != nil {
			return h, err
		}
		if n == 0 {
			break
		}
		if n < 0 { // and the size of the block in bytes
			n = -n
			if _, err := binary.ReadVarint(r); err != nil {
				return h, err
			}
		}
		for range n {
			key, err := text()
			if err != nil {
				return h, err
			}
			value, err := text()
			if err != nil {
				return h, err
			}
			h.entries = append(h.entries, avroEntry{string(key), value})
		}
	}
	_, err = io.ReadFull(r, h.sync[:])
	return h, err
}

const avroSchema = "avro.schema"

func (h *avroHeader) schema() []byte {
	for _, e := range h.entries {
		if e.key == avroSchema {
			return e.value
		}
	}
	return nil
}

func (h *avroHeader) set(schema []byte) {
	for i := range h.entries {
		if h.entries[i].key == avroSchema {
			h.entries[i].value = schema
		}
	}
}

func (h *avroHeader) bytes() []byte {
	b := binary.AppendVarint(bytes.Clone(avroMagic), int64(len(h.entries)))
	for _, e := range h.entries {
		for _, text := range [][]byte{[]byte(e.key), e.value} {
			b = append(binary.AppendVarint(b, int64(len(text))), text...)
		}
	}
	return append(append(b, 0), h.sync[:]...)
}

// spellNames gives the fields of a schema names that Avro allows.
func spellNames(schema []byte) (_ []byte, changed bool) {
	if bytes.IndexFunc(schema, func(r rune) bool { return r > 0x7f }) < 0 && !bytes.Contains(schema, []byte(`\u`)) {
		return schema, false
	}
	d := json.NewDecoder(bytes.NewReader(schema))
	d.UseNumber()
	var node any
	if err := d.Decode(&node); err != nil {
		return schema, false
	}
	if changed = spell(node); !changed {
		return schema, false
	}
	out, err := json.Marshal(node)
	return out, err == nil
}

func spell(node any) (changed bool) {
	switch n := node.(type) {
	case []any:
		for _, e := range n {
			changed = spell(e) || changed
		}
	case map[string]any:
		fields, _ := n["fields"].([]any)
		for _, f := range fields {
			f, _ := f.(map[string]any)
			if name, ok := f["name"].(string); ok && AvroName(name) != name {
				f["name"], changed = AvroName(name), true
			}
			changed = spell(f["type"]) || changed
		}
		for _, below := range []string{"type", "items", "values"} {
			changed = spell(n[below]) || changed
		}
	}
	return changed
}
