package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ldirectord/ldirectord/host/cli"
	"github.com/ldirectord/ldirectord/host/control"
	"github.com/ldirectord/ldirectord/host/daemon"
)

// statusLimit is how long status waits for the daemon's answer.
const statusLimit = 10 * time.Second

// status says whether the daemon runs, and prints its table. Its exit code depends on the
// process alone: a daemon that is slow to answer runs all the same.
func (a *app) status() int {
	machine := slices.Equal(a.in.args, []string{"--json"})
	if len(a.in.args) > 0 && !machine {
		a.complain("status takes --json, found %q", a.in.args)
		return exitUsage
	}
	paths := a.paths()
	now := daemon.Look(paths)
	switch {
	case now.Presence == daemon.Stopped:
		a.stoppedStatus(machine, "stopped", 0)
		return exitStopped
	case now.Presence == daemon.Stale:
		a.stoppedStatus(machine, "dead", now.Pid)
		return exitFailed
	case now.Foreign:
		fmt.Fprintf(a.out, "ldirectord for %s is running with pid %d (another program: no details)\n", a.shown(), now.Pid)
		return exitOK
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusLimit)
	defer cancel()
	s, err := control.Dial(paths.Socket).Status(ctx)
	if err != nil {
		fmt.Fprintf(a.out, "ldirectord for %s is running with pid %d\n", a.shown(), now.Pid)
		a.complain("%v", err)
		return exitOK
	}
	if machine {
		a.printJSON(s)
		return exitOK
	}
	fmt.Fprintf(a.out, "ldirectord for %s is running with pid %d\n", a.shown(), now.Pid)
	cli.Status(a.out, s, time.Now())
	return exitOK
}

func (a *app) stoppedStatus(machine bool, word string, pid int) {
	if machine {
		a.printJSON(map[string]any{"running": false, "state": word, "pid": pid})
		return
	}
	if pid != 0 {
		fmt.Fprintf(a.out, "ldirectord for %s is dead: pid %d of its pid file %s is gone\n", a.shown(), pid, a.paths().PidFile)
		return
	}
	fmt.Fprintf(a.out, "ldirectord is stopped for %s\n", a.shown())
}

func (a *app) printJSON(v any) {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		a.complain("%v", err)
	}
}
