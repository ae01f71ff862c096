package rules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// short is the timeout of probes that are meant to run into it.
const short = 300 * time.Millisecond

func keepsDeadline(ctx context.Context, c sdk.Checker, s Sample) error {
	return s.with(silentOver(s.Service.Network), Localhost(), func(t sdk.Target) error {
		_, err := s.expire(ctx, c, t)
		return err
	})
}

// expire runs a probe that has only a short time.
func (s Sample) expire(ctx context.Context, c sdk.Checker, t sdk.Target) (sdk.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, short)
	defer cancel()
	return endsWithin(short+patience, "its deadline was", short, func() sdk.Verdict { return c.Probe(ctx, t, s.Options) })
}

func blackHoleIsDown(ctx context.Context, c sdk.Checker, s Sample) error {
	return s.with(blackHole(s.Service.Network), Localhost(), func(t sdk.Target) error {
		v, err := s.expire(ctx, c, t)
		if err != nil {
			return err
		}
		return wantDown(v)
	})
}

// keepsCancel looks from the server's side whether a probe ends: over a stream nobody has to
// say so.
func keepsCancel(ctx context.Context, c sdk.Checker, s Sample) error {
	if s.Service.Network != "tcp" {
		return s.with(silentOver(s.Service.Network), Localhost(), func(t sdk.Target) error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			defer time.AfterFunc(short, cancel).Stop()
			_, err := endsWithin(short+patience, "it was cancelled after", short, func() sdk.Verdict { return c.Probe(ctx, t, s.Options) })
			return err
		})
	}
	watch, called, left := watched()
	return s.with(watch, Localhost(), func(t sdk.Target) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		done := make(chan struct{})
		go func() { // waited for below, unless it is broken
			defer close(done)
			c.Probe(ctx, t, s.Options)
		}()
		select {
		case <-called:
		case <-done:
			return nil // it has no use for a server that says nothing
		case <-time.After(5 * time.Second):
			return errors.New("the probe did not connect to its server")
		}
		time.AfterFunc(short/2, cancel) // when the probe knows too that it is connected
		over := time.After(short/2 + patience)
		for range 2 {
			select {
			case <-left:
				left = nil
			case <-done:
				done = nil
			case <-over:
				return fmt.Errorf("the probe was still running %v after it was cancelled", patience)
			}
		}
		return nil
	})
}

// watched is a silent server that says when its first caller came and left.
func watched() (s Server, called, left <-chan struct{}) {
	came, went := make(chan struct{}, 1), make(chan struct{}, 1)
	s = TCP(func(conn net.Conn) {
		nudge(came)
		_, _ = io.Copy(io.Discard, conn) // until it leaves, in whichever way
		nudge(went)
	})
	return s, came, went
}

func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // another caller was first
	}
}

// endsWithin runs probe, and gives up on it when it does not come back.
func endsWithin(limit time.Duration, what string, when time.Duration, probe func() sdk.Verdict) (sdk.Verdict, error) {
	done := make(chan sdk.Verdict, 1)
	go func() { done <- probe() }() // waited for below, unless it is broken
	select {
	case v := <-done:
		return v, nil
	case <-time.After(limit):
		return sdk.Verdict{}, fmt.Errorf("the probe was still running after %v; %s %v", limit, what, when)
	}
}

func refusedIsDown(ctx context.Context, c sdk.Checker, s Sample) error {
	return s.with(ClosedPort(s.Service.Network), Localhost(), func(t sdk.Target) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return wantDown(c.Probe(ctx, t, s.Options))
	})
}

// judgesGarbage tries servers that no specification foresees, all at once.
func judgesGarbage(ctx context.Context, c sdk.Checker, s Sample) error {
	servers := hostile(s.Service.Network)
	errs := make([]error, len(servers))
	var all sync.WaitGroup
	for i, h := range servers {
		all.Go(func() {
			err := s.with(h.server, Localhost(), func(t sdk.Target) error {
				ctx, cancel := context.WithTimeout(ctx, 2*short)
				defer cancel()
				v, err := endsWithin(2*short+patience, "its deadline was", 2*short, func() sdk.Verdict { return c.Probe(ctx, t, s.Options) })
				switch {
				case err != nil:
					return err
				case v.Status == sdk.StatusUnknown:
					return fmt.Errorf("unknown (%s)", v.Reason)
				}
				return Sound(v)
			})
			if err != nil {
				errs[i] = fmt.Errorf("a server that %s: %w", h.does, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// runsAtOnce compares probes that run together with one that runs alone.
func runsAtOnce(ctx context.Context, c sdk.Checker, s Sample) error {
	return s.healthy(Localhost(), func(t sdk.Target, _ func(sdk.Verdict) error) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		alone := c.Probe(ctx, t, s.Options)
		errs := make([]error, crowd)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = alike(c.Probe(ctx, t, s.Options), alone) })
		}
		all.Wait()
		for _, err := range errs {
			if err != nil {
				return fmt.Errorf("%d probes together: %w", crowd, err)
			}
		}
		return nil
	})
}

// alike says how a verdict differs from that of a probe that ran alone.
func alike(v, alone sdk.Verdict) error {
	if v.Status != alone.Status {
		return fmt.Errorf("got %s (%s), and %s from one alone", v.Status, v.Reason, alone.Status)
	}
	return nil
}

func overIPv4(ctx context.Context, c sdk.Checker, s Sample) error {
	return over(ctx, Localhost(), c, s)
}

func overIPv6(ctx context.Context, c sdk.Checker, s Sample) error {
	info, err := c.Describe(ctx)
	if err != nil || !info.IPv6 {
		return err
	}
	return over(ctx, netip.IPv6Loopback(), c, s)
}

func over(ctx context.Context, host netip.Addr, c sdk.Checker, s Sample) error {
	return s.healthy(host, func(t sdk.Target, judge func(sdk.Verdict) error) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return judge(c.Probe(ctx, t, s.Options))
	})
}
