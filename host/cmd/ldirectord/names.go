package main

import (
	"context"
	"crypto/sha256"
	"os"
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
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		why := ""
		if err := d.resolveAgain(ctx); err != nil && ctx.Err() == nil {
			if why = err.Error(); why != told {
				d.log.Error("names that resolved are not taken over", "reason", why)
			}
		}
		told = why
	}
}

// resolveAgain does nothing when the file changed meanwhile: what an operator is writing is
// taken over by a reload alone. The error says why names that have addresses now are still not used: two
// of them may turn out to be the same virtual service.
func (d *director) resolveAgain(ctx context.Context) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	current, last := d.current.Load(), d.loader.Last
	waiting := unresolved(current)
	if waiting == 0 || d.rewritten(current) {
		return nil
	}
	cfg, err := load(ctx, d.loader, d.path)
	if err != nil || cfg.Digest != current.Digest || unresolved(cfg) >= waiting {
		d.loader.Last = last // of what is in use
		return err
	}
	if err := d.takeOver(ctx, cfg); err != nil {
		d.loader.Last = last
		return err
	}
	d.log.Info("Names resolved", "waiting", unresolved(cfg))
	d.took(cfg)
	return nil
}

// rewritten tells whether the file has other content than current.
func (d *director) rewritten(current *config.Config) bool {
	text, err := os.ReadFile(d.path)
	return err != nil || sha256.Sum256(text) != current.Digest
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
