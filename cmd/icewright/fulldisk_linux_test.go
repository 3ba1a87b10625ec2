package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/gendoc"
	"github.com/icewright/icewright/internal/tally"
)

// A disk that is full for real: TestFullDisk runs itself again where there is a file system of 64 MiB,
// and takes away the room on that when a load comes to a point.

const (
	// envSmallDisk has a process of this test mount a file system of its own on that folder, in its own mount
	// namespace. envSmallDiskMade says that there is one already.
	envSmallDisk     = "SMALL_DISK"
	envSmallDiskMade = "SMALL_DISK_MADE"

	mountRefused = 77 // exit code
)

func init() {
	dir := os.Getenv(envSmallDisk)
	if dir == "" {
		return
	}
	if os.Getenv(envSmallDiskMade) == "" {
		// What is mounted here is nobody else's business.
		err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		if err == nil {
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "mount a tmpfs:", err)
			os.Exit(mountRefused)
		}
		os.Setenv(envSmallDiskMade, "1") // for its own children
	}
}

// inSmallDisk runs t, a test's own function, again in a process that has a small disk.
func inSmallDisk(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pattern := "^" + t.Name() + "$"
	if _, cases, ok := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); ok {
		pattern += "/" + cases
	}
	root := []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	group := []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	ways := []struct {
		name  string
		dir   string
		made  bool
		attrs *syscall.SysProcAttr
	}{
		{"a tmpfs in a user and a mount namespace", t.TempDir(), false, &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: root, GidMappings: group,
		}},
		{"a tmpfs in a mount namespace", t.TempDir(), false, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}},
		{"/dev/shm, as containers have it", sharedMemory(t), true, nil},
	}
	var refused []string
	for _, way := range ways {
		if way.dir == "" {
			refused = append(refused, way.name+": it is too large, or not there")
			continue
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run="+pattern, "-test.v="+fmt.Sprint(testing.Verbose()),
			"-test.count=1", "-rewrite="+fmt.Sprint(*gendoc.Rewrite))
		cmd.SysProcAttr = way.attrs
		cmd.Env = append(os.Environ(), envSmallDisk+"="+way.dir)
		if way.made {
			cmd.Env = append(cmd.Env, envSmallDiskMade+"=1")
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Start()
		if err == nil {
			err = cmd.Wait()
		}
		var exit *exec.ExitError
		switch {
		case err == nil:
			t.Logf("on %s:\n%s", way.name, out.String())
			return
		case !errors.As(err, &exit) || exit.ExitCode() == mountRefused:
			refused = append(refused, fmt.Sprintf("%s: %v %s", way.name, err, strings.TrimSpace(out.String())))
			continue
		}
		t.Fatalf("on %s: %v\n%s", way.name, err, out.String())
	}
	t.Skipf("no small file system is to be had here: %s", strings.Join(refused, "; "))
}

// sharedMemory is a folder on /dev/shm where that is as small as Docker makes it, else "".
func sharedMemory(t *testing.T) string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs("/dev/shm", &fs); err != nil || int64(fs.Blocks)*fs.Bsize > 128<<20 || int64(fs.Bavail)*fs.Bsize < 60<<20 {
		return ""
	}
	dir, err := os.MkdirTemp("/dev/shm", "icewright-*")
	if err != nil {
		return ""
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// filler is the file that takes the room on a disk.
type filler struct {
	t    *testing.T
	path string
}

// leave takes all the room but so many bytes.
func (f filler) leave(room int64) {
	f.t.Helper()
	dir := filepath.Dir(f.path)
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		f.t.Fatal(err)
	}
	if err := syscall.Fallocate(int(file.Fd()), 0, 0, int64(fs.Bavail)*fs.Bsize-room); err != nil {
		f.t.Fatal(err)
	}
	if err := syscall.Statfs(dir, &fs); err != nil || int64(fs.Bavail)*fs.Bsize != room {
		f.t.Fatalf("%d bytes of room, not %d (%v)", int64(fs.Bavail)*fs.Bsize, room, err)
	}
}

// makeRoom gives it back.
func (f filler) makeRoom() {
	if err := os.Remove(f.path); err != nil {
		f.t.Error(err)
	}
}

// A disk that is full from the start, or from the moment on that a load comes to a point: the run says what could
// not be written and what to do, takes back what it wrote, leaves the table as it was, and is fine once there is room.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	small := os.Getenv(envSmallDisk)
	if small == "" {
		inSmallDisk(t)
		return
	}
	y := tally.Of(t, "a file system with no room left: from the start, or from a point on, for data files, the spill file, manifests, metadata, SQLite")
	plain := []string{"--table-prop", "icewright.parquet-encodings=plain", "--table-prop", "write.parquet.compression-codec=uncompressed"}
	props := map[string]string{"icewright.parquet-encodings": "plain", "write.parquet.compression-codec": "uncompressed"}
	many := map[string]int{"x": 200_000, "z": 100}
	few := map[string]int{"x": 150, "z": 50}
	for _, c := range []struct {
		scene
		room int64  // bytes
		from string // the point that they are left from; "": from the start
		says string
		hint string // "": to make room
	}{
		{scene{name: "a data file", rows: many, props: props}, 1 << 20, "", "stage ", ""},
		{scene{name: "a data file of a first load", rows: many, args: plain, first: true}, 1 << 20, "", "stage ", ""},
		{scene{name: "a small data file", rows: few}, 0, "stage: data file begun", "stage ", ""},
		{scene{name: "rows that are spilled", rows: map[string]int{"x": 1_000_000}, args: []string{"--memory", "64MiB"}, first: true, by: "bucket(60, n)"}, 1 << 20, "", "spill file", "hint: --spill-dir"},
		{scene{name: "a manifest", rows: few}, 0, "writer: all files staged", "manifest", ""},
		{scene{name: "a second manifest", rows: few}, 0, "publish: manifest written", "manifest", ""},
		{scene{name: "a manifest list", rows: map[string]int{"v": 60}, args: []string{"--mode", "append", "--run-key", "v"}}, 0, "publish: manifest written", "manifest", ""},
		{scene{name: "a merge's manifest", rows: few, args: []string{"--mode", "merge", "--key", "p,n"}}, 0, "publish: planned", "manifest", ""},
		{scene{name: "a metadata file", rows: few}, 0, "publish: manifest list written", "metadata", ""},
		{scene{name: "SQLite's commit", rows: few}, 0, "catalog: metadata file written", "database or disk is full", ""},
		{scene{name: "SQLite's new row", rows: few, first: true}, 0, "catalog: metadata file written", "database or disk is full", ""},
		{scene{name: "SQLite's index", rows: few}, 0, "", "open catalog default", ""},
		{scene{name: "SQLite's first file", rows: few, first: true}, 0, "", "open catalog default", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := filler{t, filepath.Join(small, "filler")}
			if c.hint != "" { // the input and the lake would not fit
				c.args = append(c.args, "--spill-dir", small)
			} else {
				t.Setenv("TMPDIR", small)
			}
			p := newPlay(t, c.scene, venue{})
			before := p.counts()
			var env []string
			if c.from == "" {
				disk.leave(c.room)
			} else {
				env = append(env, fault.HoldAt+"="+c.from)
				p.meanwhile = func() { disk.leave(c.room) }
			}
			code, output := p.run(p.command(env...))
			disk.makeRoom()
			t.Logf("exit code %d: %s", code, output)
			if code != exitConflict {
				t.Errorf("exit code %d, want %d: %s", code, exitConflict, output)
			}
			if !strings.Contains(output, "no space left on device") && !strings.Contains(output, "disk is full") && !strings.Contains(output, "-shm") {
				t.Errorf("nothing was full: %s", output)
			}
			if strings.Contains(output, "tried ") {
				t.Errorf("it waited for room: %s", output)
			}
			if !strings.Contains(output, cmp.Or(c.hint, "hint: make room")) || !strings.Contains(output, c.says) {
				t.Errorf("the error does not tell what to do: %s", output)
			}
			if got := p.counts(); !same(got, before) {
				t.Errorf("the table has %v, before %v", got, before)
			}
			if l := p.litter(); len(l) > 0 {
				t.Errorf("left behind: %v", l)
			}
			p.check("with a full disk", false)
			y.Survived(t, 1, 2, 3, 5, 8)
		})
	}
}
