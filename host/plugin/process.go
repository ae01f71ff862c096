package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
)

// phase is what a process's supervisor is about.
type phase uint8

const (
	idle     phase = iota // nobody needs it
	starting              // on its way
	running
	pausing // it failed, and will be tried again later
	over    // closed
)

func (p phase) String() string {
	return [...]string{"idle", "starting", "running", "failed", "closed"}[p]
}

// session is one life of the process.
type session struct {
	client *client.Client
	stream *client.Stream
	info   sdk.Info
	pid    int
	hung   int // probes that never came back; guarded by process.mu
	owed   int // probes that were forgotten on the way, whose verdicts may still come; guarded by process.mu
	stray  int // verdicts that nobody asked for; guarded by process.mu
}

// process is a plugin process that is kept running, and the checks registered with it. Its
// supervisor (supervise) owns its life; the rest is behind mu.
type process struct {
	pool   *Pool
	key    processKey
	log    *slog.Logger
	ctx    context.Context // ends with the process
	cancel context.CancelFunc
	born   time.Time
	ended  chan struct{} // closed when the supervisor has ended
	wanted chan struct{} // capacity 1: somebody needs it
	hung   chan struct{} // capacity 1: a probe was cut off

	mu       sync.Mutex // guards what follows
	bin      binary     // as it was last started, or found
	phase    phase
	changed  chan struct{} // closed and replaced when phase changes
	session  *session      // while running
	info     sdk.Info      // of the last session
	failure  error         // of the last life; nil after a good one
	failures int           // in a row
	since    time.Time     // of the phase
	restarts int
	cutOff   int
	lastUsed time.Time
	runners  map[*Runner]bool
	checks   map[uint64]*check // by wire number
	lastWire uint64
	cuts     map[int64][]uint64 // wire numbers by the sweep that looks at them
	inFlight int
	armed    bool     // a sweep is due
	suspect  *check   // the one check in flight of those that were in flight in a crash
	queue    []*check // the other such checks that are due
	secrets  *redactor
}

func newProcess(p *Pool, k processKey, b binary) *process {
	ctx, cancel := context.WithCancel(context.Background())
	log := p.o.Log.With("plugin", k.path)
	if k.pool != "" {
		log = log.With("pool", k.pool)
	}
	one := &process{
		pool: p, key: k, log: log, ctx: ctx, cancel: cancel, bin: b, born: time.Now(),
		ended:   make(chan struct{}),
		wanted:  make(chan struct{}, 1),
		hung:    make(chan struct{}, 1),
		changed: make(chan struct{}),
		since:   time.Now(),
		runners: map[*Runner]bool{},
		checks:  map[uint64]*check{},
		cuts:    map[int64][]uint64{},
		secrets: &redactor{},
	}
	go one.supervise() // close waits for it
	return one
}

// enter changes the phase and tells whoever waits for that. mu is held.
func (p *process) enter(ph phase) {
	p.phase, p.since = ph, time.Now()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *process) want() { nudge(p.wanted) }

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // whoever is told knows already
	}
}

// acquire waits for the process to run, and starts it when need be.
func (p *process) acquire(ctx context.Context) (*session, error) {
	for {
		p.mu.Lock()
		ph, s, err, changed := p.phase, p.session, p.failure, p.changed
		p.lastUsed = time.Now()
		p.mu.Unlock()
		switch ph {
		case running:
			return s, nil
		case pausing:
			return nil, err
		case over:
			return nil, errClosed
		case idle:
			p.want()
		case starting:
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("plugin %s: %w", p.key.path, context.Cause(ctx))
		}
	}
}

func (p *process) binary() binary {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bin
}

// current says whether the files still are what the process was made from. What is gone
// from disk runs on.
func (p *process) current() bool {
	p.mu.Lock()
	was := p.bin
	services := map[string]bool{}
	for r := range p.runners {
		services[r.service] = true
	}
	p.mu.Unlock()
	if now, err := p.pool.inspect(was.path); err == nil && (now.real != was.real || now.id != was.id) {
		return false
	}
	for service := range services {
		if now, err := p.pool.find(service); err == nil && now.real != was.real {
			return false
		}
	}
	return true
}

// close ends the process and its runners, asking first.
func (p *process) close() {
	p.cancel()
	<-p.ended
}

// kill ends the plugin at once, if it runs.
func (p *process) kill() {
	p.mu.Lock()
	s := p.session
	p.mu.Unlock()
	if s != nil {
		s.stream.Close()
		s.client.Kill()
	}
}

// attach makes a Runner known.
func (p *process) attach(r *Runner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == over {
		r.shut()
		return
	}
	p.runners[r] = true
}
