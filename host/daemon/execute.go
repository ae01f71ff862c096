package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// settle is how long a command for another instance waits for the one before it to end, from when that began. One
// that is supervised never ends its start: it stays in the foreground.
const settle = 10 * time.Second

// hurry is the same while this instance stops: then a start that has not ended is told to.
const hurry = 3 * time.Second

// alongVariable tells a command for another instance through which instances it came, separated by "/".
const alongVariable = "LDIRECTORD_ALONG"

// TakeAlong returns the instances through which this command came, the first one first: a start, or a reload
// that one passed to the next. Nil for an operator's. What is started from now on does not inherit them.
func TakeAlong() []string {
	text := os.Getenv(alongVariable)
	os.Unsetenv(alongVariable)
	if text == "" {
		return nil
	}
	return strings.Split(text, "/")
}

// Others are the instances that a configuration has started along with its own (ldirectord(8),
// "execute"), by this very program's commands. Nothing here waits for them but Wait. Methods must not
// be called concurrently.
type Others struct {
	program  string
	instance string
	starters []string
	log      *slog.Logger
	settle   time.Duration
	hurry    time.Duration
	names    []string
	last     map[string]*errand // by name
	running  sync.WaitGroup

	mu     sync.Mutex      // guards failed: the errands share it
	failed map[string]bool // whose start failed
}

// errand is one command for another instance.
type errand struct {
	over chan struct{} // closed when it has ended, or has had its time to settle
	end  chan struct{} // closed to have it end
}

// NewOthers makes the set of instance, empty at first. starters is what TakeAlong returned. Commands are run as
// "PROGRAM -- NAME COMMAND"; an empty program is this one.
func NewOthers(program, instance string, starters []string, log *slog.Logger) *Others {
	if program == "" {
		program = "/proc/self/exe"
	}
	return &Others{
		program: program, instance: instance, starters: starters, log: log, settle: settle, hurry: hurry,
		last: map[string]*errand{}, failed: map[string]bool{},
	}
}

// Set makes names the instances that run along: new ones are started, those that left are
// stopped, and those that stay have their configurations read again. via is through which instances a reload
// came here, nil for none: it is not passed back to them, or two that name each other would never come to rest.
func (o *Others) Set(names, via []string) {
	for _, name := range o.names {
		if !slices.Contains(names, name) {
			o.command(name, "stop", nil)
		}
	}
	for _, name := range names {
		switch {
		case !slices.Contains(o.names, name):
			o.command(name, "start", o.starters)
		case !slices.Contains(via, filepath.Base(name)):
			o.command(name, "reload", via)
		}
	}
	o.names = slices.Clone(names)
}

// Stop stops all of them, but for those that have started us: they look after themselves. What has not done
// its last command after a while is told to end. Wait then waits for that.
func (o *Others) Stop() {
	for _, name := range o.names {
		if slices.Contains(o.starters, filepath.Base(name)) {
			continue
		}
		before := o.last[name]
		o.command(name, "stop", nil)
		o.running.Go(func() { // Wait waits for it
			select {
			case <-before.over:
			case <-time.After(o.hurry):
				close(before.end)
			}
		})
	}
	o.names = nil
}

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
func (o *Others) command(name, command string, via []string) {
	before, now := o.last[name], &errand{over: make(chan struct{}), end: make(chan struct{})}
	o.last[name] = now
	o.running.Go(func() { // Wait waits for it
		over := sync.OnceFunc(func() { close(now.over) })
		defer over()
		if before != nil {
			select {
			case <-before.over:
			case <-now.end: // before it began
				close(before.end)
				return
			}
		}
		defer time.AfterFunc(o.settle, over).Stop()
		o.run(name, command, via, now.end)
	})
}

// run runs a command; a start instead of a reload if the last start failed: its reason may have been mended.
func (o *Others) run(name, command string, via []string, end <-chan struct{}) {
	if command == "reload" && o.note(name, false) {
		command, via = "start", o.starters
	}
	log := o.log.With("configuration", name, "command", command)
	var said bytes.Buffer
	cmd := exec.Command(o.program, "--", name, command)
	cmd.Args[0] = os.Args[0]
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), alongVariable+"="+strings.Join(append(slices.Clone(via), o.instance), "/"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = &bounded{&said, 4096}
	if command == "start" {
		cmd.Stdout = os.Stdout // the log of one that stays in the foreground: ours is there, too, or nowhere
	}
	cmd.WaitDelay = time.Second
	err := cmd.Start()
	if err == nil {
		err = waitOrEnd(cmd, end)
	}
	o.note(name, command == "start" && err != nil)
	if err != nil {
		reason := fmt.Sprintf("%v: %s", err, strings.TrimSpace(said.String()))
		log.Error("execute: another instance did not do as it was told", "reason", Printable(reason))
		return
	}
	log.Info("execute: done")
}

// waitOrEnd waits for a command, which is told to end when end is closed.
func waitOrEnd(cmd *exec.Cmd, end <-chan struct{}) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // waited for below
	select {
	case err := <-ended:
		return err
	case <-end:
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		return <-ended
	}
}

// note keeps whether the last start of an instance failed, and says whether the one before did.
func (o *Others) note(name string, failed bool) (before bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before = o.failed[name]
	o.failed[name] = failed
	return before
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
