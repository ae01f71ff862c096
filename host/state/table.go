package state

import (
	"cmp"
	"slices"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
)

// Checks returns the distinct checks of the configuration, in its order.
func (s *State) Checks() []Check { return s.checks }

// Desired is the table as it is asked now: the virtual services of the configuration alone.
func (s *State) Desired() lvs.Table {
	t := make(lvs.Table, len(s.services))
	for _, v := range s.services {
		t[v.cfg.Key] = v.desired()
	}
	return t
}

// Edits returns what leads from what was asked last to what is asked now: lvs.Plan, with two
// entries made anew even if somebody removed them by hand, where the plan would only change what is
// there: a fallback in use, and with readdquiescent = yes a quiescent real server.
func (s *State) Edits(last lvs.Table) []lvs.Edit {
	edits := lvs.Plan(last, s.Desired())
	for i, e := range edits {
		if e.Op == lvs.UpdateServer && s.reinstates(e) {
			edits[i].Op = lvs.EnsureServer
		}
	}
	slices.SortStableFunc(edits, func(a, b lvs.Edit) int { return cmp.Compare(a.Op, b.Op) })
	return edits
}

func (s *State) reinstates(e lvs.Edit) bool {
	v := s.service(e.Key)
	if v.fallback && v.fallbackAt(e.At) {
		return true
	}
	r := v.find(e.At)
	return r != nil && r.status() == Down && v.cfg.Quiescent && v.cfg.ReaddQuiescent
}

// Drifted compares what was asked last with have, the kernel's table now. A virtual service
// of ours that is missing is rebuilt whole. A real server that is missing or was changed is an operator's
// act: it is taken over and told once, and stays until the next transition of that
// server. A quiescent one that was removed is put back with readdquiescent = yes.
//
// It returns what now counts as asked last; Edits from there makes what is to be made anew.
func (s *State) Drifted(last, have lvs.Table, at time.Time) (lvs.Table, []Transition) {
	next := last.Clone()
	var ts []Transition
	seen := map[lvs.Deviation]bool{}
	for _, d := range lvs.Drift(last, have) {
		v := s.service(d.Key)
		if v == nil {
			continue // on its way out
		}
		seen[d] = true
		c := cause{at: at, reason: d.String()}
		r := v.find(d.At)
		switch {
		case d.Kind == lvs.ServiceMissing:
			delete(next, d.Key)
			ts = append(ts, c.transition(v, AddedService))
		case v.acceptKept(d, next):
			ts = append(ts, c.atServer(v, d.At))
		case d.Kind == lvs.ServiceChanged || r == nil || (v.fallback && v.fallbackAt(d.At)):
			ts = append(ts, v.note(d, c)...)
		default:
			ts = append(ts, v.accept(r, d, c, next)...)
			for _, w := range r.watches {
				s.weighed(w)
			}
		}
	}
	for _, v := range s.services {
		for d := range v.noted {
			if !seen[d] {
				delete(v.noted, d)
				v.view = nil
			}
		}
	}
	return next, ts
}

// note tells a deviation that nothing is done about, once for as long as it lasts.
func (v *service) note(d lvs.Deviation, c cause) []Transition {
	if v.noted[d] {
		return nil
	}
	v.noted[d] = true
	v.view = nil
	return []Transition{c.atServer(v, d.At)}
}

func (c cause) atServer(v *service, at lvs.ServerKey) Transition {
	t := c.transition(v, Deviated)
	t.Server = at
	return t
}

// accept takes over what somebody did by hand to r, and enters it into next as if it had been
// asked. A server that changed status since the last plan is left to the next look.
func (v *service) accept(r *server, d lvs.Deviation, c cause, next lvs.Table) []Transition {
	asked, was := next[d.Key].Servers[r.key]
	if was != r.in || (was && asked != r.value) {
		return nil
	}
	v.view = nil
	if r.byHand == "" {
		r.asked = r.value
	}
	d.AskedServer = r.asked
	c.reason = d.String()
	servers := next[d.Key].Servers
	if d.Kind == lvs.ServerMissing {
		delete(servers, r.key)
		if v.cfg.Quiescent && v.cfg.ReaddQuiescent && r.status() == Down {
			return []Transition{c.serverTransition(v, r, ReaddedQuiescent)}
		}
		r.in = false
	} else {
		servers[r.key] = d.HaveServer
		r.in, r.value = true, d.HaveServer
	}
	r.byHand = c.reason
	if r.in == (v.cfg.Quiescent || r.status() == Up) && (!r.in || r.value == r.ruled() || r.value == r.asked) {
		r.byHand = ""
		c.reason = "real server " + ServerName(r.key) + " (" + v.cfg.Key.String() + ") is as asked again"
	}
	return []Transition{c.serverTransition(v, r, Deviated)}
}

// ruled is the entry that the status of r alone asks for, if it asks for one.
func (r *server) ruled() lvs.RealServer {
	if r.status() == Up {
		return r.entry()
	}
	return r.quiescent()
}

// Stop says what stopping changes, and returns the table to ask for: with cleanstop = yes a
// virtual service is removed, and its fallbackcommand stopped if it was started; with no,
// everything stays. The state is good for nothing but Memory and Snapshot afterwards.
func (s *State) Stop(at time.Time) ([]Transition, lvs.Table) {
	keep := lvs.Table{}
	var ts []Transition
	c := cause{at: at, reason: "stop", phase: "stop"}
	for _, v := range s.services {
		v.view = nil
		if !v.cfg.CleanStop {
			keep[v.cfg.Key] = v.desired()
			continue
		}
		if v.started != "" {
			ts = append(ts, v.stopCommand(c))
		}
		for _, r := range v.servers {
			if r.in {
				ts = append(ts, c.serverTransition(v, r, PurgedServer))
			}
			r.in, r.byHand = false, ""
		}
		v.fallback = false
		ts = append(ts, c.transition(v, PurgedService))
	}
	return ts, keep
}
