package memory

import (
	"context"
	"slices"

	"github.com/ldirectord/ldirectord/lvs"
)

// Fail refuses every edit that match is true for with err, until stop is called.
func (c *Controller) Fail(match func(lvs.Edit) bool, err error) (stop func()) {
	return c.add(&fault{match: match, err: err})
}

// FailNth refuses one edit with err: the nth from now on, counted from 1.
func (c *Controller) FailNth(n int, err error) (stop func()) {
	return c.add(&fault{match: func(lvs.Edit) bool { return true }, nth: n, err: err})
}

func (c *Controller) add(f *fault) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.faults = slices.DeleteFunc(c.faults, func(o *fault) bool { return o == f })
	}
}

// Break ends the next Apply with err once it has made its first n edits, like a lost
// connection to the kernel: if n is no less than their number, all are made and err is
// returned all the same.
func (c *Controller) Break(n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = &breakage{after: n, err: err}
}

// Hold lets every call wait until release is called or its context ends. A second Hold before
// the release changes nothing.
func (c *Controller) Hold() (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = make(chan struct{})
	}
	held := c.held
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.held == held {
			close(held)
			c.held = nil
		}
	}
}

// Change lets f edit the table directly, the way another program would. f must not keep it.
func (c *Controller) Change(f func(lvs.Table)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.table)
	c.notify()
}

// Edits returns all edits that Apply was given since New, the refused ones included.
func (c *Controller) Edits() []lvs.Edit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.edits)
}

// Await returns when cond is true for the table, or with the error of ctx when that ends
// first. cond must neither keep nor change the table.
func (c *Controller) Await(ctx context.Context, cond func(lvs.Table) bool) error {
	for {
		c.mu.Lock()
		done, changed := cond(c.table), c.changed
		c.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
