// Package notify carries transitions out of the daemon: to the programs and files
// that the configuration names. Nothing here can delay a check or a decision: each sink
// has bounded queues and goroutines of its own.
package notify

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// FallbackCommands runs the fallbackcommand of a virtual service when its
// fallback starts and stops (ldirectord(8), "fallbackcommand"): those of one virtual service one at
// a time and in order.
type FallbackCommands struct{ shells *shells }

// NewFallbackCommands makes the sink. Close it to wait for its last command. In a dry run commands are logged and
// not run.
func NewFallbackCommands(log *slog.Logger, dryRun bool) *FallbackCommands {
	f := &FallbackCommands{shells: newShells("fallbackcommand", log)}
	f.shells.dryRun = dryRun
	return f
}

// Take queues the commands of those transitions that have one. It never blocks.
func (f *FallbackCommands) Take(ts []state.Transition) {
	for _, t := range ts {
		if t.Command == "" || (t.Change != state.FallbackStarted && t.Change != state.FallbackStopped) {
			continue
		}
		args := arguments(t)
		f.shells.add(t.Service.String(), order{
			line: t.Command, args: args,
			log: f.shells.log.With("virtual", t.Virtual, "command", t.Command, "argument", args[0]),
		})
	}
}

// Close runs what is queued and ends, at most until ctx ends. Nothing is to be taken afterwards.
func (f *FallbackCommands) Close(ctx context.Context) { f.shells.close(ctx) }

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

// Callbacks runs the callback after the configuration file has changed on disk (ldirectord(8),
// "callback"), one at a time.
type Callbacks struct{ shells *shells }

// NewCallbacks makes a runner of callbacks. Close it to wait for the last one. A dry run is that of
// NewFallbackCommands.
func NewCallbacks(log *slog.Logger, dryRun bool) *Callbacks {
	c := &Callbacks{shells: newShells("callback", log)}
	c.shells.dryRun = dryRun
	return c
}

// Changed queues one run of command with the path of the configuration. It never blocks.
func (c *Callbacks) Changed(command, path string) {
	c.shells.add(path, order{line: command, args: []string{path}, log: c.shells.log.With("command", command)})
}

// callbackGrace is how long a callback has to end when the daemon does: it may be the one that restarts us, and
// waits for our end itself.
const callbackGrace = 250 * time.Millisecond

// Close waits a moment for the callback that runs, and leaves it alone then.
func (c *Callbacks) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callbackGrace)
	defer cancel()
	c.shells.close(ctx)
}
