package wire

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// collector gathers verdicts into batches: a message costs as much as several probes, most of it
// for waking up two processes. Bad news leaves at once and takes along what there is. Good news
// waits for the host's next message, which wakes up both processes anyhow: for the first that
// comes after batchAge. Without one it leaves after batchDelay.
// The collector holds at most one verdict per registered check.
type collector struct {
	kick chan struct{} // capacity 1: there is something to send

	mu      sync.Mutex // guards what follows
	pending []*checkv1.Result
	since   time.Time   // of the oldest in pending
	timer   *time.Timer // kicks batchDelay after since; nil: nothing is pending
}

func newCollector() *collector { return &collector{kick: make(chan struct{}, 1)} }

// visit says that the host has sent something.
func (c *collector) visit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) > 0 && time.Since(c.since) >= batchAge {
		c.wake()
	}
}

// finish takes the verdict of one probe. It does not block.
func (c *collector) finish(id uint64, v sdk.Verdict) {
	r := &checkv1.Result{Id: id, Verdict: toVerdict(v)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, r)
	switch {
	case v.Status != sdk.StatusUp:
		c.wake()
	case c.timer == nil:
		c.since = time.Now()
		c.timer = time.AfterFunc(batchDelay, c.wake)
	}
}

func (c *collector) wake() {
	select {
	case c.kick <- struct{}{}:
	default: // it is awake already
	}
}

// run sends batches until ctx ends or send fails.
func (c *collector) run(ctx context.Context, send func(*checkv1.RunResponse) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.kick:
		}
		for all := c.take(); len(all) > 0; {
			n := fitting(all)
			if err := send(&checkv1.RunResponse{Results: all[:n]}); err != nil {
				return err
			}
			all = all[n:]
		}
	}
}

func (c *collector) take() []*checkv1.Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.pending
	c.pending = nil
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	return all
}

// fitting is how many of all fit into one message; at least one.
func fitting[M proto.Message](all []M) int {
	size := 0
	for i, m := range all {
		if size += proto.Size(m) + 16; size > maxBatch && i > 0 {
			return i
		}
	}
	return len(all)
}
