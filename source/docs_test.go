package source

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/internal/gendoc"
)

// TestDocsOrigins: docs/sources.md has a row for each origin, and the code behaves as the row says.
func TestDocsOrigins(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.csv"), "id,n\n1,2\n")
	web := serveFiles(t, map[string]string{"/a.csv": "id,n\n1,2\n"})
	s3 := newBucket(t, map[string]string{"in/a.csv": "id,n\n1,2\n"})
	var rows [][]string
	for _, c := range []struct {
		kind, examples, changes string
		object                  Object
		proofs                  []string
	}{
		{
			"files", "`a.csv` `in/` `in/**/*.csv` `file:///data/a.csv`", "inode, size, time of the last change",
			resolveOne(t, dir, Options{}),
			[]string{"source.TestResolve", "source.TestChanged", "Scripts/sources"},
		},
		{
			"S3", "`s3://bucket/key` `s3://bucket/in/` `s3a://bucket/in/*.csv`", "ETag, size",
			resolveOne(t, "s3://data/in/", s3.options()),
			[]string{"source.TestResolveS3", "source.TestResumeS3", "source.TestChangedS3", "source.TestRangesS3", "source.TestS3Outage"},
		},
		{
			"web servers", "`https://host/a.csv` `http://user:password@host/a.csv?v=7`", "ETag, Last-Modified, size, as far as the server sends them",
			resolveOne(t, web.URL+"/a.csv", web.options(t)),
			[]string{"source.TestFaultyHTTP", "source.TestAnyFaultsHTTP", "source.TestRangesHTTP", "source.TestRedirects", "source.TestRedact", "Scripts/http"},
		},
		{
			"pipes", "`-` `<(zcat a.csv.gz)`", "comes once", resolveOne(t, "-", Options{Stdin: strings.NewReader("id,n\n1,2\n")}),
			[]string{"source.TestStdinTwice", "source.TestStdinCancel", "source.TestNamedPipe"},
		},
		{
			"lists", "`--files-from list.txt` `--files-from -`", "as each source in it",
			Object{},
			[]string{"source.TestFilesFrom", "source.TestManyAddresses", "Scripts/files-from"},
		},
	} {
		retried, random := "as each", "as each"
		if c.object.origin != nil {
			retried, random = "no", "no"
			if _, ok := c.object.origin.(remote); ok {
				retried = "yes, and taken up where it broke"
			}
			at, err := c.object.origin.at(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if at != nil {
				random = "yes"
				_ = at.Close()
			}
			if text, format, err := slurp(t, c.object); text != "id,n\n1,2\n" || format != arrowconv.CSV || err != nil {
				t.Errorf("%s: %q, %s, %v", c.kind, text, format, err)
			}
		}
		if strings.HasPrefix(c.kind, "web") && random == "yes" {
			random = "yes, where the server gives ranges"
		}
		gendoc.Proofs(t, c.proofs...)
		rows = append(rows, []string{c.kind, c.examples, retried, c.changes, random, strings.Join(c.proofs, ", ")})
	}
	gendoc.Check(t, "docs/sources.md", "origins", gendoc.Table(
		[]string{"origin", "examples", "asked again", "a change is told by", "random access (Parquet)", "tests"}, rows...))
}

// TestDocsCompressions: each compression of docs/sources.md is read, by its bytes, under each suffix.
func TestDocsCompressions(t *testing.T) {
	text := "id,name\n1,x\n"
	var rows [][]string
	for _, c := range []struct {
		packing  packing
		suffixes string
		stored   string
		parts    string
	}{
		{gzipped, ".gz .gzip", gzipOf(t, text), "members"},
		{zstded, ".zst .zstd", zstdOf(t, text), "frames, a window of up to 128 MiB"},
		{bzipped, ".bz2 .bzip2", bzip2Rows(t), "streams, as parallel compressors write them"},
	} {
		for suffix := range strings.FieldsSeq(c.suffixes) {
			path := filepath.Join(t.TempDir(), "a.csv"+suffix)
			write(t, path, c.stored)
			got, format, err := slurp(t, resolveOne(t, path, Options{}))
			if err != nil || !strings.HasPrefix(got, text) || format != arrowconv.CSV {
				t.Errorf("%s: %d bytes, %s, %v", suffix, len(got), format, err)
			}
		}
		if p, err := packingOf("a", []byte(c.stored[:8])); p != c.packing || err != nil {
			t.Errorf("%s is told as %s, %v", c.packing, p, err)
		}
		proofs := []string{"source.TestOpen", "source.TestOpenBroken"}
		gendoc.Proofs(t, proofs...)
		rows = append(rows, []string{
			string(c.packing), "`" + strings.ReplaceAll(c.suffixes, " ", "` `") + "`", "any number of " + c.parts, strings.Join(proofs, ", "),
		})
	}
	gendoc.Check(t, "docs/sources.md", "compressions", gendoc.Table([]string{"compression", "suffixes", "whole file of", "tests"}, rows...))
}
