package builtin

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// codeNoReply says that no echo came back.
const codeNoReply sdk.Code = "l3-timeout"

// pingsAtOnce bounds the probes that wait for an echo: they cost next to nothing, and a whole
// rack that is switched off must not hold back the others.
const pingsAtOnce = 16384

// Pinger runs ping checks (ldirectord(8), "checktype") over one socket for each address family, which
// the first check of the family opens. Methods may be called concurrently.
type Pinger struct {
	*Pool
	sockets [2]*echoSocket // IPv4, IPv6
}

// pingOptions are those of the check.
type pingOptions struct {
	Tries int `option:"checkcount" default:"1" help:"echo requests before the server is down, each given an equal part of the time"`
}

// NewPinger makes a Pinger. Close ends it and closes its sockets.
func NewPinger() *Pinger {
	p := &Pinger{sockets: [2]*echoSocket{newEchoSocket(icmp4()), newEchoSocket(icmp6())}}
	p.Pool = Runner(p.Checker(), Options{Max: pingsAtOnce})
	return p
}

// Close ends every probe, as Pool.Close does, and closes the sockets.
func (p *Pinger) Close(ctx context.Context) error {
	err := p.Pool.Close(ctx)
	for _, s := range p.sockets {
		err = errors.Join(err, s.close())
	}
	return err
}

// Checker is the check itself: a server that answers an ICMP echo request (RFC 792, RFC 4443) is up.
// The port does not matter.
func (p *Pinger) Checker() sdk.Checker {
	return sdk.Check[pingOptions]{
		Name: "ping", Summary: "the server answers an ICMP echo request",
		Probe: p.probe,
		Validate: func(_ string, o pingOptions) error {
			if o.Tries < 1 {
				return &sdk.OptionError{Option: "checkcount", Want: "at least 1"}
			}
			return nil
		},
	}.Checker()
}

// probe sends its echo requests one after the other, each when the one before was given its
// time, and takes the answer to any of them.
func (p *Pinger) probe(ctx context.Context, t sdk.Target, o pingOptions) sdk.Verdict {
	addr := t.Addr.Addr().Unmap()
	s := p.sockets[0]
	if addr.Is6() {
		s = p.sockets[1]
	}
	if err := s.open(); err != nil {
		return sdk.Unknown("%v", err)
	}
	began := time.Now()
	end, bounded := ctx.Deadline()
	if !bounded {
		return sdk.Unknown("a ping without a deadline")
	}
	w := s.wait(addr)
	defer s.done(w)
	share := end.Sub(began) / time.Duration(o.Tries)
	turn := time.NewTimer(share)
	defer turn.Stop()
	for range o.Tries {
		s.send(w)
		turn.Reset(share)
		select {
		case <-w.answered:
			v := sdk.Up()
			v.Phases = []sdk.Phase{{Name: "echo", Took: time.Since(began)}}
			return v
		case <-turn.C:
		case <-ctx.Done():
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return probe.Judge(ctx.Err())
		}
	}
	v := w.silence()
	v.Phases = []sdk.Phase{{Name: "echo", Took: time.Since(began)}}
	return v
}

// silence is the verdict about a server that did not answer. What this machine could not even
// send says nothing about it.
func (w *echoWait) silence() sdk.Verdict {
	switch sent, refusal := w.result(); {
	case refusal != "":
		return sdk.DownWith(sdk.CodeUnreachable, "%s", refusal)
	case sent == 0:
		failure := w.failure
		if errno, ok := errors.AsType[syscall.Errno](failure); ok {
			failure = errno // without the addresses of a socket that has none
		}
		return probe.Judge(fmt.Errorf("send an echo request: %w", failure))
	case sent == 1:
		return sdk.DownWith(codeNoReply, "no answer to an echo request")
	default:
		return sdk.DownWith(codeNoReply, "no answer to %d echo requests", sent)
	}
}
