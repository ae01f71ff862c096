package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// child is the process of a plugin as go-plugin sees it (runner.Runner): the leader of a
// process group, killed as a whole.
type child struct {
	launch Launch
	cmd    *exec.Cmd
	dir    string
	stdout *headReader
	stderr io.ReadCloser
	words  words
	exited chan struct{} // closed when the leader has ended and its group is killed

	mu      sync.Mutex // guards what follows
	started bool
	dead    bool // the group's number may belong to somebody else
	doomed  bool // killed before it was started
	state   string
	socket  string // that it listens on
}

func newChild(l Launch) *child {
	return &child{launch: l, cmd: l.Cmd, stdout: &headReader{}, exited: make(chan struct{})}
}

// adopt takes the environment of the handshake and the directory of the socket.
func (c *child) adopt(env []string, dir string) (err error) {
	c.dir = dir
	c.cmd.Env = append(c.cmd.Env, env...)
	c.cmd.Env = append(c.cmd.Env, "TMPDIR="+dir)
	c.cmd.Dir = dir
	if c.launch.Own != nil {
		if err := c.launch.Own(dir); err != nil {
			return err
		}
	}
	if c.cmd.SysProcAttr == nil {
		c.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.cmd.SysProcAttr.Setpgid = true
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		return err
	}
	c.stdout.from = stdout
	c.stderr = &tapReader{ReadCloser: stderr, tap: &c.words}
	return nil
}

// Start implements runner.Runner.
func (c *child) Start(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doomed {
		close(c.exited)
		return errors.New("killed before it was started")
	}
	start := c.launch.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(c.cmd); err != nil {
		close(c.exited)
		return err
	}
	c.started = true
	go c.watch(c.cmd.Process.Pid)
	return nil
}

// watch kills the group when its leader has ended: a grandchild must not outlive it, nor
// hold its pipes. It waits without reaping, so that the number cannot be another's yet.
func (c *child) watch(pid int) {
	const byPID, exited, noWait = 1, 4, 0x01000000 // P_PID, WEXITED, WNOWAIT of waitid(2)
	var info [128]byte                             // siginfo_t
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid),
			uintptr(unsafe.Pointer(&info)), exited|noWait, 0, 0)
		if errno != syscall.EINTR {
			break
		}
	}
	c.mu.Lock()
	_ = syscall.Kill(-pid, syscall.SIGKILL) // ESRCH: nobody is left
	c.dead = true
	c.mu.Unlock()
	close(c.exited)
}

// kill ends the group at once, or keeps it from being started.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.started:
		c.doomed = true
	case !c.dead:
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // ESRCH: it is over
	}
}

// clean removes the plugin's directory: one that was killed leaves its socket behind.
func (c *child) clean() {
	if c.dir != "" {
		_ = os.RemoveAll(c.dir) // gone already, or swept with the parent directory
	}
}

func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started {
		return 0
	}
	return c.cmd.Process.Pid
}

func (c *child) status() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *child) lastWords() string { return c.words.last() }

// Wait implements runner.AttachedRunner. go-plugin calls it when both pipes are at their end.
func (c *child) Wait(context.Context) error {
	<-c.exited
	err := c.cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = "exit status 0"
	if err != nil {
		c.state = err.Error()
	}
	return err
}

// Kill implements runner.AttachedRunner.
func (c *child) Kill(context.Context) error { c.kill(); return nil }

// Diagnose implements runner.Runner: explain says more than go-plugin's text.
func (c *child) Diagnose(context.Context) string { return "" }

// Stdout implements runner.Runner.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr implements runner.Runner.
func (c *child) Stderr() io.ReadCloser { return c.stderr }

// Name implements runner.Runner.
func (c *child) Name() string { return c.cmd.Path }

// ID implements runner.AttachedRunner.
func (c *child) ID() string {
	if pid := c.pid(); pid != 0 {
		return strconv.Itoa(pid)
	}
	return ""
}

// PluginToHost implements runner.AddrTranslator. A plugin has no business to send its host
// anywhere but to the socket in its own directory.
func (c *child) PluginToHost(network, addr string) (string, string, error) {
	if network != "unix" || filepath.Dir(filepath.Clean(addr)) != c.dir {
		return "", "", fmt.Errorf("it listens on %s %q, not on a socket in its own directory", network, addr)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket = addr
	return network, addr, nil
}

// HostToPlugin implements runner.AddrTranslator.
func (c *child) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// headline is the first line of an error: go-plugin adds paragraphs, and quotes at length.
func headline(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return clip(strings.TrimSpace(line), maxWords)
}
