package builtin

import (
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// flushAfter is how long successes wait for company.
const flushAfter = 5 * time.Millisecond

// outbox gathers results into batches for a reader: a failure leaves at once, with what
// has gathered; successes when the timer fires. Its owner selects on timer.C and on a
// send to ready's channel.
type outbox struct {
	batch []sdk.Result
	now   bool // the batch is to leave
	timer *time.Timer
	set   bool // the timer is
}

func newOutbox() outbox {
	b := outbox{timer: time.NewTimer(time.Hour)}
	b.timer.Stop()
	return b
}

// add puts a verdict into the batch.
func (b *outbox) add(id uint64, v sdk.Verdict) {
	b.batch = append(b.batch, sdk.Result{ID: id, Verdict: v})
	switch {
	case v.Status != sdk.StatusUp:
		b.now = true
	case !b.set:
		b.set = true
		b.timer.Reset(flushAfter)
	}
}

// fired notes that the timer has.
func (b *outbox) fired() { b.set, b.now = false, len(b.batch) > 0 }

// to gives out when the batch is to leave, else nil: a send to it waits for ever.
func (b *outbox) to(out chan<- []sdk.Result) chan<- []sdk.Result {
	if b.now {
		return out
	}
	return nil
}

// sent notes that the reader has the batch.
func (b *outbox) sent() { b.batch, b.now = nil, false }
