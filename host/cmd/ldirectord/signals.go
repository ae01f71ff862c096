package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// signals are what the daemon is told by signals.
type signals struct {
	ctx    context.Context // ended by TERM, INT and QUIT; its cause names the signal
	reload chan struct{}   // HUP; several may become one
	stop   func()
}

// watchSignals begins to listen. PIPE is taken and ignored: a reader of our standard output
// that goes away, such as a log service that restarts, must not end the director. (Ignoring the
// signal itself would be inherited by the commands that we run.)
func watchSignals() *signals {
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &signals{ctx: ctx, reload: make(chan struct{}, 1)}
	in := make(chan os.Signal, 8)
	signal.Notify(in, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	done := make(chan struct{})
	go func() { // ends with stop
		for {
			select {
			case got := <-in:
				s.take(got, cancel)
			case <-done:
				return
			}
		}
	}()
	s.stop = func() {
		close(done)
		cancel(nil)
	}
	return s
}

func (s *signals) take(got os.Signal, cancel context.CancelCauseFunc) {
	if got != syscall.SIGHUP {
		cancel(errors.New(got.String()))
		return
	}
	select {
	case s.reload <- struct{}{}:
	default: // one is waiting already
	}
}

// stopped returns an error when a signal has ended ctx.
func stopped(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return errors.New("stopped before it was ready: " + context.Cause(ctx).Error())
}
