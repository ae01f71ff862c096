package state

import (
	"slices"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// expects tells whether v waits for a verdict that old, the same service before a reload, did not
// wait for: a reload does not make anybody wait twice.
func (v *service) expects(old *service) bool {
	if v.waiting && !old.waiting {
		return true
	}
	for _, r := range v.servers {
		before := old.find(r.key)
		for _, w := range r.watches {
			known := before != nil && slices.ContainsFunc(before.watches, func(o *watch) bool { return o.check == w.check })
			if !w.judged && !known && r.maintenance == "" {
				return true
			}
		}
	}
	return false
}

// inherit takes over the fallback of the service before a reload. If it was in use and is another
// one now, the new one takes its place; the old one, unknown by then, is purged.
func (v *service) inherit(old *service, found lvs.Service, c cause) []Transition {
	is, was := v.fallbackServer(), old.fallbackServer()
	if !old.fallback || is != nil && v.find(is.Key) == nil && v.up() {
		return v.adoptFallback(found, c)
	}
	v.fallback = true
	if is == nil || v.find(is.Key) != nil || was != nil && was.Key == is.Key {
		return nil
	}
	if got, in := found.Servers[is.Key]; in && got == is.Server {
		return nil // it was kept, or was a real server
	}
	return []Transition{c.fallbackTransition(v, is, Added)}
}

// adoptFallback takes over a fallback that the table has, with weight and while no real server is
// up: as such from an earlier run, or as the real server that it was before a reload.
func (v *service) adoptFallback(found lvs.Service, c cause) []Transition {
	is := v.fallbackServer()
	if is == nil || v.find(is.Key) != nil {
		return nil
	}
	got, in := found.Servers[is.Key]
	switch v.fallback = in && got.Weight > 0 && !v.up(); {
	case in && !v.fallback:
		return []Transition{c.fallbackTransition(v, is, Deleted)}
	case in && got != is.Server:
		return []Transition{c.fallbackTransition(v, is, Restored)}
	default:
		return nil
	}
}

// hear gives checks that are new to a real server the verdict that others had of them before the
// reload. The monitor goes on with such a check, and may be long in probing it again.
func (s *State) hear(prev *State, at time.Time) []Transition {
	if prev == nil {
		return nil
	}
	var ts []Transition
	for i := range s.checks {
		id := s.checks[i].ID
		others := prev.watches[id]
		n := slices.IndexFunc(others, func(o *watch) bool {
			return o.judged && !o.borrowed && o.last.Status != sdk.StatusUnknown // not one of long ago
		})
		if n < 0 {
			continue
		}
		for _, w := range s.watches[id] {
			if w.judged {
				continue
			}
			ts = append(ts, w.observe(Observation{Check: id, Verdict: others[n].last, At: at})...)
			s.weighed(w)
			w.at = others[n].at
		}
	}
	return ts
}
