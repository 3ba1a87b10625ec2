package job

import (
	"strconv"
	"strings"
	"time"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

// none is what takes a spec, an order or identifier fields away: an empty text leaves them.
const none = "none"

// parse reads a's texts. Errors name the flag and wrap ErrUsage or arrowconv.ErrInput.
func (a Alter) parse() (catalog.Alteration, error) {
	out := catalog.Alteration{
		DropColumns: trimmed(a.DropColumn), RelaxColumns: trimmed(a.RelaxColumn),
		SetProps: a.TableProps, UnsetProps: a.UnsetProp, FormatVersion: a.FormatVersion,
	}
	for _, text := range a.AddColumn {
		c, err := parseNewColumn(text)
		if err != nil {
			return out, err
		}
		out.AddColumns = append(out.AddColumns, c)
	}
	for _, text := range a.WidenColumn {
		w := words{flag: "--widen-column", text: text, rest: text}
		c, err := w.column()
		if err == nil && (w.rest != "" || c.Required) {
			err = w.fault("write 'name type'; --relax-column makes a column optional", "it has more than a name and a type")
		}
		if err != nil {
			return out, err
		}
		out.RetypeColumns = append(out.RetypeColumns, catalog.Retyping{Column: c.Name, Type: c.Type})
	}
	for _, text := range a.RenameColumn {
		name, to, err := assignment("--rename-column", text, "NAME=NEW")
		if err != nil {
			return out, err
		}
		out.RenameColumns = append(out.RenameColumns, catalog.Renaming{Column: name, To: unquoted(to)})
	}
	for _, text := range a.ColumnDoc {
		name, doc, err := assignment("--column-doc", text, "NAME=TEXT")
		if err != nil {
			return out, err
		}
		out.ColumnDocs = append(out.ColumnDocs, catalog.ColumnDoc{Column: name, Doc: doc})
	}
	for _, text := range a.MoveColumn {
		w := words{flag: "--move-column", text: text, rest: text}
		c := catalog.NewColumn{Name: w.word()}
		err := w.clauses(&c)
		if err == nil && (c.Name == "" || c.Place == nil || c.Doc != "" || w.value != nil) {
			err = w.fault("write 'name first' or 'name after other'", "it does not say where to")
		}
		if err != nil {
			return out, err
		}
		out.MoveColumns = append(out.MoveColumns, catalog.Move{Column: c.Name, Place: *c.Place})
	}
	switch a.IdentifierFields {
	case "":
	case none:
		out.IdentifierFields = []string{}
	default:
		out.IdentifierFields = trimmed(strings.Split(a.IdentifierFields, ","))
	}
	out.PartitionBy, out.SortBy = expression(a.PartitionBy), expression(a.SortBy)
	if a.FormatVersion < 0 || a.FormatVersion > 3 {
		return out, usage("it is 2 or 3", "--format-version: there is no version %d", a.FormatVersion)
	}
	var err error
	out.Refs, err = a.refs()
	return out, err
}

// expression is what a flag asks for; nil to leave what is.
func expression(text string) *string {
	switch strings.TrimSpace(text) {
	case "":
		return nil
	case none:
		text = ""
	}
	return &text
}

func trimmed(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = unquoted(strings.TrimSpace(text))
	}
	return out
}

// unquoted takes the double quotes off a name that stands in them.
func unquoted(name string) string {
	w := words{rest: name}
	if strings.HasPrefix(name, `"`) {
		if inner := w.word(); w.rest == "" {
			return inner
		}
	}
	return name
}

// assignment reads NAME=VALUE, where the name may stand in double quotes.
func assignment(flag, text, form string) (name, value string, err error) {
	if strings.HasPrefix(text, `"`) {
		w := words{rest: text}
		name = w.word()
		if value, ok := strings.CutPrefix(w.rest, "="); ok {
			return name, value, nil
		}
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", "", usage("write "+form, "%s: %q is not %s", flag, text, form)
	}
	return name, value, nil
}

func (a Alter) refs() ([]catalog.RefChange, error) {
	var keep catalog.Retention
	var err error
	if keep.RefAge, err = parseAge("--ref-age", a.RefAge); err != nil {
		return nil, err
	}
	if keep.SnapshotAge, err = parseAge("--snapshot-age", a.SnapshotAge); err != nil {
		return nil, err
	}
	if keep.Snapshots = a.KeepSnapshots; keep.Snapshots < 0 {
		return nil, usage("", "--keep-snapshots: %d is negative", a.KeepSnapshots)
	}
	if keep != (catalog.Retention{}) && len(a.CreateBranch)+len(a.CreateTag)+len(a.SetBranch) == 0 {
		return nil, usage("say --create-branch, --create-tag or --set-branch as well", "--ref-age, --keep-snapshots and --snapshot-age are of a branch or a tag")
	}
	var out []catalog.RefChange
	for _, list := range []struct {
		verb  catalog.RefVerb
		texts []string
	}{
		{catalog.CreateBranch, a.CreateBranch},
		{catalog.CreateTag, a.CreateTag},
		{catalog.DropBranch, a.DropBranch},
		{catalog.DropTag, a.DropTag},
	} {
		for _, text := range list.texts {
			c := catalog.RefChange{Verb: list.verb, Name: text}
			if list.verb == catalog.CreateBranch || list.verb == catalog.CreateTag {
				c.Keep = keep
				if i := strings.LastIndexByte(text, '@'); i >= 0 {
					c.Name, c.At = text[:i], text[i+1:]
				}
				if c.Name == "" || strings.HasSuffix(text, "@") {
					return nil, usage("write NAME or NAME@SNAPSHOT", "--%s: %q is no name", list.verb, text)
				}
			}
			out = append(out, c)
		}
	}
	for _, text := range a.SetBranch {
		name, at, err := assignment("--set-branch", text, "NAME=SNAPSHOT")
		if err == nil && at == "" {
			err = usage("write NAME=SNAPSHOT", "--set-branch: %q does not say where to", text)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, catalog.RefChange{Verb: catalog.SetBranch, Name: name, At: at, Keep: keep})
	}
	return out, nil
}

// parseAge reads a duration of days or of hours, minutes and seconds.
func parseAge(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n > 0 && n < 1e5 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		return 0, usage("write 30d or 12h", "%s: %q is no duration", flag, text)
	}
	return d, nil
}

// parseNewColumn reads "name type", and what follows in any order: first, after NAME, doc "TEXT",
// default VALUE.
func parseNewColumn(text string) (catalog.NewColumn, error) {
	w := words{flag: "--add-column", text: text, rest: text}
	c, err := w.column()
	if err == nil {
		err = w.clauses(&c)
	}
	if err == nil && w.value != nil {
		if c.Default, err = arrowconv.ParseDefault(c.Type, *w.value); err != nil {
			err = w.fault("", "%v", err)
		}
	}
	return c, err
}

// words reads a text word by word. A word may stand in single or double quotes, which are doubled
// inside.
type words struct {
	flag, text, rest string
	value            *string // of a default clause
}

func (w *words) fault(hint, format string, args ...any) error {
	return usage(hint, w.flag+" "+strconv.Quote(w.text)+": "+format, args...)
}

const columnForm = `write 'name type', then any of: first, after other, doc "text", default value`

func (w *words) skip() { w.rest = strings.TrimLeft(w.rest, " \t\r\n") }

func (w *words) word() string {
	w.skip()
	if w.rest == "" {
		return ""
	}
	if quote := w.rest[0]; quote == '"' || quote == '\'' {
		var b strings.Builder
		for i := 1; i < len(w.rest); i++ {
			switch {
			case w.rest[i] != quote:
				b.WriteByte(w.rest[i])
			case i+1 < len(w.rest) && w.rest[i+1] == quote:
				b.WriteByte(quote)
				i++
			default:
				w.rest = w.rest[i+1:]
				return b.String()
			}
		}
	}
	end := strings.IndexAny(w.rest, " \t\r\n")
	if end < 0 {
		end = len(w.rest)
	}
	word := w.rest[:end]
	w.rest = w.rest[end:]
	return word
}

// column reads a name and a type. The type ends where a clause begins: no type has spaces outside
// its brackets.
func (w *words) column() (c catalog.NewColumn, err error) {
	c.Name = w.word()
	w.skip()
	depth, quoted, end := 0, false, len(w.rest)
scan:
	for i := range len(w.rest) {
		switch ch := w.rest[i]; {
		case ch == '"':
			quoted = !quoted
		case quoted:
		case strings.IndexByte("<([", ch) >= 0:
			depth++
		case strings.IndexByte(">)]", ch) >= 0:
			depth--
		case depth == 0 && strings.IndexByte(" \t\r\n", ch) >= 0:
			if next := strings.TrimLeft(w.rest[i:], " \t\r\n"); next != "" && strings.IndexByte("<([!", next[0]) < 0 {
				end = i
				break scan
			}
		}
	}
	text := strings.TrimSpace(w.rest[:end])
	w.rest = w.rest[end:]
	w.skip()
	if c.Name == "" || text == "" {
		return c, w.fault(columnForm, "a column is a name and a type")
	}
	text, c.Required = strings.CutSuffix(text, "!")
	if c.Type, err = arrowconv.ParseType(text); err != nil {
		return c, &Error{Class: ErrUsage, Text: w.flag + " " + strconv.Quote(w.text) + ": " + err.Error(), Advice: Hint(err)}
	}
	return c, nil
}

func (w *words) clauses(c *catalog.NewColumn) error {
	for {
		if w.skip(); w.rest == "" {
			return nil
		}
		word := w.word()
		switch key := strings.ToLower(word); key {
		case "first":
			c.Place = &catalog.Place{}
			continue
		case "after", "doc", "default":
			if w.skip(); w.rest == "" {
				return w.fault(columnForm, "nothing comes after %q", word)
			}
			value := w.word()
			switch key {
			case "after":
				c.Place = &catalog.Place{After: value}
			case "doc":
				c.Doc = value
			case "default":
				w.value = &value
			}
		default:
			return w.fault(columnForm, "%q is not understood", word)
		}
	}
}
