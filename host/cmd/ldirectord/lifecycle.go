package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/host/control"
	"github.com/ldirectord/ldirectord/host/daemon"
)

// stopLimit is how long stop and restart wait for the daemon to end.
const stopLimit = 60 * time.Second

// start puts the daemon into the background, and returns when its table is programmed;
// with -d or supervised it stays in the foreground.
func (a *app) start() int {
	if parent := daemon.OpenParent(); parent != nil {
		return a.serve(parent)
	}
	if a.in.debug {
		return a.run()
	}
	if now := daemon.Look(a.paths()); now.Presence == daemon.Running {
		a.already(now)
		return exitOK
	}
	if a.supervised() {
		return a.run()
	}
	_, err := daemon.Background(a.startArgs())
	var failed *daemon.StartError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &failed):
		a.complainLines(failed.Text)
		return failed.Code
	default:
		a.complain("%v", err)
		return exitFailed
	}
}

// already says that the instance runs.
func (a *app) already(now daemon.Instance) {
	fmt.Fprintf(a.out, "ldirectord for %s is already running with pid %d\n", a.shown(), now.Pid)
	if now.Foreign {
		a.complain("pid %d is another program, such as the Perl ldirectord: stop ends it, and start takes its table over", now.Pid)
	}
}

// startArgs is the command line of the daemon in the background: start, whichever
// command it was that led to it.
func (a *app) startArgs() []string {
	var args []string
	if a.in.dryRun {
		args = append(args, "--dry-run")
	}
	if a.in.file != "" {
		args = append(args, "--", a.in.file)
	}
	return append(args, "start")
}

// stop ends the daemon and waits until it is gone.
func (a *app) stop() int {
	paths := a.paths()
	now := daemon.Look(paths)
	switch now.Presence {
	case daemon.Stopped:
		if pid := daemon.OfRoot(paths.Instance); pid != 0 {
			a.complain("it runs as root, with pid %d: only root can stop it", pid)
			return exitFailed
		}
		a.hint()
		return exitOK
	case daemon.Stale:
		if err := daemon.RemoveStale(paths); err != nil {
			a.complain("pid file %s is stale: %v", paths.PidFile, err)
		}
		return exitOK
	case daemon.Running:
	}
	if now.Pid < 1 {
		a.complain("it holds its lock but does not say its pid: see who has %s open", paths.Lock)
		return exitFailed
	}
	if err := syscall.Kill(now.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		a.complain("stop pid %d: %v", now.Pid, err)
		return exitFailed
	}
	if !daemon.WaitGone(paths, now, stopLimit) {
		a.complain("pid %d has not ended after %s; its log says what it waits for", now.Pid, stopLimit)
		return exitFailed
	}
	return exitOK
}

// restart checks the configuration first: a director that runs is worth more than a
// new one that does not start.
func (a *app) restart() int {
	if code := a.validate(); code != exitOK {
		a.goesOn()
		return code
	}
	if code := a.stop(); code != exitOK {
		return code
	}
	return a.start()
}

func (a *app) tryRestart() int {
	if daemon.Look(a.paths()).Presence != daemon.Running {
		return exitOK
	}
	return a.restart()
}

// reload checks the configuration, and then reports what the daemon made of it.
func (a *app) reload() int {
	paths := a.paths()
	now := daemon.Look(paths)
	if now.Presence != daemon.Running {
		if pid := daemon.OfRoot(paths.Instance); pid != 0 {
			a.complain("it runs as root, with pid %d: only root can tell it to reload", pid)
			return exitFailed
		}
		fmt.Fprintf(a.err, "ldirectord for %s is not running\n", a.shown())
		a.hint()
		return exitFailed
	}
	if code := a.validate(); code != exitOK {
		a.goesOn()
		return code
	}
	if now.Foreign {
		if err := syscall.Kill(now.Pid, syscall.SIGHUP); err != nil {
			a.complain("reload pid %d: %v", now.Pid, err)
			return exitFailed
		}
		return exitOK
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	err := control.Dial(paths.Socket).Reload(ctx, daemon.TakeAlong()...)
	var no *control.Refused
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &no):
		a.complainLines(no.Text)
		a.goesOn()
		return no.Code
	default:
		a.complain("%v", err)
		return exitFailed
	}
}

// goesOn says what a refused configuration did: nothing.
func (a *app) goesOn() {
	if now := daemon.Look(a.paths()); now.Presence == daemon.Running {
		fmt.Fprintf(a.err, "nothing was changed: ldirectord for %s goes on, with pid %d and the configuration that it has\n", a.shown(), now.Pid)
	}
}

// shown is the configuration as the user names it.
func (a *app) shown() string {
	if a.in.file == "" {
		return "ldirectord"
	}
	return a.in.file
}
