package script

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// launcher starts the processes of one kind of check, and sees to it that nothing is left of them.
type launcher struct {
	prefix string // of marks: no other launcher's begin so
	count  atomic.Uint64
	hunt   hunter
	ends   sync.WaitGroup // of what waits for processes

	mu       sync.Mutex // guards the next two
	starters [2]*starter
	closed   bool
}

func newLauncher() *launcher {
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails
	return &launcher{prefix: strconv.Itoa(os.Getpid()) + "-" + hex.EncodeToString(random) + "-"}
}

// close waits for all processes to end, at most until done is closed.
func (l *launcher) close(done <-chan struct{}) {
	ended := make(chan struct{})
	go func() { l.ends.Wait(); close(ended) }() // waited for below, unless a process cannot be killed
	select {
	case <-ended:
	case <-done:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, s := range l.starters {
		if s != nil {
			s.close()
		}
	}
	l.starters = [2]*starter{}
}

func (l *launcher) starter(confined bool) (*starter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	at := 0
	if confined {
		at = 1
	}
	if l.starters[at] == nil {
		l.starters[at] = newStarter(confined)
	}
	return l.starters[at], nil
}

// later does what may take long, or for ever if the kernel does not let go of a process; close waits
// for it. The caller must be one that close comes after.
func (l *launcher) later(do func()) {
	l.ends.Add(1)
	go func() { // close waits for it
		defer l.ends.Done()
		do()
	}()
}

// process is a started program and its process group, which is a session too.
type process struct {
	launcher *launcher
	mark     string
	pid      int
	exited   chan struct{} // closed when it has been waited for, and its group killed
	err      error         // what waiting said; to be read after exited

	mu   sync.Mutex // guards gone
	gone bool       // the process group's number may be somebody else's
}

// marker is the variable that tells what belongs to one process, whatever session it hides in.
const marker = "LDIRECTORD_RUN="

// start starts cmd as who, in a session of its own. Its leader's end ends the whole process group.
func (l *launcher) start(cmd *exec.Cmd, who account) (*process, error) {
	s, err := l.starter(who.credential != nil)
	if err != nil {
		return nil, err
	}
	p := &process{
		launcher: l, exited: make(chan struct{}),
		mark: marker + l.prefix + strconv.FormatUint(l.count.Add(1), 10),
	}
	cmd.Dir = "/"
	cmd.Env = append(cmd.Env, p.mark)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Credential: who.credential}
	l.ends.Add(1)
	if err := s.start(cmd); err != nil {
		l.ends.Done()
		return nil, err
	}
	p.pid = cmd.Process.Pid
	go p.wait(cmd) // launcher.close waits for it
	return p, nil
}

// wait waits for the leader, and kills the rest of the group while its number is still ours.
func (p *process) wait(cmd *exec.Cmd) {
	defer p.launcher.ends.Done()
	waitUnreaped(p.pid)
	p.mu.Lock()
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	p.err = cmd.Wait()
	p.gone = true
	p.mu.Unlock()
	close(p.exited)
}

// waitUnreaped returns when the process has ended, and leaves it to be waited for.
func waitUnreaped(pid int) {
	const byPid, exited, leave = 1, 4, 0x1000000 // P_PID, WEXITED, WNOWAIT of waitid(2)
	var info [128]byte                           // siginfo_t
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPid, uintptr(pid), uintptr(unsafe.Pointer(&info)), exited|leave, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

// signal sends to the whole group, while there is one.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gone {
		_ = syscall.Kill(-p.pid, sig)
	}
}

// within waits for the end, at most for d.
func (p *process) within(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

// termGrace is what a script has after TERM until KILL.
const termGrace = 200 * time.Millisecond

// end makes an end of the process, its group and what left the group: TERM, and KILL after grace;
// without grace KILL at once. It returns when that is done, or the kernel does not let go of it.
func (p *process) end(grace time.Duration) {
	if grace > 0 {
		p.signal(syscall.SIGTERM)
		p.within(grace)
	}
	p.signal(syscall.SIGKILL)
	p.launcher.hunt.end(p.mark, 0)
	<-p.exited
}

// exitCode is the code that the process ended with; false: a signal ended it, which is named.
func exitCode(err error) (code int, signal string, ok bool) {
	exit, bad := errors.AsType[*exec.ExitError](err)
	if !bad {
		return 0, "", true
	}
	status, isWait := exit.Sys().(syscall.WaitStatus)
	if isWait && status.Signaled() {
		return 0, status.Signal().String(), false
	}
	return exit.ExitCode(), "", true
}
