package state

import (
	"maps"
	"slices"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/lvs"
)

// While a name has no address yet, an entry of the table that the configuration does not know
// may be the very server of that name: a nameserver that is down when the director starts
// must not empty the table. Such entries are kept until the name resolves.

// purge says which real servers of the table the configuration does not know, and sets
// those aside that are kept.
func (v *service) purge(old *service, found lvs.Service, c cause) []Transition {
	var ts []Transition
	for _, key := range slices.SortedFunc(maps.Keys(found.Servers), lvs.ServerKey.Compare) {
		switch {
		case v.find(key) != nil || v.fallbackAt(key):
		case v.keeping() && v.mayMean(old, key):
			v.kept[key] = found.Servers[key]
		default:
			ts = append(ts, c.purged(v, key))
		}
	}
	return ts
}

func (c cause) purged(v *service, key lvs.ServerKey) Transition {
	t := c.transition(v, PurgedServer)
	t.Server, t.Phase = key, "start"
	if c.phase != "" {
		t.Phase = c.phase
	}
	return t
}

// keeping tells whether a name without an address may stand for an entry of the table. That
// of the fallback does so no longer when a real server is up: then it has no place there.
func (v *service) keeping() bool {
	if v.cfg.CheckType == config.Off {
		return false
	}
	return v.waiting || v.cfg.Fallback != nil && v.cfg.Fallback.Unresolved && !v.up()
}

// mayMean tells whether one of v's names without an address may stand for key. What old, the
// same service before a reload, knew by its address is not meant by a name that waited
// beside it already: that one was removed from the configuration.
func (v *service) mayMean(old *service, key lvs.ServerKey) bool {
	switch {
	case old == nil || old.find(key) == nil && !old.fallbackAt(key):
		return true
	case old.find(key) == nil:
		return false
	default:
		return slices.ContainsFunc(v.names, func(name string) bool { return !slices.Contains(old.names, name) })
	}
}

// tellKept says which entries are kept that old did not keep already.
func (v *service) tellKept(old *service, c cause) []Transition {
	var ts []Transition
	for _, key := range slices.SortedFunc(maps.Keys(v.kept), lvs.ServerKey.Compare) {
		if old != nil {
			if _, already := old.kept[key]; already {
				continue
			}
		}
		t := c.transition(v, KeptServer)
		t.Server, t.Reason = key, "a configured name has no address yet"
		ts = append(ts, t)
	}
	return ts
}

// release purges what is kept when there is no reason for it any more.
func (v *service) release(c cause) []Transition {
	if len(v.kept) == 0 || v.keeping() {
		return nil
	}
	var ts []Transition
	for _, key := range slices.SortedFunc(maps.Keys(v.kept), lvs.ServerKey.Compare) {
		ts = append(ts, c.purged(v, key))
	}
	clear(v.kept)
	v.view = nil
	return ts
}

// acceptKept takes over what somebody did by hand to a kept entry; false when d is not about one.
func (v *service) acceptKept(d lvs.Deviation, next lvs.Table) bool {
	if _, ok := v.kept[d.At]; !ok {
		return false
	}
	v.view = nil
	if d.Kind == lvs.ServerMissing {
		delete(v.kept, d.At)
		delete(next[d.Key].Servers, d.At)
	} else {
		v.kept[d.At] = d.HaveServer
		next[d.Key].Servers[d.At] = d.HaveServer
	}
	return true
}

// unclaimed returns the part of m about what may still wait for a name.
func (s *State) unclaimed(m Memory) Memory {
	var out Memory
	waiting := slices.ContainsFunc(s.cfg.Services, func(v config.Service) bool { return v.Unresolved })
	for _, ref := range m.Drained {
		v := s.service(ref.Service)
		if v == nil && waiting || v != nil && v.waiting && v.find(ref.Server) == nil {
			out.Drained = append(out.Drained, ref)
		}
	}
	for _, c := range m.FallbackStarted {
		if waiting && s.service(c.Service) == nil {
			out.FallbackStarted = append(out.FallbackStarted, c)
		}
	}
	return out
}
