package engine

import (
	"context"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
)

// applier owns the Controller: it does one job after the other, each within a deadline.
type applier struct {
	controller lvs.Controller
	timeout    time.Duration
	jobs       chan []lvs.Edit // nil: read the table
	outcomes   chan outcome    // one for each job; never blocks, since there is one job at a time
}

// outcome is what became of a job.
type outcome struct {
	table lvs.Table // of a read
	err   error
}

func newApplier(c lvs.Controller, timeout time.Duration) *applier {
	return &applier{controller: c, timeout: timeout, jobs: make(chan []lvs.Edit, 1), outcomes: make(chan outcome, 1)}
}

// run works until jobs is closed.
func (a *applier) run() {
	for edits := range a.jobs {
		a.outcomes <- a.work(edits)
	}
}

func (a *applier) work(edits []lvs.Edit) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), a.timeout)
	defer cancel()
	if edits == nil {
		table, err := a.controller.Table(ctx)
		return outcome{table: table, err: err}
	}
	return outcome{err: a.controller.Apply(ctx, edits)}
}
