package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
)

// ending is how one life of a process ended.
type ending struct {
	err   error // nil: as planned
	blame bool  // the checks in flight may have caused it
}

// supervise starts the process when it is wanted, and again when it fails, until close.
func (p *process) supervise() {
	defer close(p.ended)
	for p.awaitDemand() {
		began := time.Now()
		e := p.live()
		if p.ctx.Err() != nil {
			break
		}
		if pause := p.bury(e, time.Since(began)); !p.rest(pause) {
			break
		}
	}
	p.finish()
}

// awaitDemand waits until somebody needs the process.
func (p *process) awaitDemand() bool {
	p.mu.Lock()
	p.enter(idle)
	p.mu.Unlock()
	select {
	case <-p.wanted:
	case <-p.ctx.Done():
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enter(starting)
	return true
}

// rest sleeps, unless the process is closed.
func (p *process) rest(pause time.Duration) bool {
	select {
	case <-time.After(pause):
		return true
	case <-p.ctx.Done():
		return false
	}
}

// live runs the process from its start to its end.
func (p *process) live() ending {
	s, err := p.open()
	if err != nil {
		return ending{err: err}
	}
	p.up(s)
	e := p.attend(s)
	if e.err == nil || p.ctx.Err() != nil {
		s.stream.Close()
		s.client.Close()
		return ending{}
	}
	return e
}

// open starts the process and learns what it is.
func (p *process) open() (*session, error) {
	b, err := p.pool.inspect(p.binary().path)
	if err != nil {
		return nil, err
	}
	if b.real != p.key.path {
		return nil, fmt.Errorf("plugin %s leads to %s now: reload to use that", b.path, b.real)
	}
	l, err := p.pool.launch(b.real, newBridge(p.log, b.real, p.secrets))
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", b.path, err)
	}
	c, err := client.Open(p.ctx, l)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.pool.o.timing.start)
	defer cancel()
	info, err := c.Describe(ctx)
	var stream *client.Stream
	if err == nil {
		stream, err = c.Run(p.ctx)
	}
	if err != nil {
		c.Kill()
		return nil, fmt.Errorf("plugin %s: %w%s", b.path, err, lastWords(c))
	}
	p.mu.Lock()
	p.bin = b
	p.mu.Unlock()
	return &session{client: c, stream: stream, info: info, pid: c.PID()}, nil
}

func lastWords(c *client.Client) string {
	if words := c.LastWords(); words != "" {
		return fmt.Sprintf(" (its last words: %s)", words)
	}
	return ""
}

// up tells the new process all checks, and starts what was held.
func (p *process) up(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.wanted: // what was wanted is here
	default:
	}
	p.session, p.info, p.lastUsed = s, s.info, time.Now()
	p.enter(running)
	var batch []sdk.Due
	for wire, c := range p.checks {
		p.secrets.add(p.info, c.options)
		s.stream.Register(wire, c.target, c.options)
		if c.flight != held {
			continue
		}
		if d, ok := c.rest(); ok && p.turn(c) { // one whose time is over is cut off
			batch = append(batch, d)
		}
	}
	if len(batch) > 0 {
		s.stream.Start(batch)
	}
	p.log.Info("plugin started", "pid", s.pid, "version", s.info.Version, "checks", len(p.checks))
}

// attend hands verdicts on and watches over the process until it ends.
func (p *process) attend(s *session) ending {
	t := p.pool.o.timing
	look := time.NewTicker(max(t.idle/4, time.Millisecond))
	defer look.Stop()
	pinged := make(chan error, 1)
	pinging := false
	for {
		select {
		case batch, ok := <-s.stream.Results():
			if !ok {
				return p.autopsy(s)
			}
			if err := p.deliver(s, batch); err != nil {
				return ending{err: p.named(err)}
			}
		case <-p.hung:
			if n := p.hungIn(s); n >= t.maxHung {
				return ending{err: p.named(fmt.Errorf("%d of its probes never came back", n))}
			}
			if !pinging {
				pinging = true
				go func() { pinged <- ping(p.ctx, s, t.ping) }() // received below, or its buffer takes it
			}
		case err := <-pinged:
			if pinging = false; err != nil {
				return ending{err: p.named(fmt.Errorf("it hangs: %w", err)), blame: true}
			}
		case <-look.C:
			if p.unused(t.idle) {
				return ending{}
			}
		case <-p.ctx.Done():
			return ending{}
		}
	}
}

func ping(ctx context.Context, s *session, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.client.Ping(ctx)
}

func (p *process) named(err error) error { return fmt.Errorf("plugin %s: %w", p.key.path, err) }

func (p *process) hungIn(s *session) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.hung
}

func (p *process) unused(since time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.checks) == 0 && time.Since(p.lastUsed) > since
}

// autopsy finds out why the stream ended. The stream is often faster than the death that ends it.
func (p *process) autopsy(s *session) ending {
	err := s.stream.Err()
	died := false
	select {
	case <-s.client.Exited():
		died = true
	case <-time.After(time.Second):
	case <-p.ctx.Done():
	}
	s.client.Kill() // waits for its last words
	switch {
	case died:
		return ending{err: p.named(fmt.Errorf("it died (%s)%s", s.client.ExitStatus(), lastWords(s.client))), blame: true}
	case err == nil:
		err = errors.New("the stream ended")
	}
	return ending{err: p.named(err), blame: true}
}

// bury ends what was in flight, and says how long to wait before the next life.
func (p *process) bury(e ending, lived time.Duration) (pause time.Duration) {
	if e.err != nil {
		p.kill()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session = nil
	if e.err != nil {
		e.err = errors.New(p.secrets.redact(e.err.Error())) // it may quote the plugin
	}
	p.failure = e.err
	if e.err == nil {
		p.failures = 0
		p.enter(idle)
		p.wantAgain()
		return 0
	}
	if lived > p.pool.o.timing.settled {
		p.failures = 0
	}
	p.failures++
	p.restarts++
	pause = p.pause()
	p.enter(pausing)
	p.blame(e)
	p.log.Error("plugin failed: its checks are unknown", "error", e.err,
		"failures", p.failures, "next", pause.String(), "checks", len(p.checks))
	return pause
}

// wantAgain notes that probes came while the process was ending. mu is held.
func (p *process) wantAgain() {
	for _, c := range p.checks {
		if c.flight == flying {
			p.answer(c, sdk.Unknown("plugin %s was shut down", p.key.path))
		}
	}
	if p.inFlight > 0 {
		p.want()
	}
}

// pause doubles with each failure in a row; after many the plugin is out of service, and
// tried seldom. mu is held.
func (p *process) pause() time.Duration {
	t := p.pool.o.timing
	if p.failures >= t.breakAt {
		return t.broken
	}
	return min(t.first<<min(p.failures-1, 20), t.longest)
}

// blame answers what was in flight with Unknown. A check that flew in two lives that ended badly
// is set aside. mu is held.
func (p *process) blame(e ending) {
	p.suspect, p.queue = nil, nil
	for _, c := range p.checks {
		if c.flight == flying && e.blame {
			c.crashes++
		}
		if c.flight == flying && c.crashes >= 2 {
			c.crashes = 1 // when it comes back, once more is enough
			c.aside = time.Now().Add(p.pool.o.timing.aside)
			p.log.Error("check set aside: it was in flight each time when its plugin died",
				"service", c.target.Service, "target", c.target.Addr.String(), "until", c.aside.Format(time.DateTime))
		}
		if c.flight != resting {
			p.answer(c, sdk.Unknown("%v", e.err))
		}
	}
	clear(p.cuts)
}

// finish ends the runners.
func (p *process) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session = nil
	p.enter(over)
	for r := range p.runners {
		r.shut()
	}
	clear(p.checks)
}
