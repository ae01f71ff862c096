package state

import "github.com/ldirectord/ldirectord/lvs"

// Memory is what outlives the daemon within one boot. The zero value remembers nothing.
// Its lists have the order of the configuration, so that equal memories are equal values.
type Memory struct {
	// Drained names the real servers whose weight 0 an operator set by hand: the first
	// success after a start does not lift it. Every other weight 0 was ours.
	Drained []ServerRef
	// FallbackStarted are the fallbackcommands that were run with "start" and not yet with "stop".
	FallbackStarted []StartedCommand
}

// StartedCommand is the fallbackcommand of one virtual service. It is comparable.
type StartedCommand struct {
	Service lvs.ServiceKey
	Command string // "" stands for the one that is configured
}

// ServerRef names one real server of one virtual service. It is comparable.
type ServerRef struct {
	Service lvs.ServiceKey
	Server  lvs.ServerKey
}

// Memory returns what to remember now: at the end, what is remembered for names that have no
// address yet.
func (s *State) Memory() Memory {
	var m Memory
	for _, v := range s.services {
		if v.started != "" {
			m.FallbackStarted = append(m.FallbackStarted, StartedCommand{v.cfg.Key, v.started})
		}
		for _, r := range v.servers {
			if r.drained() {
				m.Drained = append(m.Drained, ServerRef{v.cfg.Key, r.key})
			}
		}
	}
	m.Drained = append(m.Drained, s.waiting.Drained...)
	m.FallbackStarted = append(m.FallbackStarted, s.waiting.FallbackStarted...)
	return m
}
