package job

import (
	"strings"

	"github.com/icewright/icewright/arrowconv"
)

// parseColumns reads "a,b=c": column a, and column b of the table from column c of the input. Names with odd
// characters go in double quotes, a quote in them doubled. Errors wrap ErrUsage.
func parseColumns(text string) ([]arrowconv.ColumnChoice, error) {
	const hint = `write a,b=c: column a, and column b of the table from column c of the input; "odd, names" in double quotes`
	var choices []arrowconv.ColumnChoice
	rest := text
	for {
		name, after, ok := columnName(rest)
		if !ok || name == "" {
			return nil, usage(hint, "--columns: a name should come before %q", rest)
		}
		c := arrowconv.ColumnChoice{Name: name, From: name}
		if strings.HasPrefix(after, "=") {
			if c.From, after, ok = columnName(after[1:]); !ok || c.From == "" {
				return nil, usage(hint, "--columns: a name should come after %q", name+"=")
			}
		}
		for _, other := range choices {
			switch {
			case other.Name == c.Name:
				return nil, usage("", "--columns: column %q comes twice", c.Name)
			case other.From == c.From:
				return nil, usage("", "--columns: column %q of the input is taken twice, as %q and %q", c.From, other.Name, c.Name)
			}
		}
		choices = append(choices, c)
		if after == "" {
			return choices, nil
		}
		if after[0] != ',' {
			return nil, usage(hint, "--columns: a comma should come before %q", after)
		}
		rest = after[1:]
	}
}

// columnName takes a name off the front of text.
func columnName(text string) (name, rest string, ok bool) {
	text = strings.TrimLeft(text, " ")
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, `,=`)
		if end < 0 {
			end = len(text)
		}
		return strings.TrimRight(text[:end], " "), text[end:], !strings.Contains(text[:end], `"`)
	}
	text = text[1:]
	for {
		end := strings.IndexByte(text, '"')
		if end < 0 {
			return "", "", false
		}
		name += text[:end]
		if text = text[end+1:]; !strings.HasPrefix(text, `"`) {
			return name, strings.TrimLeft(text, " "), true
		}
		name, text = name+`"`, text[1:]
	}
}
