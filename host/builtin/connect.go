package builtin

import (
	"context"
	"net"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// Connect is the check of checktype = connect (ldirectord(8), "checktype"): a real server
// whose port accepts a TCP connection is up. It serves every service and has no options:
// those of the service that it stands in for are ignored. The connection is closed at once.
func Connect() sdk.Checker { return connect{} }

type connect struct{}

// Describe names the check. It has no services of its own, since it is a check type.
func (connect) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Name: "connect", Summary: "a TCP connection can be made", IPv6: true}, nil
}

// Validate accepts everything: no option reaches the check.
func (connect) Validate(context.Context, string, sdk.Options) error { return nil }

// Probe connects and closes. No local address is bound, so that the kernel may use one
// local port for many destinations; keep-alives are for those who stay.
func (connect) Probe(ctx context.Context, t sdk.Target, _ sdk.Options) sdk.Verdict {
	if t.Network != "tcp" {
		return sdk.Unknown("connect checks tcp, not %s", t.Network)
	}
	began := time.Now()
	dialer := net.Dialer{KeepAlive: -1}
	// Not DialTCP: given no local address it still binds the empty one.
	conn, err := dialer.DialContext(ctx, "tcp", t.Addr.String())
	took := time.Since(began)
	v := sdk.Up()
	if err != nil {
		v = probe.Judge(err)
	} else {
		conn.Close() // the verdict stands, whatever closing says
	}
	v.Phases = []sdk.Phase{{Name: "connect", Took: took}}
	return v
}
