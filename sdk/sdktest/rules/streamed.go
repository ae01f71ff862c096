package rules

import (
	"context"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/internal/wire"
)

// Runner opens the stream that registered checks run over: sdk/client.Client is one.
type Runner interface {
	sdk.Checker
	Run(ctx context.Context) (*wire.Stream, error)
}

// Streamed is a Checker whose probes are registered, started and forgotten over a stream of
// their own, as the director does it.
func Streamed(r Runner) sdk.Checker { return &streamed{Runner: r} }

type streamed struct {
	Runner
	mu   sync.Mutex // guards last
	last uint64
}

// Probe implements sdk.Checker.
func (s *streamed) Probe(ctx context.Context, t sdk.Target, o sdk.Options) sdk.Verdict {
	// The stream outlives the probe's time: what comes too late is to be seen as that.
	stream, err := s.Run(context.WithoutCancel(ctx))
	if err != nil {
		return sdk.Unknown("%v", err)
	}
	defer stream.Close()
	s.mu.Lock()
	s.last++
	id := s.last
	s.mu.Unlock()
	remaining := time.Minute
	if at, ok := ctx.Deadline(); ok {
		remaining = time.Until(at)
	}
	stream.Register(id, t, o)
	stream.Start([]sdk.Due{{ID: id, Remaining: remaining}})
	late := time.After(remaining + 2*patience)
	cancelled := ctx.Done()
	for {
		select {
		case batch, ok := <-stream.Results():
			if !ok || len(batch) != 1 || batch[0].ID != id {
				return sdk.Unknown("the stream gave %+v (%v)", batch, stream.Err())
			}
			return batch[0].Verdict
		case <-cancelled:
			cancelled = nil
			if ctx.Err() == context.Canceled {
				stream.Forget(id)
				late = time.After(patience / 2) // its verdict need not come
			}
		case <-late:
			return sdk.Unknown("no verdict over the stream")
		}
	}
}
