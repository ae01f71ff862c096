package state

import (
	"math"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// missedProbes is how many of its intervals a check may be silent, or unable to tell, before
// the weight that it asked for expires: one lost probe must not make the weight jump.
const missedProbes = 3

// freshness is how long a weight counts that c asked for. With checktype = N the probes that
// ask for weights are N intervals further apart.
func freshness(c Check) time.Duration {
	return missedProbes*c.Interval*time.Duration(1+c.ConnectsPer) + c.Timeout
}

// weigh takes the weight of a verdict. Without one the configured weight counts again; but
// the connects of checktype = N never ask for any, and leave that of the negotiate.
func (w *watch) weigh(v sdk.Verdict, at time.Time) {
	if v.Status != sdk.StatusUp {
		return
	}
	if v.Weight != nil && *v.Weight >= 0 && *v.Weight <= math.MaxUint16 {
		w.weight, w.weighs, w.weightUntil = uint32(*v.Weight), true, at.Add(w.fresh)
	} else if !w.connects {
		w.weighs = false
	}
}

// entry is what an r that is up asks for: as configured, with the weight that its checks ask
// for. Of several the lowest counts: each speaks for a part of the server.
func (r *server) entry() lvs.RealServer {
	e := r.cfg.Server
	asked := false
	for _, w := range r.watches {
		if w.weighs && (!asked || w.weight < e.Weight) {
			e.Weight, asked = w.weight, true
		}
	}
	return e
}

// reweighs tells whether r asks for another weight than it has. While somebody's hand is on
// it, it asks for nothing.
func (r *server) reweighs() bool {
	return r.in && r.byHand == "" && r.status() == Up && r.value.Weight != r.entry().Weight
}

// weighed notes what a verdict about w, or a look at the table, may have changed.
func (s *State) weighed(w *watch) {
	if w.weighs && (s.nextExpiry.IsZero() || w.weightUntil.Before(s.nextExpiry)) {
		s.nextExpiry = w.weightUntil
	}
	if w.server.reweighs() {
		s.reweighing[w.server] = w.service
	}
}

// Reweighs tells whether a check asks for another weight than its real server has. It is given by
// Weigh, after a look at the kernel's table.
func (s *State) Reweighs() bool { return len(s.reweighing) > 0 }

// Weigh gives real servers the weights that their checks ask for. It belongs right after Drifted:
// what that took over from an operator's hand stays as it is.
func (s *State) Weigh(at time.Time) []Transition {
	var ts []Transition
	for _, v := range s.services {
		for _, r := range v.servers {
			if s.reweighing[r] == nil || !r.reweighs() {
				continue
			}
			v.view = nil
			r.value = r.entry()
			ts = append(ts, r.weightCause(at).serverTransition(v, r, Reweighted))
		}
	}
	clear(s.reweighing)
	return ts
}

// weightCause is the check whose weight r has, or that its check's weight expired.
func (r *server) weightCause(at time.Time) cause {
	for _, w := range r.watches {
		if w.weighs && w.weight == r.value.Weight {
			return cause{at: at, verdict: w.last, check: w.check}
		}
	}
	return cause{at: at, reason: "no check asks for a weight: as configured"}
}

// NextExpiry returns when Expire is due; the zero time means never.
func (s *State) NextExpiry() time.Time { return s.nextExpiry }

// Expire ends those weights whose checks have been silent or unable to tell for too long: the
// configured weight counts again, see Reweighs.
func (s *State) Expire(at time.Time) {
	s.nextExpiry = time.Time{}
	for _, watches := range s.watches {
		for _, w := range watches {
			if w.weighs && !w.weightUntil.After(at) {
				w.weighs, w.service.view = false, nil
			}
			s.weighed(w)
		}
	}
}
