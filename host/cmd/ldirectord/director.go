package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/control"
	"github.com/ldirectord/ldirectord/host/daemon"
	"github.com/ldirectord/ldirectord/host/engine"
	"github.com/ldirectord/ldirectord/host/maintenance"
	"github.com/ldirectord/ldirectord/host/monitor"
	"github.com/ldirectord/ldirectord/host/notify"
	"github.com/ldirectord/ldirectord/host/plugin"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/host/store"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/lvs/ipvs"
	"github.com/ldirectord/ldirectord/lvs/memory"
)

// director is the running daemon: the parts, wired.
type director struct {
	paths        daemon.Paths
	path         string // of the configuration, absolute
	dryRun       bool
	began        time.Time
	log          *slog.Logger
	systemd      *daemon.Systemd // nil without one
	kinds        *kinds
	loader       *config.Loader
	table        lvs.Controller
	counters     func(context.Context) (control.Counters, error)
	monitor      *monitor.Monitor
	commands     *notify.FallbackCommands
	callbacks    *notify.Callbacks
	alerts       *notify.Alerts
	monitorFiles *notify.MonitorFiles // nil in a dry run
	maintenance  *maintenance.Watcher
	others       *daemon.Others // of execute; nil in a dry run
	openLog      func(*config.Config) (redirect func(), err error)
	memory       *store.Writer // nil in a dry run

	remembered store.Content // what the state file held at the start
	engine     *engine.Engine
	server     *control.Server

	reloading sync.Mutex // one reload at a time: reading and taking over belong together
	current   atomic.Pointer[config.Config]

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
	return func() { _ = kernel.Close() }, nil
}

// begin starts everything. It returns when the table is programmed. What can fail is done
// before the engine touches the table; after an error abandon ends what runs.
func (d *director) begin(ctx context.Context, cfg *config.Config, background bool) error {
	d.current.Store(cfg)
	if err := d.occupy(background); err != nil {
		return err
	}
	d.monitor = monitor.New(monitor.Options{Runner: d.kinds.runner, MaxInFlight: maxInFlight(), Log: d.log})
	d.commands, d.callbacks = notify.NewFallbackCommands(d.log, d.dryRun), notify.NewCallbacks(d.log, d.dryRun)
	d.startAlerts(cfg)
	remember := func(state.Memory) {}
	if !d.dryRun {
		d.others = daemon.NewOthers("", d.paths.Instance, daemon.TakeAlong(), d.log)
		d.memory = store.NewWriter(d.paths.State, d.remembered, func(err error) {
			d.log.Warn("state file could not be written: a restart will not know who set a weight 0", "reason", err)
		})
		d.memory.Names(d.loader.Last)
		remember = d.memory.Remember
	}
	d.maintenance = d.watchMaintenance()
	started, err := engine.Start(ctx, cfg, engine.Options{
		Controller:    d.table,
		Monitor:       d.monitor,
		Sinks:         []engine.Sink{d.commands, d.alerts},
		Log:           d.log,
		Memory:        d.remembered.Memory,
		Maintenance:   d.maintenance.First(ctx),
		MemoryChanged: remember,
		Observed:      d.observed(),
	})
	if err != nil {
		return cmp.Or(stopped(ctx), err)
	}
	d.engine = started
	d.server.Serve(d)
	return nil
}

// occupy takes the places that the daemon needs: its socket, and in the background its pid file.
func (d *director) occupy(background bool) error {
	var err error
	if d.server, err = control.Open(d.paths.Socket); err != nil {
		return err
	}
	if !background {
		return nil
	}
	if err := daemon.WritePid(d.paths); err != nil {
		return err
	}
	return os.Chdir("/")
}

// endLimits bound the steps of an orderly end, so that it takes less than what stop waits.
const (
	serverLimit      = 2 * time.Second
	engineLimit      = 20 * time.Second
	monitorLimit     = 3 * time.Second
	commandLimit     = 15 * time.Second
	callbackLimit    = 3 * time.Second
	monitorFileLimit = 2 * time.Second // beside the others, as alertLimit
	alertLimit       = 10 * time.Second
	othersLimit      = 5 * time.Second
	memoryLimit      = 3 * time.Second
	pluginLimit      = 5 * time.Second
)

// end stops everything, in the order in which it leans on one another, and cleans the table as
// the configuration says. It reports whether that succeeded.
func (d *director) end() bool {
	d.alerts.Enter(notify.Stopping)
	within(serverLimit, d.server.Close)
	if d.others != nil {
		d.reloading.Lock()
		d.others.Stop() // meanwhile the rest ends
		d.reloading.Unlock()
	}
	clean := true
	within(engineLimit, func(ctx context.Context) {
		if err := d.engine.Stop(ctx); err != nil {
			d.log.Error("table could not be cleaned up", "reason", err)
			clean = false
		}
	})
	d.release()
	return clean
}

// abandon ends what a begin that failed has started. The table stays as it is.
func (d *director) abandon() {
	if d.server != nil {
		within(serverLimit, d.server.Close)
	}
	d.release()
}

// release ends all but the engine.
func (d *director) release() {
	if d.monitor != nil {
		within(monitorLimit, func(ctx context.Context) {
			if err := d.monitor.Close(ctx); err != nil {
				d.log.Error("checks did not end", "reason", err)
			}
		})
	}
	told := d.closeAlerts()
	if d.commands != nil {
		within(commandLimit, d.commands.Close)
		within(callbackLimit, d.callbacks.Close)
	}
	if d.others != nil {
		within(othersLimit, d.others.Wait)
	}
	if d.memory != nil {
		within(memoryLimit, d.memory.Close)
	}
	within(pluginLimit, d.kinds.close)
	told()
	daemon.RemovePid(d.paths)
}

func within(limit time.Duration, do func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	do(ctx)
}

// Reload implements control.Daemon: the new configuration as a whole, or nothing.
func (d *director) Reload(ctx context.Context) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.systemd.Reloading()
	defer func() { d.systemd.Ready(d.summary()) }()
	d.alerts.Enter(notify.Reloading)
	last := d.loader.Last
	cfg, err := load(ctx, d.loader, d.path)
	code := exitConfig
	redirect := func() {}
	if err == nil {
		redirect, err = d.newLog(cfg)
	}
	if err == nil {
		code = exitFailed
		err = d.takeOver(ctx, cfg)
	}
	if err != nil {
		d.loader.Last = last
		return d.refuse(ctx, err, code)
	}
	d.note("")
	redirect()
	d.took(cfg)
	d.along(control.Via(ctx)...)
	d.kinds.pool.Refresh()
	for _, w := range cfg.Warnings {
		d.log.Warn(w.String())
	}
	d.log.Info("Reloaded configuration", "file", d.path)
	return nil
}

// newLog opens the log of cfg if it is another one than now.
func (d *director) newLog(cfg *config.Config) (redirect func(), err error) {
	is, was := cfg.Global, d.current.Load().Global
	if d.openLog == nil || is.LogFile == was.LogFile && is.LogFormat == was.LogFormat {
		return func() {}, nil
	}
	return d.openLog(cfg)
}

// refuse tells of a reload that changed nothing. One that was given up, by who asked for it or by a stop,
// is nobody's mistake: no mail.
func (d *director) refuse(ctx context.Context, err error, code int) error {
	if ctx.Err() == nil {
		d.alerts.ReloadFailed(d.path, err.Error())
	}
	d.note(err.Error())
	d.log.Error("reload changed nothing", "reason", err)
	return &control.Refused{Text: err.Error(), Code: code}
}

// took makes cfg the current configuration. The caller holds reloading.
func (d *director) took(cfg *config.Config) {
	d.current.Store(cfg)
	if d.memory != nil {
		d.memory.Names(d.loader.Last)
	}
}

// along has the other instances follow the current configuration. Its own name among them would
// be a circle. via is through which of them a reload came. The caller holds reloading.
func (d *director) along(via ...string) {
	if d.others == nil {
		return
	}
	d.others.Set(slices.DeleteFunc(slices.Clone(d.current.Load().Global.Execute), func(name string) bool {
		itself := config.Instance(name) == d.paths.Instance
		if itself {
			d.log.Warn("execute names the configuration itself: ignored", "configuration", name)
		}
		return itself
	}), via)
}

// note keeps the result of a reload for the status.
func (d *director) note(failure string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reloaded, d.reloadError = time.Now(), failure
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
		MaintenanceError: d.maintenance.Fault(),
		Services:         control.Report(d.engine.Snapshot(), counters),
		Plugins:          pluginStatus(d.kinds.pool.Status()),
	}
	s.KernelError = d.engine.Trouble()
	if err != nil && s.KernelError == "" {
		s.KernelError = fmt.Sprintf("its counters cannot be read: %v", err)
	}
	return s
}

func pluginStatus(processes []plugin.Process) []control.Plugin {
	out := make([]control.Plugin, 0, len(processes))
	for _, p := range processes {
		out = append(out, control.Plugin{
			Path: p.Path, Pool: p.Pool, State: p.State, Since: p.Since, Pid: p.PID, Version: p.Version, Services: p.Services,
			Checks: p.Checks, InFlight: p.InFlight, SetAside: p.SetAside, Restarts: p.Restarts, CutOff: p.CutOff, Error: p.LastError,
		})
	}
	return out
}
