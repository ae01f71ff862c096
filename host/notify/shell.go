package notify

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// queued bounds how many commands may wait for one virtual service, or one file; more than that are
// dropped, loudly.
const queued = 1024

// atOnce bounds the commands that run at the same time: so many would have to hang to hold up others.
const atOnce = 64

// commandLimit is how long a command may run before its process group is ended.
const commandLimit = 60 * time.Second

// order is one command to run.
type order struct {
	line  string // the directive's value, a shell's command line
	args  []string
	stdin []byte
	log   *slog.Logger // with what the order is about
}

// shells runs the commands of one directive: those with the same key one after the other in their
// order, others at the same time, so that one that hangs delays none but its own kind.
type shells struct {
	directive string
	log       *slog.Logger
	limit     time.Duration
	places    chan struct{}
	running   sync.WaitGroup

	mu      sync.Mutex // guards the rest: every sink's goroutine and the drains share it
	waiting map[string][]order
	dropped map[string]int // since the last one ran
}

func newShells(directive string, log *slog.Logger) *shells {
	return &shells{
		directive: directive, log: log, limit: commandLimit,
		places: make(chan struct{}, atOnce), waiting: map[string][]order{}, dropped: map[string]int{},
	}
}

// add queues an order. It never blocks.
func (s *shells) add(key string, o order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line, busy := s.waiting[key]
	if len(line) >= queued {
		if s.dropped[key]++; s.dropped[key] == 1 {
			o.log.Error(s.directive + " dropped: too many are waiting")
		}
		return
	}
	s.waiting[key] = append(line, o)
	if !busy {
		s.running.Go(func() { s.drain(key) }) // close waits for it
	}
}

// drain runs what waits under key, until nothing does.
func (s *shells) drain(key string) {
	for {
		s.mu.Lock()
		line := s.waiting[key]
		if len(line) == 0 {
			delete(s.waiting, key)
			s.mu.Unlock()
			return
		}
		s.waiting[key] = line[1:]
		dropped := s.dropped[key]
		delete(s.dropped, key)
		s.mu.Unlock()
		if dropped > 1 {
			s.log.Error(s.directive+" dropped: too many were waiting", "dropped", dropped)
		}
		s.places <- struct{}{}
		s.run(line[0])
		<-s.places
	}
}

// close waits until nothing waits and nothing runs, at most until ctx ends.
func (s *shells) close(ctx context.Context) {
	done := make(chan struct{})
	go func() { // ends with the last command, or with the process
		defer close(done)
		s.running.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.log.Error(s.directive + " still running: left alone")
	}
}

// run runs one order. The directives have always been a shell's command line: variables, quotes
// and arguments of its own are in use.
func (s *shells) run(o order) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	output, err := runProgram(ctx, o.stdin, "/bin/sh", append([]string{"-c", o.line + ` "$@"`, "sh"}, o.args...)...)
	switch {
	case ctx.Err() != nil:
		o.log.Error(s.directive+" ended: it ran too long", "limit", s.limit)
	case err != nil:
		o.log.Error(s.directive+" failed", "reason", err, "output", output)
	default:
		o.log.Info(s.directive + " done")
	}
}

// runProgram runs a program in the root directory and returns the last line of what it printed. When ctx ends, so
// does the program, with all of its process group.
func runProgram(ctx context.Context, stdin []byte, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = time.Second // a child in the background may keep the pipe open
	err := cmd.Run()
	return output.line(), err
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
