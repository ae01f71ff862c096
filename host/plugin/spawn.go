package plugin

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/ldirectord/ldirectord/sdk/client"
)

// spawner starts processes from one thread that lives as long as the Pool: the kernel's
// "kill the child when its parent dies" (PR_SET_PDEATHSIG, prctl(2)) means the thread, and
// no_new_privs is inherited from it.
type spawner struct {
	jobs chan spawnJob
	done chan struct{} // closed by close
}

type spawnJob struct {
	cmd *exec.Cmd
	err chan error
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan spawnJob), done: make(chan struct{})}
	go s.run() // until close
	return s
}

func (s *spawner) run() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	const setNoNewPrivs = 38
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0)
	for {
		select {
		case job := <-s.jobs:
			if errno != 0 {
				job.err <- fmt.Errorf("set no_new_privs: %w", errno)
				continue
			}
			closeOnExec()
			job.err <- startWithoutCore(job.cmd)
		case <-s.done:
			return
		}
	}
}

func (s *spawner) start(cmd *exec.Cmd) error {
	job := spawnJob{cmd, make(chan error, 1)}
	select {
	case s.jobs <- job:
	case <-s.done:
		return errClosed
	}
	if err := <-job.err; err != nil {
		return err
	}
	moreFiles(cmd.Process.Pid)
	return nil
}

// close must only be called when all processes have ended: the kernel kills what is left.
func (s *spawner) close() { close(s.done) }

// startWithoutCore keeps a plugin, which may hold secrets, from dumping core. The limit is set around
// the fork: to set another process's, prlimit(2), takes a capability that the daemon may lack.
// An address space limit would break Go programs, which reserve far more than they use.
func startWithoutCore(cmd *exec.Cmd) error {
	var ours syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &ours); err != nil {
		return fmt.Errorf("read the core limit: %w", err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: 0, Max: ours.Max}); err != nil {
		return fmt.Errorf("set the core limit: %w", err)
	}
	err := cmd.Start()
	return errors.Join(err, syscall.Setrlimit(syscall.RLIMIT_CORE, &ours))
}

// closeOnExec keeps descriptors that the daemon itself was given, by a careless parent, from its
// plugins. Go's own are marked already. A kernel before 5.11 does not know the flag.
func closeOnExec() {
	const closeRange, cloexec = 436, 4 // close_range(2), CLOSE_RANGE_CLOEXEC
	_, _, _ = syscall.RawSyscall(closeRange, 3, math.MaxUint32, cloexec)
}

// moreFiles lets a plugin have as many sockets as it may. A Go program does so by itself.
func moreFiles(pid int) {
	const nofile = 7
	var files syscall.Rlimit
	prlimit := func(set, get *syscall.Rlimit) {
		// A failure leaves the inherited limit, which is no worse than ours.
		_, _, _ = syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), nofile,
			uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 0, 0)
	}
	prlimit(nil, &files)
	if files.Cur < files.Max {
		files.Cur = files.Max
		prlimit(&files, nil)
	}
}

// launch says how to start the binary.
func (p *Pool) launch(path string, log client.Logger) (client.Launch, error) {
	dir, err := p.runDirectory()
	if err != nil {
		return client.Launch{}, err
	}
	l := client.Launch{
		Cmd: exec.Command(path), Start: p.spawn.start, Dir: dir, Logger: log, Timeout: p.o.timing.start,
	}
	l.Cmd.Env = append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C",
		"GOMEMLIMIT=256MiB",
		"GOMAXPROCS=" + strconv.Itoa(min(runtime.NumCPU(), 4)),
	}, p.o.env...)
	l.Cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if !p.root {
		return l, nil
	}
	cred, err := credential(p.o.User)
	if err != nil {
		return l, err
	}
	l.Cmd.SysProcAttr.Credential = cred
	l.Own = func(dir string) error { return os.Chown(dir, int(cred.Uid), int(cred.Gid)) }
	return l, nil
}

// credential is that of the named user, or of the default one.
func credential(name string) (*syscall.Credential, error) {
	candidates := []string{"ldirectord", "nobody"}
	if name != "" {
		candidates = []string{name}
	}
	var errs []error
	for _, c := range candidates {
		u, err := user.Lookup(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("user for plugins: %w", err))
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("user %s for plugins: %w", c, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.Join(errs...)
}

// runDirectory makes the directory that holds those of the plugins. They must be able to
// pass through it, and to see nothing in it.
func (p *Pool) runDirectory() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runDir != "" {
		return p.runDir, nil
	}
	dir, err := p.o.RunDir, error(nil)
	if dir == "" {
		dir, err = os.MkdirTemp("", "ldirectord-plugins-")
		p.ours = err == nil
	} else {
		err = os.MkdirAll(dir, 0o711)
	}
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err == nil {
		err = sweepStale(dir)
	}
	if err != nil {
		return "", fmt.Errorf("run directory of plugins: %w", err)
	}
	p.runDir = dir
	return dir, nil
}

// sweepStale removes what plugins of a daemon that was killed have left behind.
func sweepStale(dir string) error {
	stale, err := filepath.Glob(filepath.Join(dir, "plugin-dir*")) // go-plugin's name
	for _, path := range stale {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}
