// Command ldirectord-check-ftp checks file servers: README.md says how.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of ftp.
func newCheck() sdk.Check[options] {
	budget := probe.NewBudget(probe.BodyBudget)
	return sdk.Check[options]{
		Name:     "ftp",
		Version:  version,
		Summary:  "logs in to an FTP server, and fetches a file if it is told which",
		Services: []sdk.Service{{Name: "ftp", Port: 21, Network: "tcp"}},
		Validate: validate,
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			s := session{ctx: ctx, target: t, o: o.filled(), tr: probe.NewTrace(), share: budget.Share()}
			defer s.share.Release()
			s.target.Network = "tcp"
			s.tr.Secret(o.Passwd)
			return s.tr.Finish(s.run())
		},
	}
}

func main() { serve.Main(newCheck()) }
