package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/icewright/icewright/arrowconv"
)

func TestPathColumns(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"in/dt=2024-01-15/region=NO/part-0.csv", "dt=2024-01-15 region=NO"},
		{"/data/v=1/a.csv", "v=1"},
		{"dt=1/a.csv", "dt=1"},
		{"dt=1.csv", ""},
		{"-", ""},
		{"s3://b=1/events/dt=2024-01-15/x=y.parquet", "dt=2024-01-15"},
		{"s3a://b/dt=1/a.csv", "dt=1"},
		{"https://h=1/dt=1/a.csv?k=1/b", "dt=1"},
		{"https://h/ts=10%253A00/a%20b=c%2Fd/a.csv", "ts=10:00 a b=c/d"},
		{"a/ts=2024-01-15 10%3A00%3A00/a.csv", "ts=2024-01-15 10:00:00"},
		{"a/k=50%/a.csv", "k=50%"},
		{"a/k=x=y/=z/=/plain/a.csv", "k=x=y"},
		{"a/k=__HIVE_DEFAULT_PARTITION__/e=/a.csv", "k:null e:null"},
		{"a/k=1/k=2/a.csv", "k=1 k=2"},
	} {
		objects := []Object{{Name: c.name}}
		if err := (PathColumns{}).constants(objects); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range objects[0].Constants {
			if k.Null {
				got = append(got, k.Name+":null")
			} else {
				got = append(got, k.Name+"="+k.Text)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
}

func TestPathColumnsByName(t *testing.T) {
	tree(t, "in/dt=1/a=x/1.csv", "in/dt=2/a=y/2.csv", "in/dt=3/3.csv")
	resolve := func(c PathColumns) string {
		objects, err := Resolve(t.Context(), []string{"in"}, Options{PathColumns: c})
		if err != nil {
			if !errors.Is(err, arrowconv.ErrInput) {
				t.Errorf("%v is not bad input", err)
			}
			return err.Error()
		}
		var got []string
		for _, o := range objects {
			got = append(got, fmt.Sprint(o.Constants))
		}
		return strings.Join(slices.Compact(got), " ")
	}
	for _, c := range []struct {
		columns PathColumns
		want    string
	}{
		{PathColumns{}, "[{dt 1 false} {a x false}] [{dt 2 false} {a y false}] [{dt 3 false}]"},
		{PathColumns{None: true}, "[]"},
		{PathColumns{Names: []string{"dt"}}, "[{dt 1 false}] [{dt 2 false}] [{dt 3 false}]"},
		{PathColumns{Names: []string{"dt", "a"}}, "in/dt=3/3.csv: its path has no directory a=…, which --path-columns names"},
	} {
		if got := resolve(c.columns); got != c.want {
			t.Errorf("%+v: got %s\nwant %s", c.columns, got, c.want)
		}
	}
}
