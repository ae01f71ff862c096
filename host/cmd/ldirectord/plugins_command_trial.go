package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
	"github.com/ldirectord/ldirectord/sdk/sdktest/rules"
)

// errTestUsage is how `plugins test` is used.
var errTestUsage = errors.New("usage: ldirectord [configfile] plugins test [-v] [--service NAME] [--option NAME=VALUE]... [--server ADDRESS:PORT]... FILE")

// pluginTrial is a command line of `plugins test`.
type pluginTrial struct {
	binary  rules.Binary
	verbose bool
}

func parseTrial(args []string) (pluginTrial, error) {
	var t pluginTrial
	var options, servers []string
	flags := pflag.NewFlagSet("plugins test", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVarP(&t.verbose, "verbose", "v", false, "")
	flags.StringVar(&t.binary.Service, "service", "", "")
	flags.StringArrayVar(&options, "option", nil, "")
	flags.StringArrayVar(&servers, "server", nil, "")
	if err := flags.Parse(args); err != nil {
		return t, fmt.Errorf("%w\n%w", err, errTestUsage)
	}
	if flags.NArg() != 1 {
		return t, errTestUsage
	}
	t.binary.Path = flags.Arg(0)
	t.binary.Options = sdk.Options{}
	for _, o := range options {
		name, value, ok := strings.Cut(o, "=")
		if !ok {
			return t, fmt.Errorf("--option %s: want NAME=VALUE\n%w", o, errTestUsage)
		}
		t.binary.Options[strings.TrimPrefix(name, "option.")] = value
	}
	for _, s := range servers {
		at, err := netip.ParseAddrPort(s)
		if err != nil {
			return t, fmt.Errorf("--server %s: want an address and a port\n%w", s, errTestUsage)
		}
		t.binary.Servers = append(t.binary.Servers, at)
	}
	return t, nil
}

// pluginsTest tries the conformance suite on a finished plugin. It runs as the plugins' user, as
// it would for the daemon. The exit code is 1 when it broke a rule, or none could be tried.
func (a *app) pluginsTest(args []string) int {
	t, err := parseTrial(args)
	if err != nil {
		a.complain("%v", err)
		return exitUsage
	}
	pool, end, code := a.pluginPool()
	if code != exitOK {
		return code
	}
	defer end()
	if err := pool.Inspect(t.binary.Path); err != nil {
		fmt.Fprintf(a.out, "note: the director would not run it where it is: %v\n", err)
	}
	t.binary.Launch = func(log client.Logger) (client.Launch, error) { return pool.Launch(t.binary.Path, log) }
	count := map[rules.State]int{}
	t.binary.Test(context.Background(), func(o rules.Outcome) {
		count[o.State]++
		a.outcome(o, t.verbose)
	})
	fmt.Fprintf(a.out, "%d rules kept, %d broken, %d not tried\n", count[rules.Kept], count[rules.Broken], count[rules.NotTried])
	if count[rules.Broken] > 0 || count[rules.Kept] == 0 {
		return exitFailed
	}
	return exitOK
}

// outcome prints one line.
func (a *app) outcome(o rules.Outcome, verbose bool) {
	text := o.Text
	if text == "" {
		text = o.Rule.Why
	} else if o.State == rules.Broken {
		text = o.Rule.Why + ": " + o.Text
	}
	if verbose {
		text += fmt.Sprintf(" (%v)", o.Took.Round(time.Millisecond))
	}
	word := o.State.String()
	if o.State == rules.Broken {
		word = "BROKEN"
	}
	fmt.Fprintf(a.out, "%-10s %-17s %s\n", word, o.Rule.Name, text)
}
