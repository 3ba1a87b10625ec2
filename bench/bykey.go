package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// byKey loads Changes into a table that has the rows of Base. What is measured is that load, by
// `icewright load` with its start, or by a script of peers; making the table is not, and icewright makes it
// for all of them, so that they begin with the same files.
type byKey struct {
	Base, Changes rows
	Partition     string
	// Args are those of the load.
	Args []string
	// Rerun measures the load's second run.
	Rerun bool
	// Script, of peers, loads in icewright's place. Spark says that it is Spark's.
	Script string
	Spark  bool
	// Unpruned lets a load read every file of the table; else one that does is an error.
	Unpruned bool
}

func (k byKey) run(ctx context.Context, b *bench, dir string, check bool) (measure, error) {
	base, err := b.rows(ctx, k.Base)
	if err != nil {
		return measure{}, err
	}
	changes, err := b.rows(ctx, k.Changes)
	if err != nil {
		return measure{}, err
	}
	start := []string{b.icewright, "load", base, "--table", "bench.rows", "--quiet"}
	if k.Partition == "" {
		start = append(start, "--replace-table")
	} else {
		start = append(start, "--partition-by", k.Partition)
	}
	if _, _, err := b.process(ctx, dir, nil, start...); err != nil {
		return measure{}, err
	}
	var m measure
	if k.Script != "" {
		m, err = k.peer(ctx, b, dir, changes)
	} else {
		m, err = k.load(ctx, b, dir, changes)
		if k.Rerun && err == nil {
			m, err = k.load(ctx, b, dir, changes)
		}
	}
	if err != nil || !check {
		return m, err
	}
	found, err := b.reported(ctx, dir, b.self, "-child", childJob{Table: true}.String())
	m.Digest = found.Digest
	return m, err
}

func (k byKey) load(ctx context.Context, b *bench, dir, changes string) (measure, error) {
	argv := append([]string{b.icewright, "load", changes, "--table", "bench.rows", "--output", "json", "--quiet"}, k.Args...)
	out, m, err := b.process(ctx, dir, nil, argv...)
	if err != nil {
		return m, err
	}
	r, err := read(out, &m)
	if err == nil && !k.Unpruned && r.Pruned == 0 {
		err = fmt.Errorf("none of %d files was left out: %s", r.Considered, out)
	}
	return m, err
}

func (k byKey) peer(ctx context.Context, b *bench, dir, changes string) (measure, error) {
	args := map[string]any{"changes": changes, "key": "id"}
	if k.Spark {
		spark, err := b.tools.Spark(ctx, "4.0")
		if err != nil {
			return measure{}, err
		}
		args["jars"] = spark.Jars
	}
	text, err := json.Marshal(args)
	if err != nil {
		return measure{}, err
	}
	before, err := parquetFiles(dir)
	if err != nil {
		return measure{}, err
	}
	m, err := b.script(ctx, dir, k.Script, string(text))
	if err != nil {
		return m, err
	}
	info, err := os.Stat(changes)
	if err != nil {
		return m, err
	}
	m.In = info.Size()
	after, err := parquetFiles(dir)
	if err != nil {
		return m, err
	}
	was := map[string]bool{}
	for _, path := range before {
		was[path] = true
	}
	for _, path := range after {
		if was[path] {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return m, err
		}
		m.Out += info.Size()
		m.Files++
	}
	return m, nil
}

// rows is the path of such a file, which is made where it is missing.
func (b *bench) rows(ctx context.Context, r rows) (string, error) {
	r = r.scaled(b.scale)
	path := filepath.Join(b.dir, r.name())
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	fmt.Fprintf(b.log, "making %s\n", path)
	if _, _, err := b.process(ctx, b.dir, nil, b.self, "-child", childJob{Make: path + ".new", InFile: r}.String()); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}
