// Command ldirectord-check-dns checks name servers: README.md says how.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of dns.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:     "dns",
		Version:  version,
		Summary:  "asks a name server for addresses, or for the names of an address",
		Services: []sdk.Service{{Name: "dns", Port: 53, Network: "udp"}},
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			l := lookup{ctx: ctx, target: t, tr: probe.NewTrace()}
			return l.tr.Finish(l.run(o))
		},
	}
}

func main() { serve.Main(newCheck()) }
