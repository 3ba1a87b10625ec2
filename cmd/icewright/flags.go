package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/icewright/icewright/job"

	"github.com/icewright/icewright/nearest"
)

// flagSet adds flags to a command, under headings that --help shows them under.
type flagSet struct {
	*pflag.FlagSet
	heading string
}

const headingKey = "heading"

// under returns a flagSet whose flags are shown under heading.
func under(flags *pflag.FlagSet, heading string) flagSet { return flagSet{flags, heading} }

func (f flagSet) mark(name string) {
	fl := f.Lookup(name)
	if fl.Annotations == nil {
		fl.Annotations = map[string][]string{}
	}
	fl.Annotations[headingKey] = []string{f.heading}
}

func (f flagSet) text(p *string, name, value, usage string) {
	f.StringVar(p, name, value, usage)
	f.mark(name)
}

// choice is a text of which only some are known, for shells to complete.
func (f flagSet) choice(p *string, name, value string, known []string, usage string) {
	f.text(p, name, value, usage)
	f.Lookup(name).Annotations[choicesKey] = known
}

// directory is a text that names a directory, for shells to complete.
func (f flagSet) directory(p *string, name, value, usage string) {
	f.text(p, name, value, usage)
	f.Lookup(name).Annotations[cobra.BashCompSubdirsInDir] = []string{}
}

func (f flagSet) texts(p *[]string, name, usage string) {
	f.StringArrayVar(p, name, nil, usage)
	f.mark(name)
}

func (f flagSet) truth(p *bool, name, usage string) {
	f.BoolVar(p, name, false, usage)
	f.mark(name)
}

func (f flagSet) number(p *int, name string, value int, usage string) {
	f.IntVar(p, name, value, usage)
	f.mark(name)
}

func (f flagSet) wide(p *int64, name string, value int64, usage string) {
	f.Int64Var(p, name, value, usage)
	f.mark(name)
}

func (f flagSet) bytes(p *int64, name string, value int64, usage string) {
	*p = value
	f.Var((*byteSize)(p), name, usage)
	f.mark(name)
}

func (f flagSet) duration(p *time.Duration, name string, value time.Duration, usage string) {
	f.DurationVar(p, name, value, usage)
	f.mark(name)
}

func (f flagSet) props(p *iceberg.Properties, name, usage string) {
	f.Var(&properties{p}, name, usage)
	f.mark(name)
}

// byteSize is a flag value such as 1GiB, 512MB or 1048576.
type byteSize int64

// byteUnits are the units of sizes, largest first. As in Kubernetes, Mi is 2^20 and M is 10^6.
var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"Ti", 1 << 40},
	{"Gi", 1 << 30},
	{"Mi", 1 << 20},
	{"Ki", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"T", 1e12},
	{"G", 1e9},
	{"M", 1e6},
	{"K", 1e3},
	{"B", 1},
}

func (b *byteSize) Set(text string) error {
	number, unit := strings.TrimSpace(text), int64(1)
	for _, u := range byteUnits {
		if n := len(number) - len(u.name); n > 0 && strings.EqualFold(number[n:], u.name) {
			number, unit = strings.TrimSpace(number[:n]), u.size
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0 && v*float64(unit) < 1<<62) {
		return fmt.Errorf("%q is not a size such as 1GiB, 512MB or 1048576", text)
	}
	*b = byteSize(v * float64(unit))
	return nil
}

func (b *byteSize) String() string {
	for _, u := range byteUnits[:4] {
		if *b > 0 && int64(*b)%u.size == 0 {
			return strconv.FormatInt(int64(*b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *byteSize) Type() string { return "SIZE" }

// properties is a flag value k=v that may be given again and again.
type properties struct{ to *iceberg.Properties }

func (p *properties) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return fmt.Errorf("%q is not KEY=VALUE", text)
	}
	if *p.to == nil {
		*p.to = iceberg.Properties{}
	}
	(*p.to)[key] = value
	return nil
}

func (p *properties) String() string { return "" } // values may be secrets
func (p *properties) Type() string   { return "KEY=VALUE" }

// plain takes pflag's wrapping off an error of a flag's value.
func plain(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		err = invalid.Unwrap()
	}
	var number *strconv.NumError
	if errors.As(err, &number) {
		return fmt.Errorf("cannot read %q: %w", number.Num, number.Err)
	}
	return err
}

// flagError explains a command line that does not parse, and names the flag that was meant.
func flagError(cmd *cobra.Command, err error) error {
	hint := cmd.CommandPath() + " --help lists the flags"
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearest.Name(unknown.GetSpecifiedName(), names); near != "" {
			hint = "did you mean --" + near + "?"
		}
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		err = fmt.Errorf("--%s: %w", invalid.GetFlag().Name, plain(err))
	}
	return &job.Error{Class: job.ErrUsage, Text: err.Error(), Advice: hint}
}
