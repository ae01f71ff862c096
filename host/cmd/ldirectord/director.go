package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/control"
	"github.com/ldirectord/ldirectord/host/daemon"
	"github.com/ldirectord/ldirectord/host/engine"
	"github.com/ldirectord/ldirectord/host/monitor"
	"github.com/ldirectord/ldirectord/host/notify"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/host/store"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/lvs/ipvs"
	"github.com/ldirectord/ldirectord/lvs/memory"
)

// director is the running daemon: the parts, wired.
type director struct {
	paths    daemon.Paths
	path     string // of the configuration, absolute
	dryRun   bool
	began    time.Time
	log      *slog.Logger
	kinds    *kinds
	loader   *config.Loader
	table    lvs.Controller
	counters func(context.Context) (control.Counters, error)
	monitor  *monitor.Monitor
	commands *notify.FallbackCommands
	memory   *store.Writer // nil in a dry run
	engine   *engine.Engine
	server   *control.Server

	reloading sync.Mutex // one reload at a time: reading and taking over belong together; guards current
	current   *config.Config

	mu          sync.Mutex // guards the next two
	reloaded    time.Time
	reloadError string
}

// open gets at the table: the kernel's, or one in memory.
func (d *director) open() (closer func(), err error) {
	if d.dryRun {
		d.table = memory.New()
		d.counters = func(context.Context) (control.Counters, error) { return nil, nil }
		return func() {}, nil
	}
	kernel, err := ipvs.Open(ipvs.Options{})
	if err != nil {
		return nil, err
	}
	d.table = kernel
	d.counters = func(ctx context.Context) (control.Counters, error) { return kernel.Counters(ctx) }
	return func() { kernel.Close() }, nil
}

// begin starts everything. It returns when the table is programmed.
func (d *director) begin(ctx context.Context, cfg *config.Config) error {
	d.current = cfg
	if dir := cfg.Global.StateDir; dir != "" {
		d.paths.State = filepath.Join(dir, filepath.Base(d.paths.State))
	}
	remembered, err := store.Load(d.paths.State, time.Now())
	if err != nil {
		d.log.Warn("state file is not used", "reason", err)
	}
	d.monitor = monitor.New(monitor.Options{Runner: d.kinds.runner, MaxInFlight: maxInFlight(), Log: d.log})
	d.commands = notify.NewFallbackCommands(d.log)
	remember := func(state.Memory) {}
	if !d.dryRun {
		d.memory = store.NewWriter(d.paths.State, func(err error) {
			d.log.Warn("state file could not be written: a restart will not know who set a weight 0", "reason", err)
		})
		remember = d.memory.Remember
	}
	d.engine, err = engine.Start(ctx, cfg, engine.Options{
		Controller:    d.table,
		Monitor:       d.monitor,
		Sinks:         []engine.Sink{d.commands},
		Log:           d.log,
		Memory:        remembered,
		MemoryChanged: remember,
	})
	if err != nil {
		return err
	}
	d.server, err = control.Listen(d.paths.Socket, d)
	return err
}

// end stops everything, in the order in which it leans on one another. A begin that failed
// half way is ended the same, and then nothing in the table is touched.
func (d *director) end(ctx context.Context) {
	if d.server != nil {
		d.server.Close(ctx)
	}
	if d.engine != nil {
		if err := d.engine.Stop(ctx); err != nil {
			d.log.Error("table could not be cleaned up", "reason", err)
		}
	}
	if d.monitor != nil {
		if err := d.monitor.Close(ctx); err != nil {
			d.log.Error("checks did not end", "reason", err)
		}
	}
	if d.commands != nil {
		d.commands.Close(ctx)
	}
	if d.memory != nil {
		d.memory.Close()
	}
	d.kinds.close(ctx)
}

// Reload implements control.Daemon: the new configuration as a whole, or nothing.
func (d *director) Reload(ctx context.Context) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	cfg, err := load(ctx, d.loader, d.path)
	code := exitConfig
	if err == nil {
		code = exitFailed
		err = d.engine.Reload(ctx, cfg)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reloaded, d.reloadError = time.Now(), ""
	if err != nil {
		d.reloadError = err.Error()
		d.log.Error("reload changed nothing", "reason", err)
		return &control.Refused{Text: err.Error(), Code: code}
	}
	d.current = cfg
	d.kinds.pool.Refresh()
	for _, w := range cfg.Warnings {
		d.log.Warn(w.String())
	}
	d.log.Info("Reloaded configuration", "file", d.path)
	return nil
}

// countersLimit bounds the look at the kernel's counters for one status.
const countersLimit = 5 * time.Second

// Status implements control.Daemon.
func (d *director) Status(ctx context.Context) control.Status {
	ctx, cancel := context.WithTimeout(ctx, countersLimit)
	defer cancel()
	counters, err := d.counters(ctx)
	stats := d.monitor.Stats()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := control.Status{
		Instance: d.paths.Instance, File: d.path, Version: version, Pid: os.Getpid(), Since: d.began, DryRun: d.dryRun,
		Reloaded: d.reloaded, ReloadError: d.reloadError,
		Checks: stats.Checks, InFlight: stats.InFlight, Skipped: uint64(stats.Late),
		Services: control.Report(d.engine.Snapshot(), counters),
	}
	if err != nil {
		s.KernelError = fmt.Sprintf("its counters cannot be read: %v", err)
	}
	return s
}
