package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/daemon"
	"github.com/ldirectord/ldirectord/lvs/ipvs"
)

// endLimit bounds an orderly end: a kernel or a command that hangs must not keep the
// daemon from ending.
const endLimit = 30 * time.Second

// run is the daemon in the foreground.
func (a *app) run() int { return a.serve(nil) }

// serve is the daemon until it is told to stop. parent waits for it; nil in the foreground.
func (a *app) serve(parent *daemon.Parent) int {
	fail := func(code int, err error) int {
		if parent == nil {
			a.complain("%v", err)
		}
		parent.Failed(err, code)
		return code
	}
	paths := a.paths()
	lock, err := daemon.Acquire(paths)
	var running daemon.ErrRunning
	if errors.As(err, &running) {
		fmt.Fprintf(a.out, "ldirectord for %s is already running with pid %d\n", a.shown(), running.Pid)
		parent.Ready()
		return exitOK
	}
	if err != nil {
		return fail(exitFailed, err)
	}
	defer lock.Release()
	stop := make(chan os.Signal, 4)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)

	d := &director{paths: paths, dryRun: a.in.dryRun, began: time.Now()}
	cfg, code, err := a.prepare(d, parent != nil)
	if err != nil {
		return fail(code, err)
	}
	code, err = d.serve(cfg, parent, stop)
	if err != nil {
		return fail(code, err)
	}
	return exitOK
}

// prepare reads the configuration and opens the log: what can fail before anything is touched.
func (a *app) prepare(d *director, background bool) (*config.Config, int, error) {
	var err error
	if d.path, err = absolute(a.in.file); err != nil {
		return nil, exitConfig, err
	}
	// Until the configuration names the log, what must be said goes to standard error.
	log := daemon.NewLog(a.err, daemon.LogOptions{Instance: d.paths.Instance, Pid: os.Getpid(), Level: slog.LevelWarn})
	d.log = log.Logger()
	if err := os.MkdirAll(d.paths.Plugins, 0o711); err != nil {
		return nil, exitFailed, err
	}
	d.kinds = newKinds(d.paths.Plugins, d.log)
	d.loader = &config.Loader{OpenCatalog: d.kinds.open, Instance: d.paths.Instance}
	cfg, err := load(context.Background(), d.loader, d.path)
	if err != nil {
		d.kinds.close(context.Background())
		return nil, exitConfig, err
	}
	if err := a.openLog(log, d.paths, cfg, background); err != nil {
		d.kinds.close(context.Background())
		return nil, exitFailed, err
	}
	for _, w := range cfg.Warnings {
		d.log.Warn(w.String())
	}
	return cfg, exitOK, nil
}

// openLog opens the log: standard output in the foreground, in the shape for supervisors, else
// what the logfile directive names.
func (a *app) openLog(log *daemon.Log, paths daemon.Paths, cfg *config.Config, background bool) error {
	o := daemon.LogOptions{JSON: cfg.Global.LogFormat == "json"}
	if a.in.debug {
		o.Level = slog.LevelDebug
	}
	var out io.Writer = a.out
	if background {
		destination, err := logDestination(cfg, paths)
		if err != nil {
			return err
		}
		file, err := daemon.OpenLog(destination)
		if err != nil {
			return err
		}
		out = file
		o.Instance, o.Pid = paths.Instance, os.Getpid()
	}
	log.Redirect(out, o)
	return nil
}

// logDestination is what the configuration says; without a word the manual's file, for which
// other users than root have one of their own beside their state file.
func logDestination(cfg *config.Config, p daemon.Paths) (string, error) {
	_, given := cfg.Global.Origins["logfile"]
	if given || os.Getuid() == 0 {
		return cmp.Or(cfg.Global.LogFile, daemon.DefaultLogFile), nil
	}
	dir := filepath.Dir(p.State)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("open log: %w", err)
	}
	return filepath.Join(dir, p.Instance+".log"), nil
}

// serve runs the parts until a signal says stop. The int is an exit code for the error.
func (d *director) serve(cfg *config.Config, parent *daemon.Parent, signals <-chan os.Signal) (int, error) {
	closeTable, err := d.open()
	if err != nil {
		d.kinds.close(context.Background())
		return codeOf(err), err
	}
	defer closeTable()
	defer d.finish()
	if err := d.begin(context.Background(), cfg); err != nil {
		d.log.Error("not started", "reason", err)
		return codeOf(err), err
	}
	if parent != nil {
		if err := daemon.WritePid(d.paths); err != nil {
			return exitFailed, err
		}
		defer daemon.RemovePid(d.paths)
		if err := os.Chdir("/"); err != nil {
			return exitFailed, err
		}
	}
	d.log.Info("Started ldirectord "+version, "file", d.path, "virtual_services", len(cfg.Services))
	parent.Ready()
	d.wait(signals)
	return exitOK, nil
}

// wait returns when a signal says stop. HUP has the configuration read again meanwhile.
func (d *director) wait(signals <-chan os.Signal) {
	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	background.Go(func() { d.watchNames(ctx) })
	for s := range signals {
		if s != syscall.SIGHUP {
			d.log.Info("Stopping ldirectord", "signal", s)
			return
		}
		// Its result is in the log and the status; stop cuts it short.
		background.Go(func() { _ = d.Reload(ctx) })
	}
}

// finish ends the parts within endLimit.
func (d *director) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	d.end(ctx)
	d.log.Info("Stopped ldirectord")
}

// codeOf is the exit code for a table that cannot be used.
func codeOf(err error) int {
	if errors.Is(err, ipvs.ErrNoIPVS) || errors.Is(err, ipvs.ErrNotPermitted) {
		return exitUnsupported
	}
	return exitFailed
}

// maxInFlight leaves descriptors for everything else.
func maxInFlight() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 512
	}
	return int(min(max(limit.Cur*3/4, 64), 16384))
}
