// Old servers sign handshakes with SHA-1 and have certificates with negative serial
// numbers; neither keeps them from serving.
//
//go:debug tlssha1=1
//go:debug x509negativeserial=1

// Command ldirectord-check-smtp checks mail servers (smtp, submission): README.md says how.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of smtp and submission.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:    "smtp",
		Version: version,
		Summary: "greets a mail server: greeting, EHLO or HELO, and STARTTLS if asked to",
		Services: []sdk.Service{
			{Name: "smtp", Port: 25, Network: "tcp"},
			{Name: "submission", Port: 587, Network: "tcp"},
		},
		Validate: validate,
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			s := session{ctx: ctx, target: t, o: o, tr: probe.NewTrace()}
			return s.tr.Finish(s.run())
		},
	}
}

func main() { serve.Main(newCheck()) }
