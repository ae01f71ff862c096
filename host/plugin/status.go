package plugin

import (
	"cmp"
	"slices"
	"time"
)

// Process is what a Pool says about one of its processes.
type Process struct {
	Path      string    // of the binary, links resolved
	Pool      string    // the pool key; "" for the shared one
	State     string    // "idle", "starting", "running", "failed"
	Since     time.Time // when State began
	PID       int       // 0 unless running
	Version   string    // of the last process that ran
	Services  []string  // likewise
	Checks    int       // registered
	InFlight  int       // probes
	SetAside  int       // checks that are set aside
	Restarts  int       // failures so far
	CutOff    int       // probes that did not come back so far
	LastError string    // why the last life ended; empty when it ended well
}

// Status says how the processes are, sorted by path and pool.
func (p *Pool) Status() []Process {
	p.mu.Lock()
	var each []*process
	for _, one := range p.processes {
		each = append(each, one)
	}
	p.mu.Unlock()
	var all []Process
	for _, one := range each {
		all = append(all, one.status())
	}
	slices.SortFunc(all, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Pool, b.Pool))
	})
	return all
}

func (p *process) status() Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Process{
		Path: p.key.path, Pool: p.key.pool, State: p.phase.String(), Since: p.since, Version: p.info.Version,
		Checks: len(p.checks), InFlight: p.inFlight, Restarts: p.restarts, CutOff: p.cutOff,
	}
	for _, one := range p.info.Services {
		s.Services = append(s.Services, one.Name)
	}
	if p.session != nil {
		s.PID = p.session.pid
	}
	if p.failure != nil {
		s.LastError = p.failure.Error()
	}
	now := time.Now()
	for _, c := range p.checks {
		if now.Before(c.aside) {
			s.SetAside++
		}
	}
	return s
}
