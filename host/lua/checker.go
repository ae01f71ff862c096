// Package lua runs the checks of checktype external-lua: scripts in Lua 5.1, inside the
// daemon, without a process per check.
//
// A script is somebody's program, and may be wrong in any way. So it runs within limits of
// time, work and memory that it cannot escape: see limits.go for them, run for how they are kept,
// rewrite and the functions named in base.go for what of Lua had to be replaced for
// it, and watch for the memory of all scripts together. A limit reached is Unknown; an error or the deadline
// is Down.
package lua

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// Kind is the name of the check.
const Kind = "external-lua"

// The options that name the script: one of them has to be set.
const (
	optionText = "lua"          // the script itself
	optionFile = "checkcommand" // its absolute path, and arguments
)

// Options are those of New. The zero value is usable.
type Options struct {
	// Log takes what scripts log; nil: nothing does.
	Log *slog.Logger
	// Dial makes the connections of scripts; nil: net.Dialer. See ld.Call.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// New makes the check of scripts. It is an sdk.Preparer too. The first call of the process
// sets MaxArrayIndex and CompatVarArg of gopher-lua, for good and for all who use it.
func New(o Options) sdk.Checker {
	settings()
	return &checker{options: o}
}

type checker struct {
	options Options
	scripts scripts
	watch   watch
	turns   turns
	states  sync.Pool // of *state
}

// Describe implements sdk.Checker. Besides its own the check takes any option: they are for the script.
func (c *checker) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{
		Name: Kind, Summary: "a script in Lua, run inside the daemon", IPv6: true,
		Services: []sdk.Service{{Name: Kind, Network: "tcp"}},
		Options: []sdk.Option{
			{Name: optionText, Type: "string", Help: "the script itself"},
			{Name: optionFile, Type: "string", Help: "absolute path of the script, and arguments for it"},
			{Name: "request", Type: "string", Help: "for the script"},
			{Name: "receive", Type: "string", Help: "for the script"},
			{Name: "httpmethod", Type: "string", Help: "for the script"},
			{Name: "virtualhost", Type: "string", Help: "for the script"},
			{Name: "login", Type: "string", Help: "for the script"},
			{Name: "passwd", Type: "string", Secret: true, Help: "for the script"},
			{Name: "database", Type: "string", Help: "for the script"},
			{Name: "secret", Type: "string", Secret: true, Help: "for the script"},
		},
	}, nil
}

// Validate implements sdk.Checker: the script has to be there and to compile.
func (c *checker) Validate(_ context.Context, _ string, o sdk.Options) error {
	_, err := c.find(o)
	return err
}

// Probe implements sdk.Checker.
func (c *checker) Probe(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict {
	probe, err := c.Prepare(t.Service, o)
	if err != nil {
		return sdk.Unknown("%v", err)
	}
	return probe(ctx, t)
}

// source is where a check's script comes from.
type source struct {
	fixed *script // of an inline text
	file  *file
	args  []string
}

func (s source) current() (*script, error) {
	if s.file == nil {
		return s.fixed, nil
	}
	return s.file.current()
}

// find looks for the script that the options name. Its errors are *sdk.OptionError.
func (c *checker) find(o sdk.Options) (source, error) {
	if text := o[optionText]; text != "" {
		s, err := c.scripts.text(text)
		if bad, ok := errors.AsType[*syntaxError](err); ok {
			return source{}, &sdk.OptionError{Option: optionText, Offset: bad.offset, Want: bad.what}
		}
		return source{fixed: s}, nil
	}
	command := words(o[optionFile])
	if len(command) == 0 {
		return source{}, &sdk.OptionError{Option: optionFile, Want: "no script, neither here nor as lua"}
	}
	if !filepath.IsAbs(command[0]) {
		return source{}, &sdk.OptionError{Option: optionFile, Want: "not the absolute path of a script"}
	}
	f := c.scripts.file(command[0])
	if _, err := f.current(); err != nil {
		return source{}, &sdk.OptionError{Option: optionFile, Want: err.Error()}
	}
	return source{file: f, args: command[1:]}, nil
}

// Prepare implements sdk.Preparer. A file that goes bad later makes probes Unknown.
func (c *checker) Prepare(_ string, o sdk.Options) (func(context.Context, sdk.Target) sdk.Verdict, error) {
	from, err := c.find(o)
	if err != nil {
		return nil, err
	}
	options := maps.Clone(o)
	delete(options, optionText)
	delete(options, optionFile)
	return func(ctx context.Context, t sdk.Target) sdk.Verdict {
		s, err := from.current()
		switch {
		case err != nil:
			return sdk.Unknown("%v", err)
		case s.late.Load() > 0:
			return sdk.Unknown("an earlier run of the script has not come back")
		}
		return c.run(ctx, s, t, options, append(arguments(t), from.args...))
	}, nil
}

// run runs a script once.
func (c *checker) run(ctx context.Context, s *script, t sdk.Target, options sdk.Options, args []string) sdk.Verdict {
	if deadline, ok := ctx.Deadline(); ok {
		late := time.AfterFunc(time.Until(deadline)+lateAfter, func() { s.late.Add(1) })
		defer func() {
			if !late.Stop() {
				s.late.Add(-1)
			}
		}()
	}
	r := c.newRun(ctx, t)
	defer r.end()
	r.call.Options, r.call.Args, r.call.Dial = options, args, c.options.Dial
	for _, secret := range []string{"passwd", "secret"} {
		r.call.Trace.Secret(options[secret])
	}
	st, ok := c.states.Get().(*state)
	if !ok {
		st = newState()
	}
	v, values := r.execute(st, s.proto)
	v = r.call.Trace.Finish(r.complete(v, values))
	if _, limited := r.isLimit(); !limited && st.end() {
		c.states.Put(st)
	}
	return v
}

// arguments are the four of ldirectord(8), "external": the virtual service's address and port, or
// MARK and 0 for a firewall mark's, then the real server's. IPv6 addresses stand in
// brackets.
func arguments(t sdk.Target) []string {
	address := func(host string, six bool) string {
		if six {
			return "[" + host + "]"
		}
		return host
	}
	args := make([]string, 0, 8)
	if t.FWMark != 0 {
		args = append(args, fmt.Sprint(t.FWMark), "0")
	} else if t.Virtual.IsValid() {
		v := t.Virtual.Addr()
		args = append(args, address(v.String(), v.Is6()), strconv.Itoa(int(t.Virtual.Port())))
	} else {
		args = append(args, "", "0")
	}
	a := t.Addr.Addr()
	return append(args, address(a.String(), a.Is6()), strconv.Itoa(int(t.Addr.Port())))
}
