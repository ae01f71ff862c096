package ipvs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
)

// Options say where the table is. The zero value is the network namespace of the process.
type Options struct {
	// NetNS is the path of a network namespace, such as "/run/netns/blue"; "" is that of the
	// process. Entering one takes CAP_SYS_ADMIN.
	NetNS string
	// Timeout bounds every call, besides the call's own context; 0 is 60 seconds.
	Timeout time.Duration
}

// defaultTimeout lets the slowest machine program tens of thousands of real servers.
const defaultTimeout = time.Minute

// fewEdits is how many edits go one by one through moby/ipvs.
const fewEdits = 16

// Controller is the kernel's table. Make one with Open. It is safe for concurrent use;
// calls wait for one another.
type Controller struct {
	timeout time.Duration
	few     int                         // plans of up to so many edits go one by one
	dial    func() (link, error)        // opens a socket
	connect func(link) (*handle, error) // makes it usable

	turn   chan struct{} // holds a value while a call runs; who put it owns the fields below
	handle *handle       // nil: to be opened
	closed bool
}

// Open returns the kernel's table, and loads the module ip_vs if it has to. The error wraps ErrNoIPVS
// or ErrNotPermitted when these are the cause.
func Open(o Options) (*Controller, error) {
	c := &Controller{
		timeout: o.Timeout,
		few:     fewEdits,
		dial:    func() (link, error) { return openSocket(o.NetNS) },
		turn:    make(chan struct{}, 1),
	}
	var family uint16 // that moby/ipvs knows: it asks once in its life
	c.connect = func(l link) (*handle, error) {
		h, err := connect(l)
		if err != nil || family != 0 && h.wire.family != family {
			return h, err // ip_vs was unloaded and loaded again: do without the library
		}
		family = h.wire.family
		if h.library, err = openMoby(o.NetNS); err != nil {
			return nil, fmt.Errorf("open a second netlink socket: %w", err)
		}
		return h, nil
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	ready := func(context.Context, *handle) error { return nil }
	err := c.do(context.Background(), "open the IPVS table", ready)
	if errors.Is(err, ErrNoIPVS) {
		ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
		defer cancel()
		said := loadModule(ctx)
		if err = c.do(ctx, "open the IPVS table", ready); err != nil && said != "" {
			err = fmt.Errorf("%w (modprobe: %s)", err, said)
		}
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close closes the sockets once the call that uses them has ended; the error is that it did not end
// within the timeout. Later calls fail. The table stays as it is.
func (c *Controller) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("close the IPVS table: the kernel has not answered an earlier call: %w", ctx.Err())
	}
	defer func() { <-c.turn }()
	if c.handle != nil {
		c.handle.close()
		c.handle = nil
	}
	c.closed = true
	return nil
}

// Table reads the whole table, virtual services of a protocol other than tcp and udp
// left out.
func (c *Controller) Table(ctx context.Context) (lvs.Table, error) {
	all, err := c.read(ctx)
	return all.table, err
}

// Counters reads what the kernel counts for each real server, of the same entries as Table.
func (c *Controller) Counters(ctx context.Context) (map[lvs.ServiceKey]map[lvs.ServerKey]lvs.Counters, error) {
	all, err := c.read(ctx)
	return all.counters, err
}

func (c *Controller) read(ctx context.Context) (content, error) {
	// Through a channel: a call that was given up may still write its result.
	result := make(chan content, 1)
	err := c.do(ctx, "read the IPVS table", func(ctx context.Context, h *handle) error {
		all, err := h.read(ctx)
		result <- all
		return err
	})
	if err != nil {
		return content{}, err
	}
	return <-result, nil
}

// Apply makes the edits, see lvs.Controller. The causes of refusals are those of lvs
// where it has one, with the kernel's error number wrapped beside them.
func (c *Controller) Apply(ctx context.Context, edits []lvs.Edit) error {
	results := make([]error, len(edits))
	err := c.do(ctx, "edit the IPVS table", func(ctx context.Context, h *handle) error {
		if len(edits) > c.few {
			return h.pipeline(ctx, edits, results)
		}
		return h.oneByOne(ctx, edits, results)
	})
	if err != nil {
		return err
	}
	var failed []lvs.EditError
	for i, err := range results {
		if err != nil {
			failed = append(failed, lvs.EditError{Index: i, Edit: edits[i], Err: err})
		}
	}
	if failed != nil {
		return &lvs.ApplyError{Failed: failed}
	}
	return nil
}

// do runs f when it is its turn, and gives it up when ctx ends or the timeout has passed. f
// then ends at its next step, and only then is it the next call's turn.
func (c *Controller) do(ctx context.Context, what string, f func(context.Context, *handle) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%s: the kernel has not answered an earlier call: %w", what, ctx.Err())
	}
	k, done := &call{}, make(chan error, 1)
	go func() { // waited for by whoever takes the next turn
		defer func() { <-c.turn }()
		done <- c.run(ctx, k, f)
	}()
	select {
	case err := <-done:
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
		return err
	case <-ctx.Done():
		k.interrupt()
		return fmt.Errorf("%s: no answer from the kernel: %w", what, ctx.Err())
	}
}

// run is the body of a call: it opens what is not open, and closes after any error.
func (c *Controller) run(ctx context.Context, k *call, f func(context.Context, *handle) error) error {
	if c.closed {
		return errClosed
	}
	if c.handle == nil {
		l, err := c.dial()
		if err != nil {
			return err
		}
		k.use(l.interrupt)
		if c.handle, err = c.connect(l); err != nil {
			c.handle = nil
			l.close()
			return err
		}
	}
	k.use(c.handle.interrupt)
	err := f(ctx, c.handle)
	if k.end() || err != nil {
		c.handle.close()
		c.handle = nil
	}
	return err
}

// call is one turn, as far as the goroutine that gives it up must know of it.
type call struct {
	mu          sync.Mutex // guards the fields below
	wake        func()     // ends what the call waits for; nil: nothing yet, or nothing any more
	interrupted bool
}

// use says how the call can be woken from now on.
func (k *call) use(wake func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wake = wake
	if k.interrupted {
		wake()
	}
}

// interrupt wakes the call if it has not ended.
func (k *call) interrupt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.interrupted = true
	if k.wake != nil {
		k.wake()
	}
}

// end says that the call needs no waking any more, and tells whether it was woken.
func (k *call) end() (interrupted bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wake = nil
	return k.interrupted
}
