// Command ldirectord-check-sip checks servers of the Session Initiation Protocol: README.md says how.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of sip.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:     "sip",
		Version:  version,
		Summary:  "asks a SIP server for its abilities (OPTIONS)",
		Services: []sdk.Service{{Name: "sip", Port: 5060, Network: "udp"}},
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			tr := probe.NewTrace()
			tr.Secret(o.Passwd)
			return tr.Finish(look(ctx, t, o, tr))
		},
	}
}

func main() { serve.Main(newCheck()) }
