// Package plugin finds check plugins, runs them as unprivileged processes, and keeps them
// running: whatever a plugin does, its probes become Unknown and nothing else notices.
//
// A service called NAME is served by the file ldirectord-check-NAME in one of the plugin
// directories; a binary that serves several has links. One process runs per binary and
// pool key, started when it is first needed. A process that dies or hangs is killed with its
// whole group and started again, ever more rarely; registered checks survive it.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Options are what a Pool is made of. Every zero value is usable.
type Options struct {
	// Dirs are searched for plugins in this order: an earlier one shadows a later one.
	Dirs []string
	// User is whom plugins run as when the daemon is root; empty: ldirectord when there
	// is such a user, else nobody. Without root they run as ourselves.
	User string
	// RunDir holds a private directory per running plugin, with its socket. It belongs to this
	// Pool alone: what an earlier one left there is removed. It is made if it is missing, and
	// must be short: a socket's path ends at 107 bytes. Empty: a new temporary directory,
	// removed by Close.
	RunDir string
	// Log takes what plugins log, and their deaths; nil: nothing is logged.
	Log *slog.Logger

	timing timing
	env    []string // for tests: added to the environment of plugins
}

// timing are the patience and the pauses of supervision. Its zero value stands for the defaults.
type timing struct {
	start    time.Duration // until the handshake
	grace    time.Duration // that a probe may take beyond its time until it is cut off
	sweep    time.Duration // how often that is looked at while anything is in flight
	ping     time.Duration // until a process that let a probe hang must have answered
	first    time.Duration // pause after the first failure, doubled after each further one
	longest  time.Duration // pause at most
	settled  time.Duration // that a process must live for its failures to be forgiven
	breakAt  int           // failures in a row after which the plugin is out of service
	broken   time.Duration // pause between attempts while it is
	aside    time.Duration // that a check stays set aside
	idle     time.Duration // that a process without checks is kept
	maxHung  int           // probes that may hang in a process before it is replaced
	maxStray int           // verdicts that nobody asked for, likewise
}

// defaults keep grace and sweep together within the second that a Runner has for a
// Result beyond Remaining.
func (t timing) defaults() timing {
	if t != (timing{}) {
		return t
	}
	return timing{
		start: 10 * time.Second, grace: 700 * time.Millisecond, sweep: 100 * time.Millisecond, ping: 3 * time.Second,
		first: 100 * time.Millisecond, longest: 30 * time.Second, settled: 30 * time.Second,
		breakAt: 12, broken: 5 * time.Minute, aside: 10 * time.Minute, idle: time.Minute,
		maxHung: 32, maxStray: 1000,
	}
}

// ErrNotInstalled means that no plugin directory has the plugin.
var ErrNotInstalled = errors.New("no such plugin")

// errClosed is the answer of a Pool after Close.
var errClosed = errors.New("plugins are shut down")

// Pool finds and runs plugins. All methods may be called concurrently.
type Pool struct {
	o     Options
	root  bool // plugins must be root's and run as somebody else
	spawn *spawner

	mu        sync.Mutex // guards what follows: which processes there are
	processes map[processKey]*process
	runDir    string // once it exists
	ours      bool   // the run directory is to be removed
	closed    bool
}

// processKey is what one process is for.
type processKey struct {
	path string // with links resolved
	pool string
}

// New makes a Pool. Nothing is started yet. Close ends it.
func New(o Options) *Pool {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.timing = o.timing.defaults()
	return &Pool{
		o: o, root: os.Geteuid() == 0, spawn: newSpawner(),
		processes: map[processKey]*process{},
	}
}

// Runner gives a new runner of service's checks in the process of that pool key: "" for the
// one that all share. It starts nothing yet. Its errors are those of Find.
func (p *Pool) Runner(service, pool string) (*Runner, error) {
	b, err := p.find(service)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one, err := p.process(processKey{b.real, pool}, b)
	if err != nil {
		return nil, err
	}
	return newRunner(one, service), nil
}

// anyProcess is one of the binary, whatever its pool key.
func (p *Pool) anyProcess(b binary) (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, one := range p.processes {
		if k.path == b.real {
			return one, nil
		}
	}
	return p.process(processKey{path: b.real}, b)
}

// process finds or makes the supervised process of k. p.mu is held.
func (p *Pool) process(k processKey, b binary) (*process, error) {
	if p.closed {
		return nil, errClosed
	}
	one := p.processes[k]
	if one == nil {
		one = newProcess(p, k, b)
		p.processes[k] = one
	}
	return one, nil
}

// Refresh looks for binaries that were replaced, or links that lead elsewhere now, and shuts
// their runners and processes down: whoever asks for a new Runner gets the new binary. Probes in
// flight there yield nothing more. It is part of a reload.
func (p *Pool) Refresh() {
	var stale []*process
	p.mu.Lock()
	for k, one := range p.processes {
		if !one.current() {
			delete(p.processes, k)
			stale = append(stale, one)
		}
	}
	p.mu.Unlock()
	var each sync.WaitGroup
	for _, one := range stale {
		one.log.Info("plugin changed on disk: shutting its old process down")
		each.Go(one.close)
	}
	each.Wait()
}

// Close ends all plugins, asking first, and closes the Results of all runners. When ctx ends before
// they have, they are killed. After it every method fails.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	all := p.processes
	p.processes, p.closed = nil, true
	p.mu.Unlock()
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		var each sync.WaitGroup
		for _, one := range all {
			each.Go(one.close)
		}
		each.Wait()
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("close plugins: %w", context.Cause(ctx))
		for _, one := range all {
			one.kill()
		}
		<-done
	}
	p.spawn.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ours {
		err = errors.Join(err, os.RemoveAll(p.runDir))
	}
	return err
}
