package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/daemon"
	"github.com/ldirectord/ldirectord/host/store"
	"github.com/ldirectord/ldirectord/lvs/ipvs"
)

// run is the daemon in the foreground.
func (a *app) run() int { return a.serve(nil) }

// serve is the daemon until it is told to stop. parent waits for it; nil in the foreground.
func (a *app) serve(parent *daemon.Parent) int {
	instance := a.paths().Instance
	log := daemon.NewLog(a.err, daemon.LogOptions{
		Instance: instance, Pid: os.Getpid(), Level: slog.LevelWarn, Journal: daemon.JournalBehind(a.err, instance),
	})
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		log.Close(ctx)
	}()
	code, err := a.direct(log, parent)
	if err == nil {
		return code
	}
	if parent == nil {
		a.complainLines(err.Error())
	}
	parent.Failed(err, code)
	return code
}

// direct runs a director from its lock to its end.
func (a *app) direct(log *daemon.Log, parent *daemon.Parent) (int, error) {
	paths := a.paths()
	lock, err := daemon.Acquire(paths)
	var running daemon.ErrRunning
	if errors.As(err, &running) {
		fmt.Fprintf(a.out, "ldirectord for %s is already running with pid %d\n", a.shown(), running.Pid)
		parent.Ready()
		return exitOK, nil
	}
	if err != nil {
		return exitFailed, err
	}
	defer func() { _ = lock.Release() }() // the process ends, and with it the lock
	signals := watchSignals()
	defer signals.stop()

	d := &director{paths: paths, dryRun: a.in.dryRun, began: time.Now(), log: log.Logger()}
	d.systemd = daemon.OpenSystemd(d.log)
	cfg, code, err := a.prepare(signals.ctx, d, log, parent != nil)
	if err != nil {
		return code, err
	}
	return d.serve(cfg, parent, signals)
}

// prepare reads the configuration and opens the log: what can fail before anything is touched.
func (a *app) prepare(ctx context.Context, d *director, log *daemon.Log, background bool) (*config.Config, int, error) {
	var err error
	if d.path, err = absolute(a.in.file); err != nil {
		return nil, exitConfig, err
	}
	d.kinds = newKinds(d.paths.Plugins, d.log)
	d.openLog = func(cfg *config.Config) (func(), error) { return a.openLog(log, d.paths, cfg, background) }
	cfg, err := d.readFirst(ctx)
	redirect := func() {}
	if err == nil {
		redirect, err = d.openLog(cfg)
	}
	if early := stopped(ctx); early != nil {
		d.kinds.close(context.Background())
		return nil, exitFailed, early
	}
	if err != nil {
		d.kinds.close(context.Background())
		return nil, exitConfig, err
	}
	redirect()
	for _, w := range cfg.Warnings {
		d.log.Warn(w.String())
	}
	return cfg, exitOK, nil
}

// readFirst loads the configuration, with the addresses of names that the state file remembers.
func (d *director) readFirst(ctx context.Context) (*config.Config, error) {
	if err := os.MkdirAll(d.paths.Plugins, 0o711); err != nil {
		return nil, err
	}
	d.loader = &config.Loader{OpenCatalog: d.kinds.open, Instance: d.paths.Instance}
	d.recall()
	cfg, err := load(ctx, d.loader, d.path)
	if err != nil || cfg.Global.StateDir == "" {
		return cfg, err
	}
	// Where the state file is the configuration says, and what its names were the state file: what
	// resolved to several addresses keeps the one that was in use.
	d.paths.State = filepath.Join(cfg.Global.StateDir, filepath.Base(d.paths.State))
	d.recall()
	if len(d.remembered.Names) == 0 {
		return cfg, nil
	}
	return load(ctx, d.loader, d.path)
}

// recall reads the state file. The addresses of names that it has count as the last ones.
func (d *director) recall() {
	var err error
	if d.remembered, err = store.Load(d.paths.State, time.Now()); err != nil {
		d.log.Warn("state file is not used", "reason", err)
	}
	if len(d.remembered.Names) > 0 {
		d.loader.Last = d.remembered.Names
	}
}

// openLog opens the log: standard output in the foreground, in the shape for supervisors, else
// what the logfile directive names. Lines go there once redirect has been called.
func (a *app) openLog(log *daemon.Log, paths daemon.Paths, cfg *config.Config, background bool) (redirect func(), err error) {
	o := daemon.LogOptions{JSON: cfg.Global.LogFormat == "json"}
	if a.in.debug {
		o.Level = slog.LevelDebug
	}
	if !background {
		o.Journal = daemon.JournalBehind(a.out, paths.Instance)
		return func() { log.Redirect(a.out, o) }, nil
	}
	o.Instance, o.Pid = paths.Instance, os.Getpid()
	destination, err := logDestination(cfg, paths)
	if err != nil {
		return nil, err
	}
	file, err := daemon.OpenLog(destination)
	if err != nil {
		return nil, errors.New(config.Problem{
			Pos: cfg.Global.Origins["logfile"], Directive: "logfile", Found: destination,
			Want: "a file that can be written: " + err.Error(),
		}.String())
	}
	return func() { log.Redirect(file, o) }, nil
}

// logDestination is what the configuration says; without a word the manual's file, for which
// other users than root have one of their own beside their state file.
func logDestination(cfg *config.Config, p daemon.Paths) (string, error) {
	_, given := cfg.Global.Origins["logfile"]
	if given || os.Getuid() == 0 {
		return cmp.Or(cfg.Global.LogFile, daemon.DefaultLogFile), nil
	}
	dir := filepath.Dir(p.State)
	return filepath.Join(dir, p.Instance+".log"), daemon.OwnDir(dir)
}

// serve runs the parts until a signal says stop. The int is an exit code.
func (d *director) serve(cfg *config.Config, parent *daemon.Parent, signals *signals) (int, error) {
	closeTable, err := d.open()
	if err != nil {
		d.kinds.close(context.Background())
		return codeOf(err), err
	}
	defer bounded(closeTable)
	if err := d.begin(signals.ctx, cfg, parent != nil); err != nil {
		d.log.Error("not started", "reason", err)
		d.abandon()
		return codeOf(err), err
	}
	d.log.Info("Started ldirectord "+version, "file", d.path, "virtual_services", len(cfg.Services))
	parent.Ready()
	if parent == nil { // it tells systemd itself, with the process that we are
		d.systemd.Ready(d.summary())
	}
	d.reloading.Lock()
	d.along()
	d.reloading.Unlock()
	d.wait(signals)
	clean := d.end()
	d.log.Info("Stopped ldirectord")
	if !clean {
		return exitFailed, nil
	}
	return exitOK, nil
}

// wait returns when a signal says stop. HUP has the configuration read again meanwhile.
func (d *director) wait(signals *signals) {
	var background sync.WaitGroup
	defer background.Wait()
	background.Go(func() { d.watchNames(signals.ctx) })
	background.Go(func() { d.watchFile(signals.ctx) })
	background.Go(func() { d.maintenance.Run(signals.ctx) })
	background.Go(func() { d.watchSettled(signals.ctx) })
	background.Go(func() { d.systemd.Run(signals.ctx, d.summary, d.engine.Alive) })
	for {
		select {
		case <-signals.ctx.Done():
			d.systemd.Stopping()
			d.log.Info("Stopping ldirectord", "signal", context.Cause(signals.ctx))
			return
		case <-signals.reload:
			// Its result is in the log and the status; stop cuts it short. However many signals come
			// meanwhile, one more reload follows.
			_ = d.Reload(signals.ctx)
		}
	}
}

// bounded waits for do for a few seconds: a kernel that hangs must not keep us from ending.
func bounded(do func()) {
	done := make(chan struct{})
	go func() { // ends with do, or with the process
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
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
