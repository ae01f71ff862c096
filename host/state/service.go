package state

import (
	"maps"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// service is a virtual service of the configuration whose address is known.
type service struct {
	cfg     *config.Service
	servers []*server // one for each entry of the table, in the order of the configuration
	byKey   map[lvs.ServerKey]*server
	// waiting says that a configured real server's name has no address yet, names which.
	waiting bool
	names   []string
	// kept is what the table had and the configuration does not know, see keeping.
	kept map[lvs.ServerKey]lvs.RealServer

	// settled says that the fallback need not wait any longer: every real server has a
	// verdict, or settleBy has passed.
	// It waits for its patience, the longest timeout of its checks, and startUp.
	settled  bool
	patience time.Duration
	settleBy time.Time
	fallback bool   // all real servers are down: the fallback, if there is one, is asked for
	started  string // the fallbackcommand that was run with "start" and not yet with "stop"

	// noted holds what the last look at the kernel's table found and nothing was done about.
	noted map[lvs.Deviation]bool
	view  *ServiceStatus // what Snapshot last made of this service; nil when it changed since
}

// Health is what the checks say of a real server, maintenance apart.
type Health uint8

// The healths. The zero value: no verdict yet.
const (
	Waiting Health = iota
	Up
	Down
)

// String returns "waiting", "up" or "down".
func (h Health) String() string {
	return [...]string{"waiting", "up", "down"}[h]
}

// server is one entry of the table: a real server of one virtual service. Several real lines
// may stand for it.
type server struct {
	key     lvs.ServerKey
	cfg     *config.Server // the last of its lines
	lines   []*config.Server
	watches []*watch // its checks; none: it is up without any

	health      Health
	since       time.Time // when status last changed
	adopted     bool      // up because it was in the table before the start, no verdict yet
	maintenance string    // why it is in maintenance; "" when it is not

	// What is asked now. A change made by hand is taken over here, so that it is not undone
	// before the next transition; byHand then says what was done.
	in     bool
	value  lvs.RealServer
	byHand string
	asked  lvs.RealServer // with byHand: what value was before
}

// watch is a check as one entry of the table sees it: failures are counted per entry.
type watch struct {
	service  *service
	server   *server
	check    CheckID
	health   Health
	failures int // consecutive
	last     sdk.Verdict
	at       time.Time   // of last; zero before the first
	judged   bool        // had a verdict other than Unknown
	counted  sdk.Verdict // the last of those
	borrowed bool        // all this is of the check that stood here before a reload

	fresh       time.Duration // how long a weight of its verdicts counts
	connects    bool          // it is of checktype = N
	realID      string        // see RealID; "" when nobody wants to know
	weighs      bool          // it asks for a weight now
	weight      uint32
	weightUntil time.Time
}

// status is the health with maintenance counted in.
func (r *server) status() Health {
	if r.maintenance != "" {
		return Down
	}
	return r.health
}

// drained tells whether an operator took the weight of a server that is not down.
func (r *server) drained() bool {
	return r.byHand != "" && r.in && r.value.Weight == 0 && r.cfg.Server.Weight > 0 && r.status() != Down
}

// quiescent is the configured entry with weight 0: its thresholds stay.
func (r *server) quiescent() lvs.RealServer {
	q := r.cfg.Server
	q.Weight = 0
	return q
}

// cause is why something changes.
type cause struct {
	at      time.Time
	verdict sdk.Verdict
	check   CheckID
	reason  string
	phase   string
}

func (c cause) transition(v *service, change Change) Transition {
	return Transition{
		At: c.at, Change: change, Service: v.cfg.Key, Virtual: VirtualName(v.cfg.Key),
		Phase: c.phase, Verdict: c.verdict, Check: c.check, Reason: c.reason,
	}
}

func (c cause) serverTransition(v *service, r *server, change Change) Transition {
	t := c.transition(v, change)
	t.Server, t.Weight = r.key, r.value.Weight
	return t
}

// find returns the entry of the table at key, nil when the configuration has none.
func (v *service) find(key lvs.ServerKey) *server { return v.byKey[key] }

// fallbackServer returns the fallback that the section may use; nil for none, or while its
// name has no address.
func (v *service) fallbackServer() *config.Fallback {
	if f := v.cfg.Fallback; f != nil && !f.Unresolved && v.cfg.CheckType != config.Off {
		return f
	}
	return nil
}

// fallbackAt tells whether key is that of the fallback, if the section may use one at all.
func (v *service) fallbackAt(key lvs.ServerKey) bool {
	f := v.fallbackServer()
	return f != nil && f.Key == key
}

// desired is what is asked for the virtual service now.
func (v *service) desired() lvs.Service {
	want := lvs.Service{VirtualService: v.cfg.Virtual, Servers: map[lvs.ServerKey]lvs.RealServer{}}
	for _, r := range v.servers {
		if r.in {
			want.Servers[r.key] = r.value
		}
	}
	maps.Copy(want.Servers, v.kept)
	if f := v.fallbackServer(); v.fallback && f != nil {
		want.Servers[f.Key] = f.Server
	}
	return want
}
