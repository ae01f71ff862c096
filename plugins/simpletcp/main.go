// Command ldirectord-check-simpletcp checks servers by a text to send and a pattern to find in
// what comes back: README.md says how.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of simpletcp.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:     "simpletcp",
		Version:  version,
		Summary:  "sends a text over tcp, and looks for a pattern in the lines that come back",
		Services: []sdk.Service{{Name: "simpletcp", Network: "tcp"}},
		Validate: validate,
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			tr := probe.NewTrace()
			return tr.Finish(look(ctx, t, o, tr))
		},
	}
}

func main() { serve.Main(newCheck()) }
