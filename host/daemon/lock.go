package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Presence says whether an instance runs.
type Presence uint8

// The three answers of the status command: exit codes 3, 1 and 0.
const (
	Stopped Presence = iota
	Stale            // a pid file without its daemon
	Running
)

// Instance is a running daemon, or what is left of one.
type Instance struct {
	Presence Presence
	Pid      int // 0 when stopped, and while it has not said yet
	// Foreign says that it holds no lock of ours: another program of the same
	// name, such as the Perl ldirectord, that wrote the pid file.
	Foreign bool
}

// ErrRunning is returned by Acquire when another process holds the lock.
type ErrRunning struct{ Pid int }

func (e ErrRunning) Error() string {
	return fmt.Sprintf("already running with pid %d", e.Pid)
}

// Lock keeps a second daemon of the same instance out. The kernel drops it with the
// process, however that ends.
type Lock struct {
	file  *os.File
	paths Paths
}

// Acquire takes the instance's lock and writes our pid into it.
// The error is ErrRunning when another process holds it.
func Acquire(p Paths) (*Lock, error) {
	if other := Look(p); other.Presence == Running {
		return nil, ErrRunning{Pid: other.Pid}
	}
	// A daemon that ends removes its directory: then we may have locked a file that is
	// no longer there, and try again.
	for range 100 {
		l, err := acquire(p)
		if l != nil || err != nil {
			return l, err
		}
	}
	return nil, fmt.Errorf("take lock %s: it is made and removed all the time", p.Lock)
}

// acquire returns neither a lock nor an error when the file vanished under our hands.
func acquire(p Paths) (*Lock, error) {
	if err := p.Prepare(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p.Lock, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile()); err != nil {
		f.Close()
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
			return nil, ErrRunning{Pid: pidOf(p.Lock)}
		}
		return nil, fmt.Errorf("take lock %s: %w", p.Lock, err)
	}
	if !stillAt(f, p.Lock) {
		f.Close()
		return nil, nil
	}
	if err := writePid(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("write lock %s: %w", p.Lock, err)
	}
	return &Lock{file: f, paths: p}, nil
}

func stillAt(f *os.File, path string) bool {
	there, err := os.Lstat(path)
	if err != nil {
		return false
	}
	open, err := f.Stat()
	return err == nil && os.SameFile(there, open)
}

func writePid(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// Release gives the lock back, and removes the run directory with what is left in it. The directory
// leaves its place first, in one step: a daemon that starts meanwhile makes its own there.
func (l *Lock) Release() error {
	gone := filepath.Join(filepath.Dir(l.paths.RunDir), fmt.Sprintf(".gone-%d-%s", os.Getpid(), l.paths.Instance))
	err := os.Rename(l.paths.RunDir, gone)
	if err == nil {
		err = os.RemoveAll(gone)
	}
	return errors.Join(err, l.file.Close())
}

// Look finds out whether the instance runs. It needs no configuration file.
func Look(p Paths) Instance {
	if held(p.Lock) {
		return Instance{Presence: Running, Pid: pidOf(p.Lock)}
	}
	pid := readPid(p.PidFile)
	switch {
	case pid == 0 && !exists(p.PidFile):
		return Instance{}
	case pid == 0:
		return Instance{Presence: Stale}
	case isDirector(pid, p.Instance):
		return Instance{Presence: Running, Pid: pid, Foreign: true}
	default:
		return Instance{Presence: Stale, Pid: pid}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// wholeFile is the lock that a daemon holds: on the open file, so that the kernel drops it
// with the process and another process can ask for it without taking it.
func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK} }

func held(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lock := wholeFile()
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock) == nil && lock.Type != unix.F_UNLCK
}

// pidOf reads the pid from a lock that is held. Its holder has just taken it when there is
// none yet; 0 when it does not write one within a second.
func pidOf(path string) int {
	for range 100 {
		if pid := readPid(path); pid > 0 || !held(path) {
			return pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	return 0
}

// readPid returns 0 for a file that is missing or holds no process id.
func readPid(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}

// isDirector tells a live ldirectord of this instance from a process that
// happens to have its number: the command line names both.
func isDirector(pid int, instance string) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || pid == os.Getpid() {
		return false
	}
	args := strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00")
	for i, arg := range args {
		if filepath.Base(arg) != "ldirectord" {
			continue
		}
		return namesInstance(args[i+1:], instance)
	}
	return false
}

func namesInstance(args []string, instance string) bool {
	files := 0
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		if filepath.Base(arg) == instance {
			return true
		}
		files++
	}
	// Without a file, the one word is the command, and the instance has no name.
	return instance == "ldirectord" && files == 1
}

// WritePid writes the pid file; RemovePid removes it if it is still ours.
func WritePid(p Paths) error {
	tmp := p.PidFile + ".new"
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	if err := os.Rename(tmp, p.PidFile); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

// RemovePid removes the pid file if it names this process.
func RemovePid(p Paths) {
	if readPid(p.PidFile) == os.Getpid() {
		os.Remove(p.PidFile)
	}
}

// WaitGone waits until the instance's daemon has ended, for at most limit. It
// reports whether it has.
func WaitGone(p Paths, i Instance, limit time.Duration) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.After(limit)
	for {
		if now := Look(p); now.Presence != Running || now.Pid != i.Pid {
			return true
		}
		select {
		case <-tick.C:
		case <-over:
			return false
		}
	}
}

func ownerOf(info os.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
