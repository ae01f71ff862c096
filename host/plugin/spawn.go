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
	"strings"
	"syscall"
	"time"
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

// timerSlack is how late the kernel may wake up a thread of a plugin that sleeps for a while: no
// probe's time is finer, and the thread with which Go's scheduler watches over the others, which
// sleeps for 20 microseconds at a time, costs an eighth of all processor time without it.
const timerSlack = 500 * time.Microsecond

func (s *spawner) run() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	err := confineThread()
	// What is started from here inherits this (prctl(2)). A failure costs processor time alone.
	const setTimerSlack = 29
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, uintptr(timerSlack), 0)
	for {
		select {
		case job := <-s.jobs:
			if err != nil {
				job.err <- err
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
		return explainDenial(cmd, err)
	}
	limitProcess(cmd.Process.Pid)
	return nil
}

// close must only be called when all processes have ended: the kernel kills what is left.
func (s *spawner) close() { close(s.done) }

// confineThread takes from this thread, and so from its children, the ways to get rights, and
// closes the files that they make to others. The rest of the daemon keeps what it has.
func confineThread() error {
	const (
		setNoNewPrivs   = 38 // prctl(2)
		dropBounding    = 24
		ambient         = 47
		ambientClearAll = 4
		lastCapability  = 63 // more than there are: the kernel refuses numbers that it does not know
	)
	prctl := func(option, arg uintptr) syscall.Errno {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, option, arg, 0, 0, 0, 0)
		return errno
	}
	if errno := prctl(setNoNewPrivs, 1); errno != 0 {
		return fmt.Errorf("set no_new_privs: %w", errno)
	}
	// A daemon that is not root has its capabilities as ambient ones, which children would inherit.
	if errno := prctl(ambient, ambientClearAll); errno != 0 && errno != syscall.EINVAL { // before 4.3 there are none
		return fmt.Errorf("clear ambient capabilities: %w", errno)
	}
	for c := range uintptr(lastCapability + 1) {
		_ = prctl(dropBounding, c) // EPERM without CAP_SETPCAP: no_new_privs alone must do
	}
	if err := syscall.Unshare(syscall.CLONE_FS); err != nil {
		return fmt.Errorf("get an umask of the thread's own: %w", err)
	}
	syscall.Umask(0o077)
	return nil
}

// startWithoutCore keeps a plugin, which may hold secrets, from dumping core from its first
// moment: the limit is set around the fork.
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

// maxFile is the size in bytes of the largest file that a plugin may write.
const maxFile = 16 << 20

// limitProcess bounds what a plugin, which has just been started, may use for good: no core, small
// files, and as many sockets as it may have. To set another user's takes CAP_SYS_RESOURCE: without it
// a plugin keeps what it inherited. Not bounded are address space, of which Go programs reserve far
// more than they use (GOMEMLIMIT bounds that), and processes, which the kernel counts per user, others
// that run as the same user included.
func limitProcess(pid int) {
	const nofile = 7 // RLIMIT_NOFILE, which package syscall adjusts behind one's back
	prlimit := func(resource uintptr, set, get *syscall.Rlimit) {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), resource,
			uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 0, 0)
	}
	prlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}, nil)
	var its syscall.Rlimit
	if prlimit(syscall.RLIMIT_FSIZE, nil, &its); its.Max > maxFile {
		prlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: maxFile, Max: maxFile}, nil)
	}
	if prlimit(nofile, nil, &its); its.Cur < its.Max {
		prlimit(nofile, &syscall.Rlimit{Cur: its.Max, Max: its.Max}, nil)
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

// sweepStale removes what plugins of a daemon that was killed have left behind. The kernel has killed
// the plugins themselves, but not the programs that they had started.
func sweepStale(dir string) error {
	stale, err := filepath.Glob(filepath.Join(dir, "plugin-dir*")) // go-plugin's name
	for _, path := range stale {
		killOrphans(path)
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// killOrphans kills the processes that were started with the plugin's private directory for theirs.
func killOrphans(dir string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ") // fails on bad patterns alone
	mark := "\x00TMPDIR=" + dir + "\x00"
	for _, path := range environs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		one, err := os.FindProcess(pid) // before the look: it stands for this process, not for its number
		if err != nil {
			continue
		}
		if env, err := os.ReadFile(path); err == nil && strings.Contains("\x00"+string(env), mark) {
			_ = one.Kill() // it has ended meanwhile
		}
		_ = one.Release() // never fails
	}
}
