// Package memory is an lvs.Controller over a table in memory. The daemon runs on it
// with --dry-run; tests run on it and make it fail, hang or change by itself.
package memory

import (
	"context"
	"slices"
	"sync"

	"github.com/ldirectord/ldirectord/lvs"
)

// schedulers are those of the Linux kernel (net/netfilter/ipvs/Kconfig), and "none".
var schedulers = []string{
	"rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "twos", "none",
}

// Controller is a table in memory with the kernel's rules. Make one with New. It is safe for
// concurrent use.
type Controller struct {
	mu      sync.Mutex // guards all fields below
	table   lvs.Table
	edits   []lvs.Edit
	faults  []*fault
	broken  *breakage
	held    chan struct{} // nil, or closed when calls may go on
	changed chan struct{} // closed and replaced at each change of table or edits
}

// fault refuses the edits it matches, the nth time (0: every time).
type fault struct {
	match func(lvs.Edit) bool
	nth   int
	err   error
}

// breakage ends one Apply in the middle.
type breakage struct {
	after int
	err   error
}

// New returns a Controller with an empty table.
func New() *Controller {
	return &Controller{table: lvs.Table{}, changed: make(chan struct{})}
}

// Table returns a copy of the table. The only error is that of ctx.
func (c *Controller) Table(ctx context.Context) (lvs.Table, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer c.mu.Unlock()
	return c.table.Normal(), nil
}

// Apply makes the edits, see lvs.Controller.
func (c *Controller) Apply(ctx context.Context, edits []lvs.Edit) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.mu.Unlock()
	defer c.notify()
	var failed []lvs.EditError
	for i, e := range edits {
		if b := c.broken; b != nil && b.after == i {
			c.broken = nil
			return b.err
		}
		c.edits = append(c.edits, e)
		if err := c.apply(e); err != nil {
			failed = append(failed, lvs.EditError{Index: i, Edit: e, Err: err})
		}
	}
	if b := c.broken; b != nil {
		c.broken = nil
		return b.err
	}
	if failed != nil {
		return &lvs.ApplyError{Failed: failed}
	}
	return nil
}

// enter waits until calls may go on and locks c.mu, unless ctx ends first.
func (c *Controller) enter(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.mu.Lock()
		held := c.held
		if held == nil {
			return nil
		}
		c.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
}

// apply makes one edit, unless a fault or the kernel's rules refuse it. c.mu is held.
func (c *Controller) apply(e lvs.Edit) error {
	for _, f := range c.faults {
		if !f.match(e) {
			continue
		}
		if f.nth == 0 {
			return f.err
		}
		if f.nth--; f.nth == 0 {
			f.match = func(lvs.Edit) bool { return false }
			return f.err
		}
	}
	if e.Op == lvs.EnsureService && !slices.Contains(schedulers, e.Service.Scheduler) {
		return &lvs.UnknownSchedulerError{Name: e.Service.Scheduler}
	}
	return c.table.Apply(e)
}

// notify wakes those who Await. c.mu is held.
func (c *Controller) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}
