package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// readyVariable tells a child on which descriptor to report.
const readyVariable = "LDIRECTORD_READY_FD"

// report is what the child tells its parent, once.
type report struct {
	Error string `json:"error,omitempty"`
	Code  int    `json:"code"`
}

// StartError is why a daemon in the background did not become ready.
type StartError struct {
	Text string // for stderr; may have several lines
	Code int    // exit code, not 0
}

func (e *StartError) Error() string { return e.Text }

// Background starts this program again, with args, as a daemon: a session of its
// own, no terminal, standard streams to the null device. It returns when the child says that it
// is ready, with its pid, or why it is not (*StartError). systemd, if it wants to know, is told the pid.
func Background(args []string) (int, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("start daemon: %w", err)
	}
	defer read.Close()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	if os.Getenv(watchdogPidVariable) == strconv.Itoa(os.Getpid()) {
		os.Unsetenv(watchdogPidVariable) // the watchdog that is ours will be the child's
	}
	cmd.Env = append(os.Environ(), readyVariable+"=3")
	cmd.ExtraFiles = []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	write.Close()
	if err != nil {
		return 0, fmt.Errorf("start daemon: %w", err)
	}
	var r report
	if err := json.NewDecoder(read).Decode(&r); err != nil {
		state := "still running"
		if errors.Is(err, io.EOF) {
			state = waitText(cmd)
		}
		return 0, &StartError{Text: "daemon ended before it was ready: " + state + "; see the log", Code: 1}
	}
	if r.Code != 0 || r.Error != "" {
		waitText(cmd)
		return 0, &StartError{Text: r.Error, Code: max(r.Code, 1)}
	}
	pid := cmd.Process.Pid // Release forgets it
	OpenSystemd(slog.New(slog.DiscardHandler)).tookOver(pid)
	return pid, cmd.Process.Release()
}

func waitText(cmd *exec.Cmd) string {
	if err := cmd.Wait(); err != nil {
		return err.Error()
	}
	return "exit status 0"
}

// Parent is the way back to the process that started us in the background. A nil
// Parent is that of a process in the foreground.
type Parent struct{ pipe *os.File }

// OpenParent returns the parent that waits for us, or nil in the foreground. It
// is to be called once, early: it closes the descriptor to our children.
func OpenParent() *Parent {
	fd, err := strconv.Atoi(os.Getenv(readyVariable))
	os.Unsetenv(readyVariable)
	if err != nil || fd < 3 {
		return nil
	}
	syscall.CloseOnExec(fd)
	return &Parent{pipe: os.NewFile(uintptr(fd), "ready")}
}

// Ready tells the parent that the table is programmed.
func (p *Parent) Ready() { p.tell(report{}) }

// Failed tells the parent why there will be no daemon.
func (p *Parent) Failed(err error, code int) {
	p.tell(report{Error: err.Error(), Code: code})
}

func (p *Parent) tell(r report) {
	if p == nil || p.pipe == nil {
		return
	}
	// The parent may have been ended while it waited: then nobody is left to tell.
	_ = json.NewEncoder(p.pipe).Encode(r)
	p.pipe.Close()
	p.pipe = nil
}
