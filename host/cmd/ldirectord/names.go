package main

import (
	"context"
	"time"

	"github.com/ldirectord/ldirectord/config"
)

// nameInterval is how often names that never had an address are looked up again.
const nameInterval = 30 * time.Second

// watchNames looks names up again until each has an address, and has the engine take over
// what waited for it. It ends with ctx.
func (d *director) watchNames(ctx context.Context) {
	tick := time.NewTicker(nameInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.resolveAgain(ctx)
		}
	}
}

// resolveAgain does nothing when the file changed meanwhile: what an operator is writing is
// taken over by a reload alone.
func (d *director) resolveAgain(ctx context.Context) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	current := d.current.Load()
	waiting := unresolved(current)
	if waiting == 0 {
		return
	}
	cfg, err := load(ctx, d.loader, d.path)
	if err != nil || cfg.Digest != current.Digest || unresolved(cfg) >= waiting {
		return
	}
	if err := d.takeOver(ctx, cfg); err != nil {
		d.log.Error("names that resolved are not taken over", "reason", err)
		return
	}
	d.log.Info("Names resolved", "waiting", unresolved(cfg))
	d.took(cfg)
}

// unresolved counts what waits for a name's address.
func unresolved(cfg *config.Config) int {
	n := 0
	for i := range cfg.Services {
		s := &cfg.Services[i]
		if s.Unresolved {
			n++
		}
		if s.Fallback != nil && s.Fallback.Unresolved {
			n++
		}
		for j := range s.Servers {
			if s.Servers[j].Unresolved {
				n++
			}
		}
	}
	return n
}
