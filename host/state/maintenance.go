package state

import (
	"net/netip"
	"time"
)

// Maintenance says which real servers are in maintenance, and why: the value is one line,
// such as the name of the file in maintenancedir (ldirectord(8), "maintenancedir"). The zero
// value is nobody. It is not changed once given to a State.
type Maintenance map[Place]string

// Place is an address, or one port of it.
type Place struct {
	Addr    netip.Addr
	Port    uint16 // the configured port of the real server, or the one in the table
	AnyPort bool   // the address as a whole; Port is 0
}

// reason says why r is in maintenance, "" when it is not.
func (m Maintenance) reason(r *server) string {
	if len(m) == 0 {
		return ""
	}
	for _, line := range r.lines {
		for _, p := range []Place{
			{Addr: line.Addr.Addr(), Port: line.Addr.Port()},
			{Addr: r.key.Addr(), Port: r.key.Port()},
			{Addr: r.key.Addr(), AnyPort: true},
		} {
			if why := m[p]; why != "" {
				return why
			}
		}
	}
	return ""
}

// SetMaintenance takes the real servers of m down at once, whatever their checktype and
// failurecount, and lets those go that are no longer in it: one whose last verdict was a
// success, or that needs no check, comes back at once, others with their next success.
func (s *State) SetMaintenance(m Maintenance, at time.Time) []Transition {
	s.maintenance = m
	var ts []Transition
	for _, v := range s.services {
		c := cause{at: at}
		for _, r := range v.servers {
			why := m.reason(r)
			if why == r.maintenance {
				continue
			}
			c.reason = "maintenance: " + why
			if why == "" {
				c.reason = "end of maintenance: " + r.maintenance
			}
			ts = append(ts, v.shift(r, c, func() { r.maintain(why) })...)
		}
		if c.reason != "" {
			ts = append(ts, v.balance(c)...)
		}
	}
	return ts
}

// maintain sets or ends the maintenance. A failure seen during it counts in full: the
// server stays down until it succeeds.
func (r *server) maintain(why string) {
	if why == "" {
		for _, w := range r.watches {
			if w.failures > 0 {
				w.health = Down
			}
		}
		r.judge()
	}
	r.maintenance = why
}
