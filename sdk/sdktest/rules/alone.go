package rules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
)

// handLimit is how long a plugin that was run by hand may take to its end.
const handLimit = 5 * time.Second

// runByHand starts the plugin without what tells it of a director.
func (t *trial) runByHand(ctx context.Context, info sdk.Info) error {
	l, err := t.launch(nil)
	if err != nil {
		return err
	}
	text, err := said(ctx, l)
	lower := strings.ToLower(text)
	switch {
	case err != nil:
		return err
	case !strings.Contains(lower, "ldirectord") || !strings.Contains(lower, info.Name):
		return fmt.Errorf("run by hand it says %q, and not that it is the check %s of ldirectord", strings.TrimSpace(text[:min(len(text), 80)]), info.Name)
	}
	return nil
}

// said runs a program to its end and gives back what it printed.
func said(ctx context.Context, l client.Launch) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	l.Cmd.Stdout, l.Cmd.Stderr = w, w
	if l.Cmd.SysProcAttr == nil {
		l.Cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	l.Cmd.SysProcAttr.Setpgid = true
	start := l.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	err = start(l.Cmd)
	_ = w.Close() // the process has its own
	if err != nil {
		return "", errors.Join(err, r.Close())
	}
	limited, cancel := context.WithTimeout(ctx, handLimit)
	defer cancel()
	stop := context.AfterFunc(limited, func() { _ = syscall.Kill(-l.Cmd.Process.Pid, syscall.SIGKILL) })
	var text bytes.Buffer
	_, _ = io.Copy(&text, io.LimitReader(r, 64<<10))
	_, _ = r.Close(), l.Cmd.Wait() // with which code it ends is its own affair
	if !stop() {
		return "", fmt.Errorf("run by hand it was still there after %v", handLimit)
	}
	return text.String(), nil
}

// leaveAlone starts the plugin as a director does, from a thread that then ends: to the kernel that
// is the death of its parent (PR_SET_PDEATHSIG, prctl(2)).
func (t *trial) leaveAlone(ctx context.Context) error {
	l, err := t.launch(nil)
	if err != nil {
		return err
	}
	if l.Cmd.SysProcAttr == nil {
		l.Cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	l.Cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	die := make(chan struct{})
	l.Start = func(cmd *exec.Cmd) error { return startDoomed(cmd, die) }
	c, err := client.Open(ctx, l)
	if err != nil {
		close(die)
		return err
	}
	defer c.Kill()
	_, err = c.Describe(ctx)
	close(die)
	if err != nil {
		return err
	}
	const limit = 3 * time.Second
	select {
	case <-c.Exited():
		return nil
	case <-time.After(limit):
		return fmt.Errorf("its director died, and it ran on for %v", limit)
	}
}

// startDoomed starts cmd from a thread that lives until die is closed.
func startDoomed(cmd *exec.Cmd, die <-chan struct{}) error {
	started := make(chan error, 1)
	var spawn func()
	spawn = func() {
		runtime.LockOSThread()
		if syscall.Gettid() == os.Getpid() { // the main thread does not end with its goroutine
			go spawn()
			<-die
			runtime.UnlockOSThread()
			return
		}
		const setNoNewPrivs = 38 // as a director starts its plugins
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0)
		if errno != 0 {
			started <- os.NewSyscallError("prctl", errno)
			return
		}
		started <- cmd.Start()
		<-die // never unlocked: the thread ends with the goroutine
	}
	go spawn()
	return <-started
}
