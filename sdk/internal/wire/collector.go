package wire

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// collector gathers verdicts into batches: a message per probe would cost more than the
// probe. Bad news, and the last verdict in flight, leave at once; the rest within batchDelay.
// It holds at most one verdict per registered check.
type collector struct {
	kick chan struct{} // capacity 1: there is something to send

	mu      sync.Mutex // guards what follows
	pending []*checkv1.Result
	flying  int  // probes started and not finished
	armed   bool // a timer will kick
}

func newCollector() *collector { return &collector{kick: make(chan struct{}, 1)} }

// started counts probes that finish will be called for.
func (c *collector) started(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying += n
}

// finish takes the verdict of one probe. It does not block.
func (c *collector) finish(id uint64, v sdk.Verdict) {
	r := &checkv1.Result{Id: id, Verdict: toVerdict(v)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, r)
	c.flying--
	switch {
	case v.Status != sdk.StatusUp || c.flying == 0:
		c.wake()
	case !c.armed:
		c.armed = true
		time.AfterFunc(batchDelay, c.wake)
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
	c.pending, c.armed = nil, false
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
