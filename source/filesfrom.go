package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
)

// argument is what a user names a source by, and where.
type argument struct {
	text  string
	where string // the list and the line; "" is the command line
}

// at puts where the argument stands before an error about it.
func (a argument) at(err error) error {
	if a.where == "" || err == nil {
		return err
	}
	return fmt.Errorf("%s: %w", a.where, err)
}

// maxLine is the longest line of a list.
const maxLine = 1 << 20

// readList gives the sources that a list names, one a line, as the command line would have them. Blank lines
// and those that begin with # are not looked at, nor are spaces around a line and a CR at its end. name is
// a file, or "-" for o.Stdin.
func readList(name string, o Options) ([]argument, error) {
	in := o.Stdin
	switch {
	case name != "-":
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--files-from: %w", fileError(name, err))
		}
		defer file.Close()
		in = file
	case in == nil:
		in = os.Stdin
	}
	var list []argument
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := lines.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		a := argument{string(bytes.TrimSpace(line)), fmt.Sprintf("%s:%d", name, n)}
		switch {
		case a.text == "" || a.text[0] == '#':
		case a.text == "-":
			return nil, a.at(inputError("-", "standard input cannot be in a list", "name it on the command line", nil))
		case strings.ContainsRune(a.text, 0):
			return nil, a.at(inputError("the line", "has a NUL byte in it", "a list has one name a line: find … -print, not -print0", nil))
		default:
			list = append(list, a)
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, inputError(name, "has a line of more than 1 MiB", "a list has one name a line", nil)
		}
		return nil, fileError(name, err)
	}
	return list, nil
}
