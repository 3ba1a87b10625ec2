package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// debian is an unpacked set of the distribution's packages: a folder with usr, lib and
// so on in it. Nothing of the system is changed, and no root is needed.
type debian struct{ dir string }

// debianPackages unpacks packages with the libraries that this machine lacks. Their
// versions are the distribution's; where they stand is the tool's folder.
func (t *Tools) debianPackages(ctx context.Context, name string, packages ...string) (debian, error) {
	dir, err := t.install("debian-"+name, func(dir string) error {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return errors.New("this server comes as a package of Debian or Ubuntu, and there is no apt-get here")
		}
		apt := aptGet{tools: t, dir: dir}
		if err := apt.index(ctx, packages[0]); err != nil {
			return err
		}
		packages, err := apt.versioned(ctx, packages)
		if err != nil {
			return err
		}
		plan, err := apt.command(ctx, append([]string{"--simulate", "--no-install-recommends", "install"}, packages...)...).Output()
		if err != nil {
			return fmt.Errorf("apt-get cannot say what %s needs: %w", name, err)
		}
		want := map[string]bool{}
		for _, p := range packages {
			want[p] = true
		}
		for _, m := range installLine.FindAllStringSubmatch(string(plan), -1) {
			want[m[1]] = true
		}
		args := []string{"download"}
		for p := range want {
			args = append(args, p)
		}
		if err := t.run(apt.command(ctx, args...)); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(dir, "*.deb"))
		if err != nil {
			return err
		}
		for _, a := range archives {
			if err := t.run(exec.CommandContext(ctx, "dpkg-deb", "--extract", a, dir)); err != nil {
				return err
			}
			if err := os.Remove(a); err != nil {
				return err
			}
		}
		return os.RemoveAll(filepath.Join(dir, "apt"))
	})
	return debian{dir}, err
}

// installLine is one of `apt-get --simulate install`: a package that would be installed.
var installLine = regexp.MustCompile(`(?m)^Inst (\S+) `)

// aptGet runs apt-get, with package lists of its own where the system has none.
type aptGet struct {
	tools *Tools
	dir   string
	own   bool
}

func (a *aptGet) command(ctx context.Context, args ...string) *exec.Cmd {
	return a.program(ctx, "apt-get", args...)
}

func (a *aptGet) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	var options []string
	if a.own {
		lists := filepath.Join(a.dir, "apt")
		options = []string{"-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + lists, "-o", "APT::Sandbox::User="}
	}
	cmd := exec.CommandContext(ctx, name, append(options, args...)...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	return cmd
}

// index sees to it that apt-get knows a package and where to get it: container images
// come without lists, and old lists name versions that are gone.
func (a *aptGet) index(ctx context.Context, name string) error {
	if a.command(ctx, "download", name).Run() == nil {
		return nil
	}
	a.own = true
	if err := os.MkdirAll(filepath.Join(a.dir, "apt", "partial"), 0o755); err != nil {
		return err
	}
	return a.tools.run(a.command(ctx, "update"))
}

// versioned replaces names that only stand for the newest version of something, as
// postgresql does for postgresql-15.
func (a *aptGet) versioned(ctx context.Context, names []string) (out []string, err error) {
	for _, name := range names {
		text, err := a.program(ctx, "apt-cache", "depends", "--important", name).Output()
		if err != nil {
			return nil, fmt.Errorf("apt-cache knows no %s: %w", name, err)
		}
		if m := regexp.MustCompile(`Depends: (` + regexp.QuoteMeta(name) + `-[0-9]+)`).FindSubmatch(text); m != nil {
			name = string(m[1])
		}
		out = append(out, name)
	}
	return out, nil
}

// newest returns the folder of the newest version below dir that has the program.
func (d debian) newest(pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(d.dir, pattern))
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no %s in %s: remove the folder to install it again", pattern, d.dir)
	}
	return found[len(found)-1], nil
}

// environment lets programs of the packages find their libraries.
func (d debian) environment() []string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-*", "lib/*-linux-*"} {
		found, _ := filepath.Glob(filepath.Join(d.dir, pattern))
		dirs = append(dirs, found...)
	}
	return []string{"LD_LIBRARY_PATH=" + strings.Join(dirs, ":")}
}
