package bad

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

type probe = func(context.Context, sdk.Target, options) sdk.Verdict

// doubtful takes a closed port for a riddle.
func doubtful(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	c, err := t.Dial(ctx)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return sdk.Unknown("who knows")
	}
	if err != nil {
		return sdk.DownWith(sdk.CodeRefused, "%v", err)
	}
	defer c.Close()
	return listen(ctx, c, o)
}

// patient takes a connection that does not come about for a fault of its own.
func patient(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	c, err := t.Dial(ctx)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return sdk.Unknown("no route")
	case err != nil:
		return sdk.DownWith(sdk.CodeRefused, "%v", err)
	}
	defer c.Close()
	return listen(ctx, c, o)
}

// deaf does not look at its deadline once it is connected.
func deaf(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})()
	return connected(ctx, own, t, o)
}

// stubborn looks at nothing but its deadline once it is connected.
func stubborn(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	at, _ := ctx.Deadline()
	own, cancel := context.WithDeadline(context.WithoutCancel(ctx), at)
	defer cancel()
	return connected(ctx, own, t, o)
}

// connected dials within one context and listens within another.
func connected(dial, read context.Context, t sdk.Target, o options) sdk.Verdict {
	c, err := t.Dial(dial)
	if err != nil {
		return sdk.DownWith(sdk.CodeRefused, "%v", err)
	}
	defer c.Close()
	return listen(read, c, o)
}

// fragile trusts its server to talk sense.
func fragile(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	v := greet(ctx, t, o)
	if v.Code == sdk.CodeMatch {
		panic("index out of range")
	}
	return v
}

// lonely can talk to few servers at a time.
func lonely() probe {
	var talking atomic.Int64
	return func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
		v := greet(ctx, t, o)
		if v.Status != sdk.StatusUp {
			return v
		}
		defer talking.Add(-1)
		if talking.Add(1) > 8 {
			return sdk.Unknown("too many at once")
		}
		time.Sleep(200 * time.Millisecond)
		return v
	}
}

// modern cannot do IPv4.
func modern(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	v := greet(ctx, t, o)
	if v.Status == sdk.StatusUp && t.Addr.Addr().Is4() {
		return sdk.Unknown("what is this?")
	}
	return v
}

// oldFashioned says that it can do IPv6, and cannot.
func oldFashioned(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	if t.Addr.Addr().Is6() {
		return sdk.Unknown("what is this?")
	}
	return greet(ctx, t, o)
}

// talkative tells everybody what it logs in with.
func talkative(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	v := greet(ctx, t, o)
	v.Transcript = "PASS " + o.Passwd
	return v
}

// tired does not come back from the second look at a server that had little time.
func tired() probe {
	var seen sync.Map
	return func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
		at, _ := ctx.Deadline()
		_, again := seen.LoadOrStore(t, true)
		if again && time.Until(at) < 400*time.Millisecond {
			time.Sleep(20 * time.Second)
		}
		return greet(ctx, t, o)
	}
}

// clinging is offended when a probe of its is cancelled.
func clinging() probe {
	var offended atomic.Bool
	return func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
		if offended.Load() {
			return sdk.Unknown("leave me alone")
		}
		v := greet(ctx, t, o)
		if errors.Is(ctx.Err(), context.Canceled) {
			offended.Store(true)
		}
		return v
	}
}

// crowded has room for a few hundred probes.
func crowded() probe {
	var inside atomic.Int64
	return func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
		defer inside.Add(-1)
		if inside.Add(1) > 200 {
			return sdk.Unknown("no room")
		}
		v := greet(ctx, t, o)
		if v.Code == sdk.CodeRefused {
			time.Sleep(100 * time.Millisecond)
		}
		return v
	}
}
