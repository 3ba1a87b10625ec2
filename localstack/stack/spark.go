package stack

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
)

// Spark 4.0 runs on Java 17, and knows variants, as its Iceberg does.
const sparkVersion = "4.0.2"

// sparkJars are what Spark needs for tables of Iceberg in a catalog of JDBC on SQLite. Iceberg's runtime
// is named for the versions of Spark and of Scala; 1.10 cannot leave a variant out of what it reads.
var sparkJars = []string{
	"org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.11.0",
	"org.xerial:sqlite-jdbc:3.53.0.0",
}

// Spark is PySpark with what it needs for Iceberg. It wants a Java 17 or newer on the path.
type Spark struct {
	// Python is an interpreter that can import pyspark.
	Python string
	// Jars are for the setting spark.jars.
	Jars []string
}

// Spark installs PySpark and the jars. Installing takes a minute and 500 MB.
func (t *Tools) Spark(ctx context.Context) (Spark, error) {
	venv, err := t.install("spark-"+sparkVersion, func(dir string) error {
		if err := t.run(exec.CommandContext(ctx, "python3", "-m", "venv", dir)); err != nil {
			return err
		}
		return t.run(exec.CommandContext(ctx, filepath.Join(dir, "bin", "python"), "-m", "pip", "install",
			"--quiet", "--disable-pip-version-check", "--no-cache-dir", "pyspark=="+sparkVersion))
	})
	if err != nil {
		return Spark{}, err
	}
	dir, err := t.install("spark-jars-"+key([]byte(strings.Join(sparkJars, " "))), func(dir string) error {
		for _, jar := range sparkJars {
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
