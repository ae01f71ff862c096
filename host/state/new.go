package state

import (
	"cmp"
	"slices"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/lvs"
)

// State is what is known of every real server, and what is asked for it. One goroutine
// owns it.
type State struct {
	cfg         *config.Config
	services    []*service // those with an address, in the order of the configuration
	byKey       map[lvs.ServiceKey]*service
	watches     map[CheckID][]*watch
	checks      []Check
	maintenance Maintenance
	salt        []byte
	monitored   bool   // some virtual service has a monitorfile
	waiting     Memory // of an earlier run, about servers and services whose names have no address yet

	reweighing map[*server]*service // see Reweighs
	nextExpiry time.Time            // no weight expires before; zero: none will
}

// Options is what New is told besides the configuration and the tables.
type Options struct {
	Now         time.Time
	Memory      Memory      // what the state file of this boot remembers; used at a start only
	Maintenance Maintenance // who is in maintenance at a start; a reload keeps what prev has
	// Salt keys the digests of secrets in CheckIDs: random, or who reads a log could try out
	// passwords. A reload keeps that of prev, so that identities stay what they are.
	Salt []byte
}

// New makes the state of a configuration, and says what changes by it. have is the kernel's
// table.
//
// At a start prev is nil and have is adopted: a real server with weight stays in until a
// check says otherwise, one that is absent goes in with its first success, a weight 0 is
// lifted by the first success unless Options.Memory knows it for an operator's. Real servers of our
// virtual services that the configuration does not know are purged; virtual services that
// it does not know are somebody else's. While a name has no address, what may be meant by it is
// kept instead, see KeptServer.
//
// At a reload prev is the state before, which is not altered: real servers that stay keep
// their status and counts, whatever else changes, and new ones are adopted as at a start.
// have must have gone through prev's Drifted.
func New(cfg *config.Config, prev *State, have lvs.Table, o Options) (*State, []Transition) {
	s := &State{
		cfg: cfg, byKey: map[lvs.ServiceKey]*service{}, watches: map[CheckID][]*watch{},
		maintenance: o.Maintenance, salt: o.Salt, reweighing: map[*server]*service{},
	}
	c := cause{at: o.Now, reason: "start", phase: "start"}
	if prev != nil {
		s.maintenance, s.salt, o.Memory = prev.maintenance, prev.salt, prev.waiting
		c.reason, c.phase = "reload", "reload"
	}
	s.build()
	s.waiting = s.unclaimed(o.Memory)
	ts := s.dropped(prev, c)
	begun := o.Now.Add(startUp + s.firstRound(prev))
	for _, v := range s.services {
		v.settleBy = begun.Add(v.patience)
		ts = append(ts, s.take(v, prev.service(v.cfg.Key), have, o.Memory, c)...)
	}
	return s, append(ts, s.hear(prev, o.Now)...)
}

// startUp is what the fallback waits beyond one timeout: the first probes begin only when
// their plugin runs, and our own slowness must not send visitors to the emergency page.
const startUp = 2 * time.Second

// atOnce is how many new checks are begun without delay. The monitor spreads the others, a
// thousand a second, and within their interval.
const atOnce = 100

// firstRound is how long it takes until each check that prev did not have is begun.
func (s *State) firstRound(prev *State) time.Duration {
	fresh := 0
	var longest time.Duration
	for _, c := range s.checks {
		if prev == nil || prev.watches[c.ID] == nil {
			fresh++
			longest = max(longest, c.Interval)
		}
	}
	return min(time.Duration(max(fresh-atOnce, 0))*time.Millisecond, longest)
}

// build makes the services, their servers and checks from the configuration alone.
func (s *State) build() {
	book := newCheckBook(s.cfg.Global, s.salt)
	for i := range s.cfg.Services {
		cfg := &s.cfg.Services[i]
		if cfg.Unresolved {
			continue
		}
		v := &service{
			cfg: cfg, byKey: map[lvs.ServerKey]*server{}, noted: map[lvs.Deviation]bool{},
			kept:     map[lvs.ServerKey]lvs.RealServer{},
			patience: cfg.CheckTimeout,
		}
		for j := range cfg.Servers {
			line := &cfg.Servers[j]
			if line.Unresolved {
				v.waiting = true
				v.names = append(v.names, line.Name)
				continue
			}
			r := v.byKey[line.Key]
			if r == nil {
				r = &server{key: line.Key}
				v.byKey[line.Key] = r
				v.servers = append(v.servers, r)
			}
			r.cfg = line
			r.lines = append(r.lines, line)
			if c, ok := book.add(cfg, line); ok {
				v.patience = max(v.patience, c.Timeout)
				s.watch(v, r, line, c)
			}
		}
		s.services = append(s.services, v)
		s.byKey[cfg.Key] = v
	}
	s.checks = book.checks
}

// watch has r follow the check c of one of its lines, once.
func (s *State) watch(v *service, r *server, line *config.Server, c Check) {
	for _, w := range r.watches {
		if w.check == c.ID {
			return
		}
	}
	w := &watch{service: v, server: r, check: c.ID, fresh: freshness(c), connects: c.ConnectsPer > 0}
	if v.cfg.MonitorFile != "" {
		w.realID, s.monitored = RealID(v.cfg, line), true
	}
	r.watches = append(r.watches, w)
	s.watches[c.ID] = append(s.watches[c.ID], w)
}

// service returns the service of prev that has this key, nil if there is none or no prev.
func (s *State) service(k lvs.ServiceKey) *service {
	if s == nil {
		return nil
	}
	return s.byKey[k]
}

// dropped says what a reload removes whole.
func (s *State) dropped(prev *State, c cause) []Transition {
	if prev == nil {
		return nil
	}
	var ts []Transition
	for _, old := range prev.services {
		if s.service(old.cfg.Key) != nil {
			continue
		}
		if old.started != "" {
			gone := *old
			ts = append(ts, gone.stopCommand(c))
		}
		ts = append(ts, c.transition(old, PurgedService))
	}
	return ts
}

// take gives v what is known of it: from old, the same service before a reload, or from have.
func (s *State) take(v, old *service, have lvs.Table, m Memory, c cause) []Transition {
	found, exists := have[v.cfg.Key]
	ts := v.announce(found, exists, c)
	ts = append(ts, v.purge(old, found, c)...)
	for _, r := range v.servers {
		r.since = c.at
		var before *server
		if old != nil {
			before = old.find(r.key)
		}
		got, present := found.Servers[r.key]
		if before != nil {
			got, present = before.value, before.in
			r.carry(before)
		} else {
			r.adopt(v, got, present, slices.Contains(m.Drained, ServerRef{v.cfg.Key, r.key}))
		}
		r.maintenance = s.maintenance.reason(r)
		r.conform(v, got, before, c.at)
		if change := difference(got, present, r.value, r.in); change != 0 {
			why := c
			if r.maintenance != "" {
				why.reason = "maintenance: " + r.maintenance
			}
			ts = append(ts, why.serverTransition(v, r, change))
		}
		for _, w := range r.watches {
			s.weighed(w)
		}
	}
	if old != nil {
		v.settled = old.fallback || !v.pending()
		if !v.settled && !v.expects(old) {
			v.settled, v.settleBy = old.settled, old.settleBy
		}
		v.started = old.started
		ts = append(ts, v.inherit(old, found, c)...)
	} else {
		for _, command := range m.FallbackStarted {
			if command.Service == v.cfg.Key {
				v.started = cmp.Or(command.Command, v.cfg.FallbackCommand)
			}
		}
		ts = append(ts, v.adoptFallback(found, c)...)
	}
	ts = append(ts, v.balance(c)...)
	return append(ts, v.tellKept(old, c)...)
}

// announce says whether the virtual service itself is new or changes.
func (v *service) announce(found lvs.Service, exists bool, c cause) []Transition {
	f := v.cfg.Key.Family
	switch {
	case !exists:
		return []Transition{c.transition(v, AddedService)}
	case found.Normal(f) != v.cfg.Virtual.Normal(f):
		return []Transition{c.transition(v, ChangedService)}
	default:
		return nil
	}
}

// carry takes over what was known of the same entry before a reload. A check keeps its
// counts under the same identity, else those of the check at its place.
func (r *server) carry(old *server) {
	r.health, r.since, r.adopted = old.health, old.since, old.adopted
	r.in, r.value, r.byHand, r.asked = old.in, old.value, old.byHand, old.asked
	for i, w := range r.watches {
		j := slices.IndexFunc(old.watches, func(o *watch) bool { return o.check == w.check })
		if j < 0 && len(r.watches) == len(old.watches) {
			j = i
		}
		if j >= 0 {
			o := old.watches[j]
			w.health, w.last, w.at, w.judged, w.counted = o.health, o.last, o.at, o.judged, o.counted
			w.failures = min(o.failures, w.service.cfg.FailureCount)
			w.borrowed = o.borrowed || w.check != o.check
			if w.check == o.check { // another check may not know of weights at all
				w.weighs, w.weight, w.weightUntil = o.weighs, o.weight, o.weightUntil
			}
		}
	}
}

// adopt takes over an entry of the kernel's table, or starts without one.
func (r *server) adopt(v *service, got lvs.RealServer, present, drained bool) {
	if v.cfg.CheckType == config.Off {
		return
	}
	r.in = present
	r.value = r.quiescent()
	switch {
	case present && got.Weight > 0:
		r.health, r.value = Up, r.cfg.Server
		r.adopted = len(r.watches) > 0
	case present && drained:
		r.byHand, r.asked = "weight 0 set before the start", r.cfg.Server
	}
}

// conform makes what is asked for r follow its status and the configuration as it is now. A
// change made by hand stays, unless the configuration of this entry changed.
func (r *server) conform(v *service, got lvs.RealServer, before *server, at time.Time) {
	if v.cfg.CheckType == config.Off {
		if r.health != Waiting {
			r.health, r.since = Waiting, at
		}
		r.in, r.byHand = false, ""
		return
	}
	if len(r.watches) == 0 && r.health != Up { // on, none: nothing to wait for
		r.health, r.since = Up, at
	}
	if r.byHand != "" && (before == nil || before.cfg.Server == r.cfg.Server) {
		r.value.Method, r.value.Upper, r.value.Lower = got.Method, got.Upper, got.Lower
		return
	}
	r.byHand = ""
	switch r.status() {
	case Up:
		r.in, r.value = true, r.entry()
	case Down:
		r.in, r.value = v.cfg.Quiescent, r.quiescent()
	default:
		r.value = r.quiescent()
	}
}

// difference names the change from one entry of the table to another, 0 for none.
func difference(was lvs.RealServer, wasIn bool, is lvs.RealServer, isIn bool) Change {
	switch {
	case !wasIn && !isIn, wasIn && isIn && was == is:
		return 0
	case !wasIn:
		return Added
	case !isIn:
		return Deleted
	case is.Weight > 0:
		return Restored
	case was.Weight > 0:
		return Quiesced
	default:
		return 0 // weight 0 before and after: not worth a line
	}
}
