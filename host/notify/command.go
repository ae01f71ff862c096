// Package notify carries transitions out of the daemon: to the programs and files
// that the configuration names. Nothing here can delay a check or a decision: each sink
// has a bounded queue and one goroutine.
package notify

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// queued bounds how many commands may wait; more than that are dropped, loudly.
const queued = 1024

// commandLimit is how long a fallbackcommand may run before its process group is ended.
const commandLimit = 60 * time.Second

// FallbackCommands runs the fallbackcommand of a virtual service when its
// fallback starts and stops (ldirectord(8), "fallbackcommand"), one at a time and in order.
type FallbackCommands struct {
	log   *slog.Logger
	limit time.Duration
	queue chan state.Transition
	stop  chan struct{} // closed by Close
	done  chan struct{} // closed when the last command has ended
}

// NewFallbackCommands starts the sink. Close it to wait for its last command.
func NewFallbackCommands(log *slog.Logger) *FallbackCommands {
	f := &FallbackCommands{
		log:   log,
		limit: commandLimit,
		queue: make(chan state.Transition, queued),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	go f.work() // Close waits for it
	return f
}

// Take queues the commands of those transitions that have one. It never blocks.
func (f *FallbackCommands) Take(ts []state.Transition) {
	for _, t := range ts {
		if t.Command == "" || (t.Change != state.FallbackStarted && t.Change != state.FallbackStopped) {
			continue
		}
		select {
		case f.queue <- t:
		default:
			f.log.Error("fallbackcommand dropped: too many are waiting", "virtual", t.Virtual, "command", t.Command)
		}
	}
}

// Close runs what is queued and ends, at most until ctx ends. It is called once; what is taken
// afterwards is not run.
func (f *FallbackCommands) Close(ctx context.Context) {
	close(f.stop)
	select {
	case <-f.done:
	case <-ctx.Done():
		f.log.Error("fallbackcommand still running: left alone")
	}
}

func (f *FallbackCommands) work() {
	defer close(f.done)
	for {
		select {
		case t := <-f.queue:
			f.run(t)
			continue
		case <-f.stop:
		}
		select {
		case t := <-f.queue:
			f.run(t)
		default:
			return
		}
	}
}

// arguments are start or stop, the virtual service's address and port (a mark and 0),
// and the protocol.
func arguments(t state.Transition) []string {
	word := "start"
	if t.Change == state.FallbackStopped {
		word = "stop"
	}
	virtual := t.Service.Addr.String()
	if t.Service.Protocol == lvs.FWM {
		virtual = strconv.FormatUint(uint64(t.Service.Mark), 10) + ":0"
	}
	return []string{word, virtual, t.Service.Protocol.String()}
}

func (f *FallbackCommands) run(t state.Transition) {
	args := arguments(t)
	log := f.log.With("virtual", t.Virtual, "command", t.Command, "argument", args[0])
	// The directive has always been a shell's command line: variables, quotes and
	// arguments of its own are in use.
	cmd := exec.Command("/bin/sh", append([]string{"-c", t.Command + ` "$@"`, "sh"}, args...)...)
	cmd.Dir = "/"
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = time.Second // a child in the background may keep the pipe open
	if err := cmd.Start(); err != nil {
		log.Error("fallbackcommand could not be started", "reason", err)
		return
	}
	kill := time.AfterFunc(f.limit, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	if !kill.Stop() {
		log.Error("fallbackcommand ended: it ran too long", "limit", f.limit)
		return
	}
	if err != nil {
		log.Error("fallbackcommand failed", "reason", err, "output", output.line())
		return
	}
	log.Info("fallbackcommand done")
}

// tail keeps the last 1,024 bytes written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - 1024; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// line returns the last line that is not empty.
func (t *tail) line() string {
	lines := bytes.Split(bytes.TrimSpace(t.kept), []byte("\n"))
	return string(bytes.TrimSpace(lines[len(lines)-1]))
}
