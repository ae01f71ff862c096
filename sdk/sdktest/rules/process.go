package rules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
)

// opened is a process of the plugin. It is a Checker, whose probes go over a stream, and a Runner.
type opened struct {
	sdk.Checker
	client *client.Client
	log    *lines
	out    *tap
}

// Run implements Runner.
func (p *opened) Run(ctx context.Context) (*client.Stream, error) { return p.client.Run(ctx) }

// open starts a process whose standard output and log are listened to.
func (t *trial) open(ctx context.Context) (*opened, error) {
	log := &lines{}
	l, err := t.launch(log.logger())
	if err != nil {
		return nil, err
	}
	out := &tap{start: l.Start}
	l.Start = out.run
	c, err := client.Open(ctx, l)
	if err != nil {
		return nil, err
	}
	return &opened{Checker: Streamed(c), client: c, log: log, out: out}, nil
}

// settle is how long what a process prints, or dies of, may take to be seen.
const settle = 100 * time.Millisecond

// end closes the process, and says how it had ended before that.
func (p *opened) end(ctx context.Context) error {
	defer p.client.Close()
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	select {
	case <-p.client.Exited():
	case <-time.After(settle):
		if err := p.client.Ping(limited); err == nil {
			return nil
		}
		select {
		case <-p.client.Exited():
		case <-limited.Done():
			return errors.New("it does not answer any more")
		}
	}
	p.client.Kill() // waits for its last words
	how := "it died (" + p.client.ExitStatus() + ")"
	if words := p.client.LastWords(); words != "" {
		how += " (its last words: " + words + ")"
	}
	return errors.New(how)
}

// printed is what it wrote to its standard output, after the handshake, by whichever way.
func (p *opened) printed() string {
	text := p.log.from("stdout")
	if _, after, ok := strings.Cut(p.out.text(), "\n"); ok {
		text += after
	}
	return text[:min(len(text), 80)]
}

// lines collects a log. Its zero value is empty.
type lines struct {
	mu   sync.Mutex // guards what follows
	all  strings.Builder
	said map[string]string // by name of the logger
}

// maxLog bounds what is kept of a log, in bytes.
const maxLog = 1 << 20

func (l *lines) logger() hclog.Logger {
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Debug})
	log.RegisterSink(l)
	return log
}

// Accept implements hclog.SinkAdapter.
func (l *lines) Accept(name string, _ hclog.Level, msg string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all.Len() > maxLog {
		return
	}
	fmt.Fprintln(&l.all, msg, args)
	if l.said == nil {
		l.said = map[string]string{}
	}
	l.said[name] += msg + "\n"
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *lines) from(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said[name]
}

// tap copies what a process writes to its standard output on the way to whoever reads that.
type tap struct {
	start func(*exec.Cmd) error // nil: the command's own

	mu   sync.Mutex // guards seen
	seen strings.Builder
}

// run starts cmd.
func (t *tap) run(cmd *exec.Cmd) error {
	start := t.start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	pipe, ok := cmd.Stdout.(*os.File)
	if !ok {
		return start(cmd)
	}
	// The command closes its own end once it has started.
	fd, err := syscall.Dup(int(pipe.Fd()))
	if err != nil {
		return os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(fd)
	onward := os.NewFile(uintptr(fd), "stdout")
	r, w, err := os.Pipe()
	if err != nil {
		return errors.Join(err, onward.Close())
	}
	cmd.Stdout = w
	err = start(cmd)
	_ = w.Close() // the process has its own
	if err != nil {
		return errors.Join(err, r.Close(), onward.Close())
	}
	go func() { // ends with the process and its group, which hold the other end
		_, _ = io.Copy(io.MultiWriter(t, onward), r)
		_, _ = r.Close(), onward.Close()
	}()
	return nil
}

// Write implements io.Writer.
func (t *tap) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen.Len() < maxLog {
		t.seen.Write(b)
	}
	return len(b), nil
}

func (t *tap) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen.String()
}
