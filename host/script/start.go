package script

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"runtime"
	"syscall"
)

var errClosed = errors.New("the checks are being shut down")

// starter starts processes from one thread that lives as long as itself: the kernel's "kill the
// child when its parent dies" (PR_SET_PDEATHSIG, prctl(2)) means the thread, and no_new_privs
// is inherited from it.
type starter struct {
	jobs chan startJob
	done chan struct{} // closed by close
}

type startJob struct {
	cmd *exec.Cmd
	err chan error
}

// newStarter makes one. What a confined one starts never gets rights beyond its user's.
func newStarter(confined bool) *starter {
	s := &starter{jobs: make(chan startJob), done: make(chan struct{})}
	go s.run(confined) // until close
	return s
}

func (s *starter) run(confined bool) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	var refusal error
	if confined {
		const setNoNewPrivs = 38 // prctl(2)
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
			refusal = fmt.Errorf("set no_new_privs: %w", errno)
		}
	}
	for {
		select {
		case job := <-s.jobs:
			if refusal != nil {
				job.err <- refusal
				continue
			}
			closeOnExec()
			job.err <- job.cmd.Start()
		case <-s.done:
			return
		}
	}
}

// start is cmd.Start.
func (s *starter) start(cmd *exec.Cmd) error {
	job := startJob{cmd, make(chan error, 1)}
	select {
	case s.jobs <- job:
		return <-job.err
	case <-s.done:
		return errClosed
	}
}

// close has the kernel kill what is left: it is called when all has ended.
func (s *starter) close() { close(s.done) }

// closeOnExec keeps descriptors that the daemon itself was given, by a careless parent, from
// scripts. Go's own are marked already. A kernel before 5.11 does not know the flag.
func closeOnExec() {
	const closeRange, cloexec = 436, 4 // close_range(2), CLOSE_RANGE_CLOEXEC
	_, _, _ = syscall.RawSyscall(closeRange, 3, math.MaxUint32, cloexec)
}
