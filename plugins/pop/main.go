// Old servers sign handshakes with SHA-1 and have certificates with negative serial
// numbers; neither keeps them from serving.
//
//go:debug tlssha1=1
//go:debug x509negativeserial=1

// Command ldirectord-check-pop checks mailbox servers (pop, pops): README.md says how.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of pop and pops.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:    "pop",
		Version: version,
		Summary: "greets a POP3 server, and logs in if it is told how",
		Services: []sdk.Service{
			{Name: "pop", Port: 110, Network: "tcp"},
			{Name: "pops", Port: 995, Network: "tcp"},
		},
		Validate: validate,
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			s := session{ctx: ctx, target: t, o: o, tr: probe.NewTrace()}
			s.target.Network = "tcp"
			s.tr.Secret(o.Passwd)
			return s.tr.Finish(s.run())
		},
	}
}

func main() { serve.Main(newCheck()) }
