package main

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
)

// startMariaDB runs a real server on a port of 127.0.0.1 and ::1.
func startMariaDB(t *testing.T, secure bool) (*servers.Running, netip.AddrPort) {
	t.Helper()
	addr := servers.Addr(t, "127.0.0.1")
	server, err := servers.MariaDB(secure, addr.Port(), addr.Addr(), netip.IPv6Loopback())
	if err != nil {
		t.Fatal(err)
	}
	return server.Start(t), addr
}

// real is one case: options over login = check_native, passwd = sesame, database = shop and request =
// SELECT * FROM alive.
type real struct {
	name string
	o    sdk.Options
	want string // status, code, and text of the reason
}

// probeReal tries a case over IPv4 and IPv6 and gives back how long it took.
func probeReal(t *testing.T, addr netip.AddrPort, c real, limit time.Duration) time.Duration {
	t.Helper()
	o := sdk.Options{"login": "check_native", "passwd": "sesame", "database": "shop", "request": "SELECT * FROM alive"}
	for name, value := range c.o {
		o[name] = value
	}
	var longest time.Duration
	for _, at := range []netip.AddrPort{addr, netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		begun := time.Now()
		v := newCheck().Checker().Probe(ctx, sdk.Target{Addr: at, Network: "tcp"}, o)
		longest = max(longest, time.Since(begun))
		cancel()
		got := v.Status.String() + " " + string(v.Code) + " " + v.Reason
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s %s: got %s, want %s\n%s", c.name, at, got, c.want, v.Transcript)
		}
		if strings.Contains(v.Reason+v.Transcript, "sesame") {
			t.Errorf("%s: the password is in %q %q", c.name, v.Reason, v.Transcript)
		}
	}
	return longest
}

func TestMariaDB(t *testing.T) {
	t.Parallel()
	server, addr := startMariaDB(t, true)
	for _, c := range []real{
		{"healthy", nil, "up  "},
		{"without database", sdk.Options{"database": "", "request": "SELECT 1"}, "up  "},
		{"no password", sdk.Options{"login": "check_none", "passwd": ""}, "up  "},
		{"TLS", sdk.Options{"starttls": "yes"}, "up  "},
		{"TLS is required", sdk.Options{"login": "check_tls"}, "down l7-auth error 1045: "},
		{"TLS is given", sdk.Options{"login": "check_tls", "starttls": "yes"}, "up  "},
		{"TLS verified", sdk.Options{"starttls": "yes", "tls-verify": "yes"}, "down l6-tls "},
		{"statement without a result", sdk.Options{"request": "UPDATE alive SET n = n + 1"}, "up  "},
		{"statement that finds what it would make", sdk.Options{"request": "UPDATE alive SET n = 7"}, "up  "},
		{"the same once more", sdk.Options{"request": "UPDATE alive SET n = 7"}, "up  "},
		{"statement that changes nothing", sdk.Options{"request": "UPDATE empty SET n = 2"}, "down l7-status the query gives no row"},
		{"no row", sdk.Options{"request": "SELECT * FROM empty"}, "down l7-status the query gives no row"},
		{"no table", sdk.Options{"request": "SELECT * FROM nosuch"}, `down l7-status error 1146: "Table 'shop.nosuch' doesn't exist"`},
		{"no database", sdk.Options{"database": "nosuch"}, "down l7-status error 1044: "},
		{"no query", sdk.Options{"request": "HELO"}, "down l7-status error 1064: "},
		{"wrong password", sdk.Options{"passwd": "wrong"}, "down l7-auth error 1045: \"Access denied for user 'check_native'"},
		{"wrong password with TLS", sdk.Options{"passwd": "wrong", "starttls": "yes"}, "down l7-auth error 1045: "},
		{"wrong name", sdk.Options{"login": "nobody"}, "down l7-auth error 1045: "},
		{"locked", sdk.Options{"login": "check_locked"}, "down l7-auth error 4151: "},
		{"one large row", sdk.Options{"request": "SELECT REPEAT('x', 1 << 23)"}, "up  "},
		{"100 MB", sdk.Options{"request": "SELECT seq, REPEAT('x', 1000) FROM seq_1_to_100000"}, "up  "},
		{"100 MB with TLS", sdk.Options{"request": "SELECT seq, REPEAT('x', 1000) FROM seq_1_to_100000", "starttls": "yes"}, "up  "},
		{"two statements", sdk.Options{"request": "SELECT 1; SELECT 2"}, "down l7-status error 1064: "},
	} {
		if took := probeReal(t, addr, c, 10*time.Second); took > 5*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
	}
	slow := real{"slow query", sdk.Options{"request": "SELECT SLEEP(20)"}, "down l7-timeout "}
	if took := probeReal(t, addr, slow, 500*time.Millisecond); took < 400*time.Millisecond || took > 3*time.Second {
		t.Errorf("a slow query took %v", took)
	}
	server.Freeze(t)
	frozen := real{"frozen", nil, "down l7-timeout "}
	if took := probeReal(t, addr, frozen, 500*time.Millisecond); took < 400*time.Millisecond || took > 3*time.Second {
		t.Errorf("a frozen server took %v", took)
	}
	server.Thaw(t)
	probeReal(t, addr, real{"thawed", nil, "up  "}, 10*time.Second)
}

func TestMariaDBWithoutTLS(t *testing.T) {
	t.Parallel()
	_, addr := startMariaDB(t, false)
	probeReal(t, addr, real{"healthy", nil, "up  "}, 10*time.Second)
	probeReal(t, addr, real{"TLS", sdk.Options{"starttls": "yes"}, "down l7-status the server does not offer TLS"}, 10*time.Second)
}
