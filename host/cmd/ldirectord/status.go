package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/config"
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
		if pid := daemon.OfRoot(paths.Instance); pid != 0 {
			a.runs(pid, " (as root, whom alone it tells more)")
			return exitOK
		}
		a.stoppedStatus(machine, "stopped", 0)
		return exitStopped
	case now.Presence == daemon.Stale:
		a.stoppedStatus(machine, "dead", now.Pid)
		return exitFailed
	case now.Foreign:
		a.runs(now.Pid, " (another program: no details)")
		return exitOK
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusLimit)
	defer cancel()
	s, err := control.Dial(paths.Socket).Status(ctx)
	if err != nil {
		a.runs(now.Pid, "")
		a.complain("%v", err)
		return exitOK
	}
	if machine {
		a.printJSON(s)
		return exitOK
	}
	a.runs(now.Pid, "")
	cli.Status(a.out, s, time.Now())
	return exitOK
}

func (a *app) stoppedStatus(machine bool, word string, pid int) {
	if machine {
		a.printJSON(map[string]any{"running": false, "state": word, "pid": pid})
		return
	}
	if word == "dead" {
		// Pacemaker's agent starts nothing without these words.
		fmt.Fprintf(a.err, "ldirectord stale pid file %s for %s\n", a.paths().PidFile, a.shown())
		whose := "it names no process"
		if pid != 0 {
			whose = fmt.Sprintf("process %d is not that daemon, or gone", pid)
		}
		a.complain("%s: the daemon has ended, and left the table as it was; start takes the table over", whose)
	}
	fmt.Fprintf(a.out, "ldirectord is stopped for %s\n", a.shown())
	a.hint()
}

// runs prints the line that the Perl ldirectord prints, with more at its end.
func (a *app) runs(pid int, more string) {
	fmt.Fprintf(a.out, "ldirectord for %s is running with pid: %d%s\n", a.shown(), pid, more)
}

// hint says what may be meant when a configuration neither runs nor exists.
func (a *app) hint() {
	_, err := config.Find(a.in.file)
	if err == nil {
		return
	}
	a.complain("%v", err)
	if others := daemon.Instances(); len(others) > 0 {
		a.complain("what runs on this machine: %s", strings.Join(others, ", "))
	}
}

func (a *app) printJSON(v any) {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		a.complain("%v", err)
	}
}
