// Old servers sign handshakes with SHA-1 and have certificates with negative serial
// numbers; neither keeps them from serving.
//
//go:debug tlssha1=1
//go:debug x509negativeserial=1

// Command ldirectord-check-imap checks mailbox servers (imap, imaps): README.md says how.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of imap and imaps.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:    "imap",
		Version: version,
		Summary: "greets an IMAP server, and logs in if it is told how",
		Services: []sdk.Service{
			{Name: "imap", Port: 143, Network: "tcp"},
			{Name: "imaps", Port: 993, Network: "tcp"},
		},
		Validate: validate,
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			s := session{ctx: ctx, target: t, o: o, tr: probe.NewTrace()}
			s.target.Network = "tcp"
			s.tr.Secret(quoted(o.Passwd)) // as LOGIN has it
			s.tr.Secret(o.Passwd)
			return s.tr.Finish(s.run())
		},
	}
}

func main() { serve.Main(newCheck()) }
