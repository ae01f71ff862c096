package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// settle is how long a command for another instance waits for its start to end. One that is
// supervised never ends it: it stays in the foreground.
const settle = 10 * time.Second

// Others are the instances that a configuration has started along with its own (ldirectord(8),
// "execute"), by this very program's commands. Nothing here waits for them but Stop. Methods must not
// be called concurrently.
type Others struct {
	program string
	log     *slog.Logger
	settle  time.Duration
	names   []string
	last    map[string]chan struct{} // by name: closed when its last command but a start in the foreground has ended
	running sync.WaitGroup
}

// NewOthers makes the set, empty at first. Commands are run as "PROGRAM -- NAME COMMAND"; an empty
// program is this one.
func NewOthers(program string, log *slog.Logger) *Others {
	if program == "" {
		program = "/proc/self/exe"
	}
	return &Others{program: program, log: log, settle: settle, last: map[string]chan struct{}{}}
}

// Set makes names the instances that run along: new ones are started, those that left are
// stopped, and those that stay have their configurations read again.
func (o *Others) Set(names []string) {
	for _, name := range o.names {
		if !slices.Contains(names, name) {
			o.command(name, "stop")
		}
	}
	for _, name := range names {
		if slices.Contains(o.names, name) {
			o.command(name, "reload")
		} else {
			o.command(name, "start")
		}
	}
	o.names = slices.Clone(names)
}

// Stop stops all of them. Wait then waits for that.
func (o *Others) Stop() { o.Set(nil) }

// Wait waits for all commands that have been given, those of instances in the foreground included, at
// most until ctx ends.
func (o *Others) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() { // ends with the last command, or with the process
		defer close(done)
		o.running.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		o.log.Error("commands for other instances have not ended: left alone")
	}
}

// command runs a command after the last one for the same instance.
func (o *Others) command(name, command string) {
	before, done := o.last[name], make(chan struct{})
	o.last[name] = done
	o.running.Go(func() { // Wait waits for it
		if before != nil {
			select {
			case <-before:
			case <-time.After(o.settle):
			}
		}
		defer close(done)
		o.run(name, command)
	})
}

func (o *Others) run(name, command string) {
	log := o.log.With("configuration", name, "command", command)
	cmd := exec.Command(o.program, "--", name, command)
	cmd.Args[0] = os.Args[0]
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer
	cmd.Stderr = &bounded{&said, 4096}
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		reason := fmt.Sprintf("%v: %s", err, strings.TrimSpace(said.String()))
		log.Error("execute: another instance did not do as it was told", "reason", Printable(reason))
		return
	}
	log.Info("execute: done")
}

// bounded keeps the first bytes that are written to it.
type bounded struct {
	to   *bytes.Buffer
	room int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.to.Write(p[:min(len(p), max(b.room-b.to.Len(), 0))])
	return len(p), nil
}
