package arrowconv

import (
	"encoding/binary"
	"math"
	"time"
)

const (
	nanos         = int64(1)
	micros        = int64(1000)
	secondsPerDay = 24 * 60 * 60
)

// parseDate reads YYYY-MM-DD to days since 1970-01-01. Years go from 0001 to 9999.
func parseDate(s []byte) (int32, fault) {
	if len(s) != 10 {
		if s = trimSpace(s); len(s) != 10 {
			return 0, faultSyntax
		}
	}
	// Eight bytes at a time: the dashes where they belong, and digits elsewhere, that is bytes
	// that neither borrow when '0' is taken away nor carry past 9.
	const dashes, mask = 0x2d00002d00000000, 0xff0000ff00000000
	w := binary.LittleEndian.Uint64(s)
	x := uint64(s[8]) | uint64(s[9])<<8
	if w&mask != dashes {
		return 0, faultSyntax
	}
	d := (w&^mask | 0x3000003000000000) ^ 0x3030303030303030
	x ^= 0x3030
	if (d|(d+0x7676767676767676))&0x8080808080808080 != 0 || (x|(x+0x7676))&0x8080 != 0 {
		return 0, faultSyntax
	}
	year := int32(d&15)*1000 + int32(d>>8&15)*100 + int32(d>>16&15)*10 + int32(d>>24&15)
	month := int32(d>>40&15)*10 + int32(d>>48&15)
	day := int32(x&15)*10 + int32(x>>8&15)
	// Tables, not branches: what day a row has is hard to foresee.
	of := years[year]
	if uint32(day-1) >= uint32(monthLengths[of&1][month]) {
		return 0, faultDate
	}
	if year == 0 {
		return 0, faultYear
	}
	return of>>1 + int32(daysBefore[of&1][month]) + day, faultNone
}

// years has, for each year up to 9999, the days from 1969-12-31 to the end of the year before, times two, and one more
// where it is a leap year.
var years = func() (days [10000]int32) {
	before := int32(-719528 - 1)
	for y := range int32(len(days)) {
		leap := int32(0)
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			leap = 1
		}
		days[y] = before<<1 | leap
		before += 365 + leap
	}
	return days
}()

// monthLengths and daysBefore are the days of each month and before it, in years that are no leap years and in those
// that are. Months are what two digits spell, so that most have no days.
var monthLengths, daysBefore = func() (lengths [2][100]uint8, before [2][100]uint16) {
	for leap := range 2 {
		days := uint16(0)
		for i, n := range [12]uint8{31, 28 + uint8(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31} {
			lengths[leap][i+1], before[leap][i+1] = n, days
			days += uint16(n)
		}
	}
	return lengths, before
}()

// twoDigits reads two digits, or gives a number above 99.
func twoDigits(a, b byte) int64 {
	a, b = a-'0', b-'0'
	if a > 9 || b > 9 {
		return 100
	}
	return int64(a)*10 + int64(b)
}

// scanClock reads hh:mm[:ss[.fraction]] at the head of s to seconds and nanoseconds of the day, and
// gives the rest of s.
func scanClock(s []byte) (sec, nano int64, rest []byte, f fault) {
	if len(s) < 5 || s[2] != ':' {
		return 0, 0, s, faultSyntax
	}
	h, m := twoDigits(s[0], s[1]), twoDigits(s[3], s[4])
	if h > 99 || m > 99 {
		return 0, 0, s, faultSyntax
	}
	sec, rest = h*3600+m*60, s[5:]
	var second int64
	if len(rest) >= 3 && rest[0] == ':' {
		if second = twoDigits(rest[1], rest[2]); second > 99 {
			return 0, 0, s, faultSyntax
		}
		sec += second
		rest = rest[3:]
		if len(rest) > 0 && (rest[0] == '.' || rest[0] == ',') {
			n := digits(rest[1:])
			if n == 0 {
				return 0, 0, s, faultSyntax
			}
			if n > 9 {
				return 0, 0, s, faultFineNano
			}
			for _, c := range rest[1 : 1+n] {
				nano = nano*10 + int64(c-'0')
			}
			nano *= int64(pow10[9-n])
			rest = rest[1+n:]
		}
	}
	if h > 23 || m > 59 || second > 59 {
		return 0, 0, s, faultClock
	}
	return sec, nano, rest, faultNone
}

// parseTime reads hh:mm[:ss[.fraction]] to microseconds since midnight.
func parseTime(s []byte) (int64, fault) {
	sec, nano, rest, f := scanClock(trimSpace(s))
	switch {
	case f != faultNone:
		return 0, f
	case len(rest) > 0:
		return 0, faultSyntax
	case nano%micros != 0:
		return 0, faultFine
	}
	return sec*1_000_000 + nano/micros, faultNone
}

// moment is what a timestamp's text says, before any zone is assumed.
type moment struct {
	sec    int64 // since 1970-01-01T00:00:00 on the wall clock of the text
	nano   int64
	zoned  bool
	offset int64 // of the text's zone, in seconds east of UTC
}

// parseMoment reads date[(T| )clock[zone]]. A date alone is its midnight.
func parseMoment(s []byte) (m moment, f fault) {
	if s = trimSpace(s); len(s) < 10 {
		return m, faultSyntax
	}
	days, f := parseDate(s[:10])
	if f != faultNone {
		return m, f
	}
	m.sec = int64(days) * secondsPerDay
	if s = s[10:]; len(s) == 0 {
		return m, faultNone
	}
	if s[0] != 'T' && s[0] != 't' && s[0] != ' ' {
		return m, faultSyntax
	}
	sec, nano, s, f := scanClock(s[1:])
	if f != faultNone {
		return m, f
	}
	m.sec, m.nano = m.sec+sec, nano
	m.offset, m.zoned, f = parseOffset(s)
	return m, f
}

// parseOffset reads nothing, Z, " UTC", +hh, +hhmm or +hh:mm, up to 18 hours either way.
func parseOffset(s []byte) (seconds int64, zoned bool, f fault) {
	switch string(s) {
	case "":
		return 0, false, faultNone
	case "Z", "z", " UTC":
		return 0, true, faultNone
	}
	if len(s) < 3 || s[0] != '+' && s[0] != '-' {
		return 0, false, faultSyntax
	}
	h, m := twoDigits(s[1], s[2]), int64(0)
	switch rest := s[3:]; {
	case len(rest) == 2:
		m = twoDigits(rest[0], rest[1])
	case len(rest) == 3 && rest[0] == ':':
		m = twoDigits(rest[1], rest[2])
	case len(rest) != 0:
		return 0, false, faultSyntax
	}
	if h > 99 || m > 99 {
		return 0, false, faultSyntax
	}
	if m > 59 || h*60+m > 18*60 {
		return 0, false, faultOffset
	}
	seconds = h*3600 + m*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true, faultNone
}

// instants reads the texts of a timestamp column to units since 1970-01-01T00:00:00 (UTC, where the
// column is zoned). It is for one goroutine: it remembers the offset of the zone around the last text.
type instants struct {
	unit  int64          // in nanoseconds: micros or nanos
	zoned bool           // timestamptz: the column holds instants
	zone  *time.Location // of texts without a zone; nil is UTC

	// Wall-clock seconds in [from, to) are offset seconds east of UTC, and nothing else.
	from, to, offset int64
}

func (z *instants) parse(s []byte) (int64, fault) {
	m, f := parseMoment(s)
	if f != faultNone {
		return 0, f
	}
	switch {
	case !z.zoned:
		if m.zoned {
			return 0, faultZoned
		}
	case m.zoned:
		m.sec -= m.offset
	case z.zone != nil && z.zone != time.UTC:
		if m.sec < z.from || m.sec >= z.to {
			if f := z.lookup(m.sec); f != faultNone {
				return 0, f
			}
		}
		m.sec -= z.offset
	}
	if m.nano%z.unit != 0 {
		return 0, faultFine
	}
	if z.unit == micros {
		return m.sec*1_000_000 + m.nano/micros, faultNone
	}
	if !inNanos(m.sec, m.nano) {
		return 0, faultRange
	}
	return m.sec*1_000_000_000 + m.nano, faultNone // the product alone may wrap around, and the sum wraps back
}

// 64 bits of nanoseconds reach from 1677-09-21T00:12:43.145224192 to 2262-04-11T23:47:16.854775807.
const (
	minNanoSec, minNanoRest = -9223372037, 145224192
	maxNanoSec, maxNanoRest = 9223372036, 854775807
)

// inNanos says whether an instant has a number of nanoseconds.
func inNanos(sec, nano int64) bool {
	switch sec {
	case minNanoSec:
		return nano >= minNanoRest
	case maxNanoSec:
		return nano <= maxNanoRest
	}
	return sec > minNanoSec && sec < maxNanoSec
}

// lookup finds the offset of the zone at a wall clock. A wall clock that comes twice, when clocks are
// put back, means its first coming (the offset before the change); one that never comes is a fault.
func (z *instants) lookup(wall int64) fault {
	const day = secondsPerDay
	offset := func(instant int64) int64 {
		_, o := time.Unix(instant, 0).In(z.zone).Zone()
		return int64(o)
	}
	// The zone's offset a day before and a day after are those on either side of a change nearby.
	before, after := offset(wall-day), offset(wall+day)
	found, first := false, int64(0)
	for _, o := range [...]int64{before, after, offset(wall - before), offset(wall - after)} {
		if u := wall - o; offset(u) == o && (!found || u < first) {
			found, first = true, u
		}
	}
	if !found {
		return faultGap
	}
	z.offset = wall - first
	// Where the next change is more than a day away on either side, no other offset can be meant.
	z.from, z.to = wall, wall+1
	start, end := time.Unix(first, 0).In(z.zone).ZoneBounds()
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	if !start.IsZero() {
		lo = start.Unix() + z.offset + day
	}
	if !end.IsZero() {
		hi = end.Unix() + z.offset - day
	}
	if lo <= wall && wall < hi {
		z.from, z.to = lo, hi
	}
	return faultNone
}
