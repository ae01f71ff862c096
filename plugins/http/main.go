// Old servers sign handshakes with SHA-1 and have certificates with negative serial
// numbers; neither keeps them from serving.
//
//go:debug tlssha1=1
//go:debug x509negativeserial=1

// Command ldirectord-check-http checks web servers (http, https) and web proxies
// (http_proxy): README.md says how.
//
// It speaks HTTP/1.1 with an engine of its own, since a check meets servers that
// net/http refuses (bare line feeds, HTTP/0.9, contradicting lengths) and runs thousands
// of times a second.
package main

import (
	"context"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of http, https and http_proxy.
func newCheck() sdk.Check[options] {
	return newCheckWithin(probe.NewBudget(probe.BodyBudget))
}

// newCheckWithin is newCheck with all its probes' answers in that budget.
func newCheckWithin(budget *probe.Budget) sdk.Check[options] {
	shared := buffers{budget: budget}
	return sdk.Check[options]{
		Name:    "http",
		Version: version,
		Summary: "asks a web server or proxy for a page: status, and a pattern in the body",
		Services: []sdk.Service{
			{Name: "http", Port: 80, Network: "tcp"},
			{Name: "https", Port: 443, Network: "tcp"},
			{Name: "http_proxy", Port: 3128, Network: "tcp"},
		},
		Validate: validate,
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			return look(ctx, t, &o, &shared)
		},
	}
}

func main() { serve.Main(newCheck()) }
