package state

import (
	"slices"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// Snapshot is what is known at one moment. It is immutable: its services may be shared with
// later snapshots. Virtual services and real servers have the order of the configuration.
type Snapshot struct {
	Services []*ServiceStatus
}

// ServiceStatus is one virtual service.
type ServiceStatus struct {
	Config     *config.Service // its section
	Key        lvs.ServiceKey
	Virtual    string // as logged; what the file writes when Unresolved
	Unresolved bool   // its name has no address yet; nothing below is set
	// Settling says that the fallback still waits for verdicts.
	Settling bool
	// AllDown says that no real server is up: the fallback, if there is one, is in the table.
	AllDown         bool
	FallbackCommand bool // it was run with "start" and not yet with "stop"
	Servers         []ServerStatus
	// Deviations are differences between what was asked and the kernel's table that nothing is
	// done about, one line each, sorted.
	Deviations []string
}

// ServerStatus is one real server: an entry of the table, or a line of the configuration whose
// name has no address yet.
type ServerStatus struct {
	Config      *config.Server // the last of its lines
	Key         lvs.ServerKey
	Name        string // as logged; what the file writes when Unresolved
	Unresolved  bool   // nothing below is set
	Status      Health // maintenance counted in
	Since       time.Time
	Off         bool   // checktype = off: never in the table
	Adopted     bool   // up because it was in the table at the start; no verdict yet
	Maintenance string // why; "" when it is not in maintenance
	ByHand      string // what an operator did to it in the table, which stays until its next transition
	// InTable says whether it is asked for, and Asked with what, Asked.Weight 0 being quiescent.
	InTable bool
	Asked   lvs.RealServer
	Checks  []CheckStatus // none with checktype on and off and the service none
}

// CheckStatus is a check as one real server sees it.
type CheckStatus struct {
	ID       CheckID
	Status   Health      // after failurecount
	Verdict  sdk.Verdict // the last one, Unknown included
	At       time.Time   // of Verdict; zero before the first
	Counted  sdk.Verdict // the last one that was not Unknown; zero before the first
	Failures int         // consecutive, at most Limit
	Limit    int         // failurecount
}

// Snapshot returns what is known now. It makes anew only what changed since the last one.
func (s *State) Snapshot() *Snapshot {
	snap := &Snapshot{Services: make([]*ServiceStatus, 0, len(s.cfg.Services))}
	next := 0
	for i := range s.cfg.Services {
		cfg := &s.cfg.Services[i]
		if cfg.Unresolved {
			snap.Services = append(snap.Services, &ServiceStatus{Config: cfg, Key: cfg.Key, Virtual: cfg.Name, Unresolved: true})
			continue
		}
		v := s.services[next]
		next++
		if v.view == nil {
			v.view = v.status()
		}
		snap.Services = append(snap.Services, v.view)
	}
	return snap
}

func (v *service) status() *ServiceStatus {
	st := &ServiceStatus{
		Config: v.cfg, Key: v.cfg.Key, Virtual: VirtualName(v.cfg.Key),
		Settling: !v.settled, AllDown: v.fallback, FallbackCommand: v.started != "",
		Servers: make([]ServerStatus, 0, len(v.servers)),
	}
	for _, r := range v.servers {
		st.Servers = append(st.Servers, r.report(v))
	}
	for i := range v.cfg.Servers {
		if line := &v.cfg.Servers[i]; line.Unresolved {
			st.Servers = append(st.Servers, ServerStatus{Config: line, Name: line.Name, Unresolved: true})
		}
	}
	for d := range v.noted {
		st.Deviations = append(st.Deviations, d.String())
	}
	for key := range v.kept {
		st.Deviations = append(st.Deviations, "real server "+ServerName(key)+" ("+v.cfg.Key.String()+") is not in the configuration: kept while a name has no address")
	}
	slices.Sort(st.Deviations)
	return st
}

func (r *server) report(v *service) ServerStatus {
	st := ServerStatus{
		Config: r.cfg, Key: r.key, Name: ServerName(r.key), Status: r.status(), Since: r.since,
		Off: v.cfg.CheckType == config.Off, Adopted: r.adopted, Maintenance: r.maintenance,
		ByHand: r.byHand, InTable: r.in, Asked: r.value,
	}
	for _, w := range r.watches {
		st.Checks = append(st.Checks, CheckStatus{
			ID: w.check, Status: w.health, Verdict: w.last, At: w.at, Counted: w.counted,
			Failures: w.failures, Limit: v.cfg.FailureCount,
		})
	}
	return st
}
