// Old servers sign handshakes with SHA-1 and have certificates with negative serial
// numbers; neither keeps them from serving.
//
//go:debug tlssha1=1
//go:debug x509negativeserial=1

// Command ldirectord-check-pgsql checks PostgreSQL servers: README.md says how.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of pgsql.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:     "pgsql",
		Version:  version,
		Summary:  "logs in on a PostgreSQL server and makes a query",
		Services: []sdk.Service{{Name: "pgsql", Port: 5432, Network: "tcp"}},
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
