package job

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

// ErrUnwell says that Doctor found something that keeps loads from working.
var ErrUnwell = errors.New("doctor")

// Checkup says what Doctor looks at.
type Checkup struct {
	Catalog catalog.Config
	// Table is looked at too. Default, "": no table.
	Table string
	// ReadOnly leaves out what writes: no file is written to the warehouse, not even for a moment.
	ReadOnly bool
	// Now is the clock that snapshots' ages are told by. Default, nil: time.Now.
	Now func() time.Time
}

// Diagnosis is what Doctor found.
type Diagnosis struct {
	Catalog string `json:"catalog"`
	Type    string `json:"type"`
	Table   string `json:"table"`
	// Settings are what the catalog was opened with, where each came from, and no secret.
	Settings []Setting `json:"settings"`
	Findings []Finding `json:"findings"`
}

// Setting is a property that the catalog was opened with.
type Setting struct {
	Key string `json:"key"`
	// Value is what may be shown of it.
	Value string `json:"value"`
	// Origin is where it was said: a flag, a variable, a file with its line.
	Origin string `json:"origin"`
}

// Finding is one thing that Doctor saw.
type Finding struct {
	// Check is what was looked at: configuration, catalog, warehouse, clock, table.
	Check string `json:"check"`
	Level Level  `json:"level"`
	// About is the thing itself: a file, a location, a table.
	About string `json:"about"`
	Text  string `json:"text"`
	// Fix is what to do; never empty where Level is Warning or Problem.
	Fix string `json:"fix"`

	err error // of a Problem; nil where the finding is no error of somebody's
}

// Level is how much a finding matters.
type Level string

// The levels, the mildest first.
const (
	Fine    Level = "ok"
	Note    Level = "note"    // good to know
	Warning Level = "warning" // loads work, something else will hurt
	Problem Level = "problem" // loads do not work
)

// Err is nil where loads should work. Else it wraps ErrUnwell and, where a call failed, its error.
func (d Diagnosis) Err() error {
	for _, f := range d.Findings {
		if f.Level != Problem {
			continue
		}
		text := f.Check + ": " + f.Text
		if f.err != nil {
			return &Error{Class: errors.Join(f.err, ErrUnwell), Text: text, Advice: f.Fix}
		}
		return &Error{Class: ErrUnwell, Text: text, Advice: f.Fix}
	}
	return nil
}

// Doctor looks at what a load would use: which configuration wins, whether the catalog and the
// warehouse can be read, written and listed, whether clocks agree, what the store is like and,
// where c names a table, what that needs. What it finds is in the Diagnosis, failures included;
// its error is for what keeps it from looking at all, and wraps ErrUsage.
func Doctor(ctx context.Context, c Checkup) (Diagnosis, error) {
	d := Diagnosis{Findings: []Finding{}, Table: c.Table, Settings: []Setting{}}
	if c.Table != "" {
		if _, err := parseTable(c.Table); err != nil {
			return d, err
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	settings, err := c.Catalog.Explain()
	if err != nil {
		d.failed("configuration", "", err, "mend the configuration")
		return d, nil
	}
	for _, s := range settings {
		d.Settings = append(d.Settings, Setting(s))
	}
	d.readableSecrets()

	c.Catalog.Existing = true // looking makes nothing
	cat, err := catalog.Open(ctx, c.Catalog)
	switch {
	case errors.Is(err, catalog.ErrConfig) && errors.Is(err, fs.ErrNotExist) && c.Table == "":
		d.add("catalog", Note, "", "", "%v: it is made by the first load", err)
		return d, nil
	case err != nil:
		d.failed("catalog", "", err, "check uri, credential and the network")
		return d, nil
	}
	defer cat.Close()
	d.Catalog, d.Type = cat.Name, cat.Type
	d.look(ctx, c, cat)
	return d, ctx.Err()
}

func (d *Diagnosis) add(check string, level Level, about, fix, format string, args ...any) {
	d.Findings = append(d.Findings, Finding{Check: check, Level: level, About: about, Text: fmt.Sprintf(format, args...), Fix: fix})
}

// failed notes an error; fix is for one that has no advice of its own.
func (d *Diagnosis) failed(check, about string, err error, fix string) {
	if h := Hint(err); h != "" {
		fix = h
	}
	d.Findings = append(d.Findings, Finding{Check: check, Level: Problem, About: about, Text: err.Error(), Fix: fix, err: err})
}

// readableSecrets warns of configuration files that hold secrets and that other users can read.
func (d *Diagnosis) readableSecrets() {
	seen := map[string]bool{}
	for _, s := range d.Settings {
		file := lineNumber.ReplaceAllString(s.Origin, "")
		if !strings.Contains(s.Value, catalog.Redacted) || seen[file] {
			continue
		}
		seen[file] = true
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o044 != 0 {
			d.add("configuration", Warning, file, "chmod 600 "+file, "other users can read %s in it", s.Key)
		}
	}
}

var lineNumber = regexp.MustCompile(`:\d+$`)

// look goes from the catalog to its warehouse to the table.
func (d *Diagnosis) look(ctx context.Context, c Checkup, cat *catalog.Catalog) {
	started := time.Now()
	namespaces, err := cat.ListNamespaces(ctx, nil)
	if err != nil {
		d.failed("catalog", cat.Name, err, "check uri, credential and the network")
		return
	}
	d.add("catalog", Fine, cat.Name, "", "answers in %d ms, top-level namespaces: %d", time.Since(started).Milliseconds(), len(namespaces))
	d.unsafe(cat)
	if at, sent, got, ok := cat.ServerTime(ctx); ok {
		d.clock("the catalog's server", catalog.Skew(at, sent, got))
	}

	var tbl *table.Table
	if c.Table != "" {
		ident, _ := parseTable(c.Table)
		if tbl, err = cat.LoadTable(ctx, ident); err != nil {
			d.failed("table", c.Table, tableError(ctx, cat, c.Table, err), "check the table's name")
		}
	}
	location := cat.Props["warehouse"]
	if tbl != nil {
		location = tbl.Location()
	}
	d.warehouse(ctx, c, cat, location)
	if tbl != nil {
		d.health(ctx, c, tbl)
	}
}

// unsafe warns of a catalog in which commits can get lost.
func (d *Diagnosis) unsafe(cat *catalog.Catalog) {
	if cat.Unsafe != "" {
		d.add("catalog", Warning, cat.Name, "move the tables into a REST or SQL catalog; until then, let nothing but icewright write to them", "%s", cat.Unsafe)
	}
}

// tolerated is how far clocks may be apart. S3 refuses requests from 15 minutes on; the fence
// between attempts of a job goes by the clocks of the machines that they run on.
const tolerated = 5 * time.Second

func (d *Diagnosis) clock(whose string, skew time.Duration) {
	about := skew.Abs().Round(time.Second)
	switch direction := "ahead of"; {
	case skew.Abs() <= tolerated:
		d.add("clock", Fine, whose, "", "agrees with this machine's")
	default:
		if skew < 0 {
			direction = "behind"
		}
		level := Warning
		if skew.Abs() >= 15*time.Minute {
			level = Problem
		}
		d.add("clock", level, whose, "keep the clocks in step, with chrony or systemd-timesyncd: signatures and the fence between attempts go by them",
			"is %s %s this machine's", about, direction)
	}
}

func (d *Diagnosis) warehouse(ctx context.Context, c Checkup, cat *catalog.Catalog, location string) {
	u, err := url.Parse(location)
	if location == "" || err != nil || cat.Type == "rest" && u.Scheme == "" && c.Table == "" {
		d.add("warehouse", Note, location, "name a table to have the place of its files looked at: icewright doctor NS.NAME", "where tables go is the server's to say")
		return
	}
	probes, skew := cat.ProbeStorage(ctx, location, !c.ReadOnly)
	var works []string
	for _, p := range probes {
		switch {
		case p.Err != nil && p.Optional:
			level := Note
			if p.Hurts {
				level = Warning
			}
			d.add("warehouse", level, location, p.Do, "%s: %v", p.What, p.Err)
		case p.Err != nil:
			d.failed("warehouse", location, fmt.Errorf("%s: %w", p.What, p.Err), p.Do)
		case p.Found != "":
			works = append(works, p.What+" ("+p.Found+")")
		default:
			works = append(works, p.What)
		}
	}
	if len(works) > 0 {
		d.add("warehouse", Fine, location, "", "works: %s", strings.Join(works, ", "))
	}
	if c.ReadOnly {
		d.add("warehouse", Note, location, "leave --read-only out to have it tried", "whether it can be written was not tried")
	}
	if skew != nil {
		d.clock("the store of "+location, *skew)
	}
}
