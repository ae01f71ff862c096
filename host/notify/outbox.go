package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// The bounds of an outbox.
const (
	alertsWaiting = 4000            // more drop the oldest
	alertsSingly  = 20              // that many or fewer go out one by one
	alertsAtOnce  = 500             // more than that go out together, this many at most
	tryLimit      = time.Minute     // of one try
	giveUpAfter   = time.Hour       // of tries
	gatherFor     = time.Second     // before mail goes out: what happens at once should come together
	backoffFirst  = 5 * time.Second // doubles
	backoffMost   = 5 * time.Minute
)

// errFinal marks a failure that another try does not mend.
var errFinal = errors.New("not tried again")

// errPartly marks a failure, for good, that some of the recipients are spared.
var errPartly = errors.New("not delivered to all")

// delivery sends one batch, or tries to. It is called again after an error, and keeps what is done
// already.
type delivery func(context.Context) error

// outbox delivers alerts in their order, off the way of decisions, and tries again what fails. While
// it is behind, alerts gather and go out together.
type outbox struct {
	name     string       // the directive
	log      *slog.Logger // with where it leads
	prepare  func(batch []Alert, lost int) delivery
	together bool          // batches may have more than one alert
	gather   time.Duration // before the first one
	over     context.Context
	hurry    <-chan struct{} // closed when the daemon ends: no more waits
	running  *sync.WaitGroup

	mu      sync.Mutex // guards the rest: Take, the repeats and the drain share it
	waiting []Alert
	lost    int
	busy    bool

	told   string // the last failure that was logged as one; the drain's alone
	missed int    // alerts that nobody got, since one got through; likewise
}

// add queues alerts. It never blocks.
func (o *outbox) add(alerts ...Alert) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, alerts...)
	if over := len(o.waiting) - alertsWaiting; over > 0 {
		o.waiting = o.waiting[over:] // append makes room now and then
		o.lost += over
	}
	if !o.busy && len(o.waiting) > 0 {
		o.busy = true
		o.running.Go(o.drain) // Alerts.Close waits for it
	}
}

// idle tells whether nothing waits.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.busy
}

// next takes what goes out next, and how much was dropped before it; nothing ends the drain. In a stream, all that
// waits goes out together.
func (o *outbox) next(stream bool) ([]Alert, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.waiting), 1)
	if o.together && (stream || len(o.waiting) > alertsSingly) {
		n = min(len(o.waiting), alertsAtOnce)
	}
	batch, lost := o.waiting[:n:n], o.lost
	o.waiting, o.lost = o.waiting[n:], 0
	o.busy = n > 0
	return batch, lost
}

func (o *outbox) drain() {
	for sent := 0; ; sent++ {
		stream := sent >= alertsSingly // they come as fast as they go
		if sent == 0 || stream {
			select {
			case <-time.After(o.gather):
			case <-o.hurry:
			}
		}
		batch, lost := o.next(stream)
		if lost > 0 {
			o.log.Error(o.name+": alerts dropped: too many waited", "alerts", lost)
		}
		if len(batch) == 0 {
			return
		}
		if o.over.Err() != nil {
			o.abandon(len(batch))
			return
		}
		o.missed += lost
		if !o.deliver(batch, o.prepare(batch, o.missed)) {
			o.missed += len(batch)
			continue
		}
		if o.missed > 0 {
			o.log.Warn(o.name+": earlier alerts were not delivered", "alerts", o.missed)
		}
		o.missed = 0
	}
}

// abandon drops what waits when the daemon has no more time, beside taken alerts that do not any more.
func (o *outbox) abandon(taken int) {
	o.mu.Lock()
	n := taken + len(o.waiting)
	o.waiting, o.busy = nil, false
	o.mu.Unlock()
	o.log.Error(o.name+": not delivered: the daemon ends", "alerts", n)
}

// deliver tries until it succeeds, or there is no use in it any more, and says which.
func (o *outbox) deliver(batch []Alert, try delivery) (done bool) {
	begun, wait := time.Now(), backoffFirst
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeout(o.over, tryLimit)
		err := try(ctx)
		cancel()
		log := o.log.Error
		if err != nil && err.Error() == o.told {
			log = o.log.Debug // the operator knows
		}
		switch {
		case err == nil, errors.Is(err, errPartly):
			o.log.Info(o.name+": "+batch[0].named(), "alerts", len(batch))
			o.told = ""
			if err != nil {
				o.told = err.Error()
				log(o.name+": not delivered to all", "reason", err)
			}
			return true
		case errors.Is(err, errFinal), time.Since(begun) >= giveUpAfter, o.over.Err() != nil:
			o.told = err.Error()
			log(o.name+": not delivered", "reason", err, "alert", batch[0].named(), "alerts", len(batch))
			return false
		case attempt == 1 && err.Error() != o.told:
			o.log.Warn(o.name+": could not be delivered; it is tried again", "reason", err, "retry", wait)
		}
		select {
		case <-time.After(wait):
		case <-o.hurry:
			begun = begun.Add(-giveUpAfter) // one more try
		}
		wait = min(2*wait, backoffMost)
	}
}
