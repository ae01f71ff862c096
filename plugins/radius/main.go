// Command ldirectord-check-radius checks authentication servers: README.md says how.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of radius.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:     "radius",
		Version:  version,
		Summary:  "has a RADIUS server authenticate a user",
		Services: []sdk.Service{{Name: "radius", Port: 1812, Network: "udp"}},
		Validate: validate,
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			t.Network = "udp" // whatever the section's protocol is
			tr := probe.NewTrace()
			tr.Secret(o.Passwd)
			tr.Secret(o.Secret)
			return tr.Finish(authenticate(ctx, t, o, tr))
		},
	}
}

func main() { serve.Main(newCheck()) }
