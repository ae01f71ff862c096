package daemon

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func testPaths(t *testing.T) Paths {
	dir := t.TempDir()
	p := Paths{Instance: "web.cf", PidFile: filepath.Join(dir, "pid"), RunDir: filepath.Join(dir, "run", "web.cf")}
	p.Lock = filepath.Join(p.RunDir, "lock")
	return p
}

func TestLockKeepsSecondOut(t *testing.T) {
	p := testPaths(t)
	if got := Look(p); got.Presence != Stopped {
		t.Errorf("before: got %+v, want stopped", got)
	}
	lock, err := Acquire(p)
	if err != nil {
		t.Fatal(err)
	}
	var running ErrRunning
	if _, err := Acquire(p); !errors.As(err, &running) || running.Pid != os.Getpid() {
		t.Errorf("second lock: got %v, want one that names pid %d", err, os.Getpid())
	}
	if got := Look(p); got.Presence != Running || got.Pid != os.Getpid() || got.Foreign {
		t.Errorf("while held: got %+v", got)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if got := Look(p); got.Presence != Stopped {
		t.Errorf("after release: got %+v, want stopped", got)
	}
}

// TestLookTakesNoLock shows that status does not keep a start out.
func TestLookTakesNoLock(t *testing.T) {
	p := testPaths(t)
	if err := p.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Lock, []byte("4242\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				Look(p)
			}
		}
	}()
	for range 200 {
		lock, err := Acquire(p)
		if err != nil {
			t.Fatal(err)
		}
		lock.Release()
	}
	close(stop)
	<-done
}

func TestPidOfWaitsForTheHolder(t *testing.T) {
	p := testPaths(t)
	lock, err := Acquire(p)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	if err := os.Truncate(p.Lock, 0); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = os.WriteFile(p.Lock, []byte("77\n"), 0o600) })
	if got := Look(p); got.Presence != Running || got.Pid != 77 {
		t.Errorf("got %+v, want running with pid 77", got)
	}
}

func TestStalePidFile(t *testing.T) {
	p := testPaths(t)
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	for name, pid := range map[string]string{
		"ended": strconv.Itoa(child.Process.Pid), "another program": strconv.Itoa(os.Getppid()), "no number": "none",
	} {
		if err := os.WriteFile(p.PidFile, []byte(pid+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := Look(p); got.Presence != Stale {
			t.Errorf("%s: got %+v, want stale", name, got)
		}
		lock, err := Acquire(p)
		if err != nil {
			t.Fatalf("%s: a stale pid file keeps the start out: %v", name, err)
		}
		lock.Release()
	}
}

// TestForeignDaemon starts a process whose command line is that of the Perl program.
func TestForeignDaemon(t *testing.T) {
	p := testPaths(t)
	script := filepath.Join(t.TempDir(), "ldirectord")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nread line\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(script, "/etc/ha.d/web.cf", "start")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer stdin.Close()
	if err := os.WriteFile(p.PidFile, []byte(strconv.Itoa(child.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return Look(p).Presence == Running })
	if got := Look(p); !got.Foreign || got.Pid != child.Process.Pid {
		t.Errorf("got %+v, want a foreign one with pid %d", got, child.Process.Pid)
	}
	p.Instance = "other.cf"
	if got := Look(p); got.Presence != Stale {
		t.Errorf("of another instance: got %+v, want stale", got)
	}
}

// until waits for a condition outside this process.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatal("the condition did not come about within 10 s")
}

func TestPrepareRefusesForeignDirectory(t *testing.T) {
	p := testPaths(t)
	if err := os.MkdirAll(filepath.Dir(p.RunDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), p.RunDir); err != nil {
		t.Fatal(err)
	}
	if err := p.Prepare(); err == nil {
		t.Error("a link in place of the run directory is accepted")
	}
}

func TestPrepareTakesRightsAway(t *testing.T) {
	p := testPaths(t)
	if err := os.MkdirAll(p.RunDir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.RunDir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := p.Prepare(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(p.RunDir)
	if err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("got %v, %v, want 0711", info.Mode(), err)
	}
}

// A daemon that starts while another one leaves keeps all of its directory.
func TestReleaseLeavesTheNextOneAlone(t *testing.T) {
	p := testPaths(t)
	first, err := Acquire(p)
	if err != nil {
		t.Fatal(err)
	}
	// So much to remove that the next one is there before the end.
	for i := range 2000 {
		if err := os.WriteFile(filepath.Join(p.RunDir, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	released := make(chan error, 1)
	go func() { released <- first.Release() }() // waited for below
	var second *Lock
	for second == nil {
		second, _ = Acquire(p)
	}
	mark := filepath.Join(p.RunDir, "mark")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Error(err)
	}
	if err := <-released; err != nil {
		t.Error(err)
	}
	if !exists(mark) || !held(p.Lock) {
		t.Error("what the second one had is gone")
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(p.RunDir)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRemoveStale(t *testing.T) {
	p := testPaths(t)
	if err := os.WriteFile(p.PidFile, []byte("999999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock, err := Acquire(p)
	if err != nil {
		t.Fatal(err)
	}
	var running ErrRunning
	if err := RemoveStale(p); !errors.As(err, &running) || !exists(p.PidFile) {
		t.Errorf("while one runs: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if err := RemoveStale(p); err != nil || exists(p.PidFile) || Look(p).Presence != Stopped {
		t.Errorf("%v, %+v", err, Look(p))
	}
}
