package stack

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// sparkRelease is a version of Spark with the Iceberg that is built for it.
type sparkRelease struct {
	pyspark string
	// runtime is Iceberg's jar for this Spark, named for the versions of Spark and of Scala.
	runtime string
	// pythons are interpreters that it runs with, the first one found is taken.
	pythons []string
}

// sparkReleases by the version that one says. Both run on Java 17. Spark 4.0 knows variants, as its
// Iceberg does from 1.11 on; Spark 3.5 is what most clusters run, and knows no Python after 3.11.
var sparkReleases = map[string]sparkRelease{
	"4.0": {"4.0.2", "org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.11.0", []string{"python3"}},
	"3.5": {"3.5.9", "org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.11.0", []string{"python3.11", "python3.10", "python3.9", "python3.8"}},
}

// sparkJars are what every Spark needs besides: a catalog of JDBC on SQLite or Postgres, and files on S3.
var sparkJars = []string{
	"org.xerial:sqlite-jdbc:3.53.0.0",
	"org.postgresql:postgresql:42.7.8",
	"org.apache.iceberg:iceberg-aws-bundle:1.11.0",
}

// Spark is PySpark with what it needs for Iceberg. It wants a Java 17 or newer on the path.
type Spark struct {
	// Python is an interpreter that can import pyspark.
	Python string
	// Jars are for the setting spark.jars.
	Jars []string
}

// Spark installs PySpark and the jars, for Spark 4.0 or 3.5. Installing one takes a minute and 600 MB.
func (t *Tools) Spark(ctx context.Context, version string) (Spark, error) {
	release, ok := sparkReleases[version]
	if !ok {
		return Spark{}, fmt.Errorf("no Spark %q: there are %s", version, strings.Join(slices.Sorted(maps.Keys(sparkReleases)), ", "))
	}
	venv, err := t.install("spark-"+release.pyspark, func(dir string) error {
		python, err := findPython(ctx, release.pythons)
		if err != nil {
			return err
		}
		if err := t.run(exec.CommandContext(ctx, python, "-m", "venv", dir)); err != nil {
			return err
		}
		return t.run(exec.CommandContext(ctx, filepath.Join(dir, "bin", "python"), "-m", "pip", "install",
			"--quiet", "--disable-pip-version-check", "--no-cache-dir", "pyspark=="+release.pyspark))
	})
	if err != nil {
		return Spark{}, err
	}
	artifacts := append([]string{release.runtime}, sparkJars...)
	dir, err := t.install("spark-jars-"+key([]byte(strings.Join(artifacts, " "))), func(dir string) error {
		for _, jar := range artifacts {
			if err := t.run(exec.CommandContext(ctx, "mvn", "--batch-mode", "--no-transfer-progress", "--quiet", mavenCopy+"copy",
				"-Dartifact="+jar, "-DoutputDirectory="+dir)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Spark{}, err
	}
	jars, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	return Spark{filepath.Join(venv, "bin", "python"), jars}, err
}

// findPython returns the first of the interpreters that runs here.
func findPython(ctx context.Context, names []string) (string, error) {
	for _, name := range names {
		if exec.CommandContext(ctx, name, "-c", "import venv").Run() == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("no Python to run it with: one of %s is needed, with its venv module", strings.Join(names, ", "))
}
