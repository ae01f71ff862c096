// Package monitor runs checks: each distinct one on its own schedule, one probe in
// flight per check, what is due started in batches once per tick.
package monitor

import (
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// Runner runs the probes of one kind of check: a plugin process behind its stream, or a
// bounded pool around an sdk.Checker inside the daemon. Register and Start never block on
// a probe. IDs are the monitor's and never used twice in a Runner's life.
type Runner interface {
	// Register makes a check known. Options are not changed afterwards.
	Register(id uint64, t sdk.Target, o sdk.Options)
	// Forget drops a check; a probe in flight is cancelled and its result may or may not come.
	Forget(id uint64)
	// Start starts one probe of each; every started probe yields exactly one Result
	// (Unknown when the runner fails), at the latest one second after Remaining.
	Start(due []sdk.Due)
	// Results delivers verdicts in batches. It is closed when the Runner has been shut down.
	Results() <-chan []sdk.Result
}

// Tick is how often what is due is started: often enough for the eye, seldom enough
// that starting costs little.
const Tick = 10 * time.Millisecond
