// Command ldirectord-check-nntp checks news servers: README.md says how.
package main

import (
	"context"
	"regexp"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// options of the check: there are none.
type options struct{}

// newCheck is the check of nntp.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:     "nntp",
		Version:  version,
		Summary:  "looks at the greeting of a news server",
		Services: []sdk.Service{{Name: "nntp", Port: 119, Network: "tcp"}},
		Probe: func(ctx context.Context, t sdk.Target, _ options) sdk.Verdict {
			tr := probe.NewTrace()
			if err := greet(ctx, t, tr); err != nil {
				return tr.Finish(probe.Judge(err))
			}
			return tr.Finish(sdk.Up())
		},
	}
}

// status is the beginning of an answer (RFC 3977, 3.2).
var status = regexp.MustCompile(`^[1-5][0-9][0-9]( |$)`)

// greet reads the greeting and takes leave. Only 200 and 201 let a client read (RFC 3977, 5.1).
func greet(ctx context.Context, t sdk.Target, tr *probe.Trace) error {
	t.Network = "tcp"
	conn, err := probe.Dial(ctx, t, tr)
	if err != nil {
		return err
	}
	talk := probe.NewTalk(conn, tr)
	defer talk.Close()
	line, err := talk.Line()
	switch {
	case err != nil:
		return err
	case !status.MatchString(line):
		return probe.Failed(sdk.CodeProtocol, "no greeting in the NNTP protocol: \"%s\"", probe.Brief(line))
	case line[:3] != "200" && line[:3] != "201":
		return probe.Failed(sdk.CodeStatus, "greeting \"%s\"", probe.Brief(line))
	}
	tr.Phase("greeting")
	talk.Bye("QUIT")
	return nil
}

func main() { serve.Main(newCheck()) }
