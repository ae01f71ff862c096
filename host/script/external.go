package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/host/builtin"
	"github.com/ldirectord/ldirectord/sdk"
)

// External runs checks of checktype = external: one program for each probe.
type External struct {
	*builtin.Pool
	checker *externalChecker
}

// maxPrograms bounds the programs that run at once; fewer where there are few descriptors.
const maxPrograms = 256

// NewExternal makes the runner. Close ends it.
func NewExternal() *External {
	c := &externalChecker{launcher: newLauncher()}
	return &External{builtin.Runner(c, builtin.Options{Max: programs()}), c}
}

// programs is how many may run: each takes two descriptors, and two more while it starts.
func programs() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return maxPrograms
	}
	return int(max(1, min(maxPrograms, limit.Cur/8)))
}

// Close ends all programs and waits for them, at most until ctx ends.
func (e *External) Close(ctx context.Context) error {
	err := e.Pool.Close(ctx)
	e.checker.launcher.close(ctx.Done())
	return err
}

type externalChecker struct{ launcher *launcher }

// Describe names the check. It has no services of its own, since it is a check type.
func (*externalChecker) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Name: "external", Summary: "a program says so", IPv6: true}, nil
}

// Validate looks at the command alone: whether it can be started is found out when it is.
func (c *externalChecker) Validate(_ context.Context, service string, o sdk.Options) error {
	_, err := c.Prepare(service, o)
	return err
}

// Probe runs the program once.
func (c *externalChecker) Probe(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict {
	probe, err := c.Prepare(t.Service, o)
	if err != nil {
		return sdk.Unknown("%v", err)
	}
	return probe(ctx, t)
}

// Prepare reads the command, once for all probes of a check.
func (c *externalChecker) Prepare(_ string, o sdk.Options) (func(context.Context, sdk.Target) sdk.Verdict, error) {
	what, err := orderOf(o)
	if err != nil {
		return nil, err
	}
	r := &program{launcher: c.launcher, order: what}
	return r.probe, nil
}

// program is the program of one check.
type program struct {
	launcher *launcher
	order
	ending atomic.Bool // the last one could not be killed yet
}

// settled is what the end of a program may take beyond the check's time, TERM and KILL included.
// A runner of checks has 600 ms until it gives a probe up.
const settled = termGrace + 200*time.Millisecond

func (r *program) probe(ctx context.Context, t sdk.Target) sdk.Verdict {
	if r.ending.Load() {
		return sdk.Unknown("the last run of %s cannot be killed", shown(r.command.Path))
	}
	began := time.Now()
	budget := budgetOf(ctx, began)
	out, p, err := r.start(factsOf(t), budget)
	if err != nil {
		return sdk.Unknown("%s cannot be started: %v", shown(r.command.Path), err)
	}
	select {
	case <-p.exited:
		out.settle()
		code, signal, ok := exitCode(p.err)
		if !ok {
			return sdk.DownWith(sdk.CodeStatus, "ended by a signal: %s%s", signal, said(out.tail.line()))
		}
		return judge(code, r.weighs, out.tail.line())
	case <-ctx.Done():
	}
	r.stop(p, out)
	return late(budget, out.tail.line())
}

// stop ends the program and waits for that as long as the check may.
func (r *program) stop(p *process, out *output) {
	r.ending.Store(true)
	ended := make(chan struct{})
	r.launcher.later(func() {
		defer close(ended)
		p.end(termGrace)
		out.settle()
		r.ending.Store(false)
	})
	timer := time.NewTimer(settled)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// budgetOf is the time that ctx leaves.
func budgetOf(ctx context.Context, now time.Time) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return deadline.Sub(now)
	}
	return time.Hour
}

// start starts the program. Who owns its output must settle it.
func (r *program) start(f facts, budget time.Duration) (*output, *process, error) {
	path, err := r.command.Find()
	if err != nil {
		return nil, nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer write.Close()
	args := append(append([]string{}, r.command.Args...), f.arguments()...)
	p, err := r.launch(write, f, budget, path, args...)
	if errors.Is(err, syscall.ENOEXEC) {
		// Without a #! line it is a script of the shell's, as execvp(3) has it.
		p, err = r.launch(write, f, budget, "/bin/sh", append([]string{path}, args...)...)
	}
	if err != nil {
		read.Close()
		if why := (Command{Path: path}).Startable(false); why != nil {
			err = why
		}
		return nil, nil, err
	}
	return collect(read), p, nil
}

func (r *program) launch(out *os.File, f facts, budget time.Duration, path string, args ...string) (*process, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = append(r.who.environment(), f.environment(budget)...)
	cmd.Env = append(cmd.Env, "LDIRECTORD_CHECK=external")
	cmd.Stdout, cmd.Stderr = out, out
	p, err := r.launcher.start(cmd, r.who)
	if err != nil && r.who.credential != nil && errors.Is(err, syscall.EPERM) {
		err = fmt.Errorf("as user %s: %w", r.who.name, err)
	}
	return p, err
}

// output reads what a program writes, so that it never waits for us.
type output struct {
	tail tail
	from *os.File
	done chan struct{} // closed when nothing more is read
	once sync.Once
}

func collect(from *os.File) *output {
	o := &output{from: from, done: make(chan struct{})}
	go o.read() // settle waits for it
	return o
}

func (o *output) read() {
	defer close(o.done)
	_, _ = io.Copy(&o.tail, o.from) // ends with the last writer, or by settle
}

// lastWords is how long after a program's end its output is read on: what it wrote is there already,
// but somebody that it left behind may hold the pipe open.
const lastWords = 50 * time.Millisecond

// settle ends the reading. The program has ended.
func (o *output) settle() {
	o.once.Do(func() {
		_ = o.from.SetReadDeadline(time.Now().Add(lastWords))
		<-o.done
		_ = o.from.Close()
	})
}
