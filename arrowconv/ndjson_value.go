package arrowconv

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/icewright/icewright/nearest"
)

// object parses the object at p.i into the children of c, and counts one value of c.
func (p *ndjsonParser) object(c *jsonColumn) bool {
	p.i++
	if p.skipSpace() == '}' {
		p.i++
		return p.closeObject(c, 0)
	}
	found, last := 0, 0 // last is 1 more than the child that came last
	for {
		// Writers keep to one order of keys: the child that followed this one the last time comes
		// next, mostly, and its key is compared in one piece, quotes and colon included.
		at := -1
		if guess := c.after[last]; guess < len(c.kids) {
			if k := &c.kids[guess].key; k.begins(p.b[p.i:]) {
				at = guess
				if p.i += len(k.text); p.b[p.i] <= ' ' {
					p.skipSpace()
				}
			}
		}
		if at < 0 {
			if p.b[p.i] != '"' {
				return p.syntax("a key was expected")
			}
			key, ok := p.str()
			if !ok {
				return false
			}
			if at = c.child(key); at < 0 {
				if c != p.root {
					return p.unknownKey(c, string(key))
				}
				place, ok := p.chosen(string(key))
				if !ok {
					return false
				}
				at = place
			}
			if !p.colon() {
				return false
			}
			if at != dropped {
				c.after[last] = at
			}
		}
		if at == dropped {
			if !p.skip(maxDepth) {
				return false
			}
		} else {
			kid := c.kids[at]
			if kid.n < c.n {
				kid.catchUp(c.n)
			} else if kid.n > c.n {
				p.bad = Reject{Column: kid.path, Reason: "the key comes twice in the object"}
				return false
			}
			if !p.value(kid) {
				return false
			}
			found++
			last = at + 1
		}
		// p.next, by hand: this is where the time goes
		ch := p.b[p.i]
		if ch == ',' {
			if p.i++; p.b[p.i] <= ' ' {
				p.skipSpace()
			}
			continue
		}
		more, ok := p.next('}')
		if !ok {
			return false
		}
		if !more {
			return p.closeObject(c, found)
		}
	}
}

// closeObject gives the children that were not found what they have then, mostly a null.
func (p *ndjsonParser) closeObject(c *jsonColumn, found int) bool {
	if found == len(c.kids) {
		c.whole = true
	} else {
		if c == p.root {
			for _, kid := range c.kids {
				kid.named = kid.named || kid.n > c.n
			}
		}
		for _, kid := range c.strict {
			if kid.n > c.n {
				continue
			}
			if bad, ok := kid.putAbsent(); !ok {
				p.bad = bad
				return false
			}
		}
	}
	c.took()
	return true
}

// chosen is the place of a row's key that is no column's name: one that --columns leaves out, or one whose case
// does not matter.
func (p *ndjsonParser) chosen(key string) (int, bool) {
	if p.to.names.Columns == nil && !p.to.names.IgnoreCase {
		return 0, p.unknownKey(p.root, key)
	}
	at, err := p.to.column(Input{Name: p.name}, key)
	if err != nil {
		p.stop = func(int64) error { return err }
	}
	return at, err == nil
}

// unknownKey ends the read: which columns there are is a matter of the schema, not of a row.
func (p *ndjsonParser) unknownKey(c *jsonColumn, key string) bool {
	if c == p.root && slices.Contains(p.to.ours, key) {
		p.stop = func(int64) error { return clash(Input{Name: p.name}, key) }
		return false
	}
	path := key
	var names []string
	for _, kid := range c.kids {
		if kid.name != notUTF8 {
			names = append(names, kid.name)
		}
	}
	if c.path != "" {
		path = c.path + "." + key
	}
	hint := addHint
	if near := nearest.Name(key, names); near != "" {
		hint = "did you mean " + quoteShort(near) + "? Otherwise " + hint
	}
	name := p.name
	p.stop = func(row int64) error {
		return inputErrorf(hint, "%s: row %d: column %s is not in the table", name, row, quoteShort(path))
	}
	return false
}

// value parses the value at p.i into c.
func (p *ndjsonParser) value(c *jsonColumn) bool {
	start := p.i
	switch ch := p.b[start]; {
	case c.kind == jsonVariant && ch != 'n':
		return p.variantValue(c)
	case ch == '"':
		s, ok := p.str()
		if !ok {
			return false
		}
		if c.kind == jsonString {
			c.putText(s)
			return true
		}
		if c.kind == jsonBool || c.kind >= jsonStruct {
			return p.misfit(c, string(s), "it is a string")
		}
		if f := p.fromText(c, s); f != faultNone {
			p.bad = f.reject(0, c.path, s, c.typ)
			return false
		}
		return true
	case ch == '-' || ch-'0' <= 9:
		return p.fromNumber(c)
	case ch == '{':
		switch c.kind {
		case jsonStruct:
			return p.object(c)
		case jsonMap:
			return p.mapObject(c)
		}
	case ch == '[':
		switch c.kind {
		case jsonList:
			return p.list(c, c.kids[0], p.value)
		case jsonMap:
			return p.list(c, c.kids[0], p.entry)
		}
	case ch == 'n':
		if !p.word("null") {
			return false
		}
		if c.required {
			p.bad = Reject{Column: c.path, Value: "null", Want: FormatType(c.typ), Reason: faultNull.String()}
			return false
		}
		c.putBlank(true)
		return true
	case ch == 't' || ch == 'f':
		word, v := "true", byte(1)
		if ch == 'f' {
			word, v = "false", 0
		}
		if !p.word(word) {
			return false
		}
		if c.kind == jsonBool {
			c.data = append(c.data, v)
			c.took()
			return true
		}
		return p.misfit(c, word, "it is a boolean")
	default:
		return p.syntax("a value was expected")
	}
	// An object or an array where another thing belongs. Nonsense in it is still nonsense.
	kind := jsonKind(p.b[start])
	if !p.skip(maxDepth) {
		return false
	}
	return p.misfit(c, string(p.b[start:p.i]), "it is "+kind)
}

// misfit makes the row a reject for a value of the wrong kind.
func (p *ndjsonParser) misfit(c *jsonColumn, value, reason string) bool {
	p.bad = Reject{Column: c.path, Value: value, Want: FormatType(c.typ), Reason: reason}
	return false
}

// list parses an array: each element, by item, into the child elem.
func (p *ndjsonParser) list(c, elem *jsonColumn, item func(*jsonColumn) bool) bool {
	begin := elem.n
	p.i++
	if p.skipSpace() == ']' {
		p.i++
		c.off = append(c.off, int32(elem.n))
		c.took()
		return true
	}
	for {
		if !item(elem) {
			return false
		}
		more, ok := p.next(']')
		if !ok {
			return false
		}
		if !more {
			break
		}
	}
	return p.closeList(c, begin)
}

func (p *ndjsonParser) closeList(c *jsonColumn, begin int) bool {
	if c.kind == jsonMap {
		if key, twice := repeated(c.kids[0].kids[0], begin); twice {
			p.bad = Reject{Column: c.path, Value: key, Reason: "a key comes twice in the map"}
			return false
		}
	}
	c.off = append(c.off, int32(c.kids[0].n))
	c.took()
	return true
}

// entry parses an object of key and value, of a map that is written as an array.
func (p *ndjsonParser) entry(c *jsonColumn) bool {
	if p.b[p.i] == '{' {
		return p.object(c)
	}
	start := p.i
	if !p.skip(maxDepth) {
		return false
	}
	p.bad = Reject{Column: c.path, Reason: `an entry of a map must be an object of "key" and "value", and is ` + jsonKind(p.b[start])}
	return false
}

// mapObject parses an object whose keys are data. Keys that are not strings are their texts.
func (p *ndjsonParser) mapObject(c *jsonColumn) bool {
	entry := c.kids[0]
	key, value := entry.kids[0], entry.kids[1]
	begin := entry.n
	p.i++
	if p.skipSpace() == '}' {
		p.i++
		return p.closeList(c, begin)
	}
	for {
		if p.b[p.i] != '"' {
			return p.syntax("a key was expected")
		}
		s, ok := p.str()
		if !ok {
			return false
		}
		if f := p.fromText(key, s); f != faultNone {
			p.bad = f.reject(0, key.path, s, key.typ)
			return false
		}
		value.catchUp(entry.n) // entries that an array of them left without one
		if !p.colon() || !p.value(value) {
			return false
		}
		entry.took()
		more, ok := p.next('}')
		if !ok {
			return false
		}
		if !more {
			return p.closeList(c, begin)
		}
	}
}

// fewEntries is up to how many keys of a map are compared each with each.
const fewEntries = 16

// repeated finds a key that comes twice among those from begin on.
func repeated(key *jsonColumn, begin int) (string, bool) {
	if key.kind >= jsonStruct { // of a nested key no equality is defined here
		return "", false
	}
	at := func(i int) []byte {
		if key.off != nil {
			return key.data[key.off[i]:key.off[i+1]]
		}
		return key.data[i*key.width : (i+1)*key.width]
	}
	if key.n-begin <= fewEntries {
		for i := begin; i < key.n; i++ {
			for j := begin; j < i; j++ {
				if bytes.Equal(at(i), at(j)) {
					return string(at(i)), true
				}
			}
		}
		return "", false
	}
	seen := make(map[string]struct{}, key.n-begin)
	for i := begin; i < key.n; i++ {
		if _, twice := seen[string(at(i))]; twice {
			return string(at(i)), true
		}
		seen[string(at(i))] = struct{}{}
	}
	return "", false
}

// fromNumber parses the JSON number at p.i into c.
func (p *ndjsonParser) fromNumber(c *jsonColumn) bool {
	start := p.i
	if c.kind == jsonLong || c.kind == jsonInt {
		if v, ok := p.shortInteger(); ok {
			if c.kind == jsonLong {
				c.put8(uint64(v))
				return true
			}
			if v == int64(int32(v)) {
				c.put4(uint32(v))
				return true
			}
		}
	}
	p.i = start
	s, ok := p.number()
	if !ok {
		return false
	}
	var f fault
	switch c.kind {
	case jsonLong, jsonInt, jsonDouble, jsonFloat, jsonDecimal:
		f = p.fromText(c, s)
	default:
		return p.misfit(c, string(s), "it is a number")
	}
	if f != faultNone {
		p.bad = f.reject(0, c.path, s, c.typ)
		return false
	}
	return true
}

// shortInteger reads a number of up to 18 digits and nothing else, or leaves p.i where it is.
func (p *ndjsonParser) shortInteger() (int64, bool) {
	b, i := p.b, p.i
	neg := b[i] == '-'
	if neg {
		i++
	}
	first := i
	var v int64
	for b[i]-'0' <= 9 {
		v = v*10 + int64(b[i]-'0')
		i++
	}
	n := i - first
	if n == 0 || n > 18 || n > 1 && b[first] == '0' || b[i] == '.' || b[i]|0x20 == 'e' {
		return 0, false
	}
	p.i = i
	if neg {
		return -v, true
	}
	return v, true
}

// fromText reads s as the text parsers of every format do and adds it to c, a primitive column.
func (p *ndjsonParser) fromText(c *jsonColumn, s []byte) fault {
	switch c.kind {
	case jsonString:
		c.putText(s)
		return faultNone
	case jsonBinary:
		data, f := appendHex(c.data, s)
		if f == faultNone {
			c.data = data
			c.off = append(c.off, int32(len(data)))
			c.took()
		}
		return f
	case jsonLong:
		v, f := parseInt64(s, '.')
		if f == faultNone {
			c.put8(uint64(v))
		}
		return f
	case jsonInt:
		v, f := parseInt32(s, '.')
		if f == faultNone {
			c.put4(uint32(v))
		}
		return f
	case jsonDouble:
		v, f := parseFloat64(s, '.')
		if f == faultNone {
			c.put8(math.Float64bits(v))
		}
		return f
	case jsonFloat:
		v, f := parseFloat32(s, '.')
		if f == faultNone {
			c.put4(math.Float32bits(v))
		}
		return f
	case jsonBool:
		v, f := parseBool(s)
		if f == faultNone {
			b := byte(0)
			if v {
				b = 1
			}
			c.data = append(c.data, b)
			c.took()
		}
		return f
	case jsonDecimal:
		v, f := parseDecimal(s, c.precision, c.scale, '.')
		if f == faultNone {
			c.putDecimal(v)
		}
		return f
	case jsonDate:
		v, f := parseDate(s)
		if f == faultNone {
			c.put4(uint32(v))
		}
		return f
	case jsonTime:
		v, f := parseTime(s)
		if f == faultNone {
			c.put8(uint64(v))
		}
		return f
	case jsonTimestamp:
		v, f := c.instants.parse(s)
		if f == faultNone {
			c.put8(uint64(v))
		}
		return f
	case jsonUUID:
		v, f := parseUUID(s)
		if f == faultNone {
			c.data = append(c.data, v[:]...)
			c.took()
		}
		return f
	case jsonFixed:
		data, f := appendHex(c.data, s)
		switch {
		case f != faultNone:
			return f
		case len(data)-len(c.data) != c.width:
			return faultLength
		}
		c.data = data
		c.took()
		return faultNone
	}
	return faultNested
}

// putDecimal lays a decimal out as Arrow has it in memory: the low half first.
func (c *jsonColumn) putDecimal(v decimal128.Num) {
	c.data = binary.NativeEndian.AppendUint64(c.data, v.LowBits())
	c.data = binary.NativeEndian.AppendUint64(c.data, uint64(v.HighBits()))
	c.took()
}
