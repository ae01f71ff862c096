package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// session is one Run stream in the plugin. The goroutine that receives owns everything
// but the collector.
type session struct {
	checker sdk.Checker
	logger  Logger
	stream  checkv1.Check_RunServer
	checks  map[uint64]*registration
	shared  map[string]*settled
	out     *collector
}

// registration is a check that the host has made known.
type registration struct {
	id      uint64
	target  sdk.Target
	settled *settled
	key     string
	cancel  context.CancelFunc // of the last probe; nil before the first
	busy    atomic.Bool        // whether a probe is in flight
}

// settled is a probe whose options are decoded, shared by all checks with the same
// options: a thousand real servers need one compiled pattern.
type settled struct {
	probe prober
	err   error // why there is none
	users int
}

func newSession(c sdk.Checker, l Logger, stream checkv1.Check_RunServer) *session {
	return &session{
		checker: c, logger: l, stream: stream,
		checks: map[uint64]*registration{},
		shared: map[string]*settled{},
		out:    newCollector(),
	}
}

// run receives until the host closes the stream. Probes that ignore their context may
// outlive it; their verdicts go nowhere.
func (s *session) run() error {
	ctx, cancel := context.WithCancel(s.stream.Context())
	sent := make(chan error, 1)
	go func() { sent <- s.out.run(ctx, s.stream.Send) }()
	err := s.receive(ctx)
	cancel()
	return errors.Join(err, <-sent)
}

func (s *session) receive(ctx context.Context) error {
	for {
		r, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, id := range r.GetForget() {
			s.forget(id)
		}
		for _, reg := range r.GetRegister() {
			s.register(reg)
		}
		s.start(ctx, r.GetStart())
	}
}

func (s *session) register(p *checkv1.Registration) {
	if _, twice := s.checks[p.GetId()]; twice {
		return // the number is taken: its owner stays
	}
	t, err := fromTarget(p.GetTarget())
	if err != nil {
		s.checks[p.GetId()] = &registration{id: p.GetId(), settled: &settled{err: err}}
		return
	}
	key := optionsKey(t.Service, p.GetOptions())
	one := s.shared[key]
	if one == nil {
		one = &settled{}
		one.probe, one.err = prepare(s.checker, t.Service, p.GetOptions())
		s.shared[key] = one
	}
	one.users++
	s.checks[p.GetId()] = &registration{id: p.GetId(), target: t, settled: one, key: key}
}

func (s *session) forget(id uint64) {
	r := s.checks[id]
	if r == nil {
		return
	}
	delete(s.checks, id)
	if r.cancel != nil {
		r.cancel()
	}
	if r.settled.users--; r.settled.users <= 0 {
		delete(s.shared, r.key)
	}
}

// start runs one goroutine per probe: they end with it, so idle checks have none.
func (s *session) start(ctx context.Context, due []*checkv1.Due) {
	s.out.visit()
	for _, d := range due {
		r := s.checks[d.GetId()]
		switch {
		case r == nil:
			s.out.finish(d.GetId(), sdk.Unknown("check %d is not registered", d.GetId()))
			continue
		case r.settled.err != nil:
			s.out.finish(r.id, sdk.Unknown("options: %v", r.settled.err))
			continue
		case !r.busy.CompareAndSwap(false, true):
			s.out.finish(r.id, sdk.Unknown("the last probe is not over"))
			continue
		}
		probeCtx, cancel := context.WithTimeout(ctx, time.Duration(d.GetRemaining()))
		r.cancel = cancel
		go func() {
			defer cancel()
			v := r.settled.probe(withLogger(probeCtx, s.logger, &r.target), r.target)
			r.busy.Store(false)
			s.out.finish(r.id, v)
		}()
	}
}

// optionsKey is equal for equal services and options.
func optionsKey(service string, o map[string]string) string {
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(service)
	for _, name := range names {
		fmt.Fprintf(&b, "\x00%q=%q", name, o[name])
	}
	return b.String()
}
