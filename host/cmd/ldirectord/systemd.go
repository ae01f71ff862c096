package main

import (
	"fmt"

	"github.com/ldirectord/ldirectord/host/state"
)

// summary is the status line that systemd shows.
func (d *director) summary() string {
	services := d.engine.Snapshot().Services
	up, servers := 0, 0
	for _, v := range services {
		servers += len(v.Servers)
		for i := range v.Servers {
			if v.Servers[i].Status == state.Up && !v.Servers[i].Unresolved {
				up++
			}
		}
	}
	text := fmt.Sprintf("%d virtual services, %d of %d real servers up", len(services), up, servers)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reloadError != "" {
		text += "; the last reload changed nothing: " + d.reloadError
	}
	return text
}
