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

// startPostgres runs a real server on a port of 127.0.0.1 and ::1.
func startPostgres(t *testing.T, secure bool) (*servers.Running, netip.AddrPort) {
	t.Helper()
	addr := servers.Addr(t, "127.0.0.1")
	server, err := servers.Postgres(secure, addr.Port(), addr.Addr(), netip.IPv6Loopback())
	if err != nil {
		t.Fatal(err)
	}
	running := server.Start(t)
	awaitReady(t, addr)
	return running, addr
}

// awaitReady returns when the server, which listens before, lets logins in.
func awaitReady(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	o := sdk.Options{"login": "check_none", "database": "shop", "request": "SELECT 1"}
	for {
		v := newCheck().Checker().Probe(ctx, sdk.Target{Addr: addr, Network: "tcp"}, o)
		if !strings.Contains(v.Reason, "57P03") { // cannot_connect_now
			return
		}
		<-tick.C
	}
}

// real is one case: options over login = check_scram, passwd = sesame, database = shop and request =
// SELECT * FROM alive.
type real struct {
	name string
	o    sdk.Options
	want string // status, code, and text of the reason
}

// probeReal tries a case over IPv4 and IPv6 and gives back how long it took.
func probeReal(t *testing.T, addr netip.AddrPort, c real, limit time.Duration) time.Duration {
	t.Helper()
	o := sdk.Options{"login": "check_scram", "passwd": "sesame", "database": "shop", "request": "SELECT * FROM alive"}
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

func TestPostgres(t *testing.T) {
	t.Parallel()
	server, addr := startPostgres(t, true)
	large := "SELECT n, repeat('x', 1000) FROM generate_series(1, 100000) AS n"
	for _, c := range []real{
		{"healthy", nil, "up  "},
		{"without TLS", sdk.Options{"starttls": "no"}, "up  "},
		{"TLS", sdk.Options{"starttls": "yes"}, "up  "},
		{"TLS verified", sdk.Options{"starttls": "yes", "tls-verify": "yes"}, "down l6-tls "},
		{"md5", sdk.Options{"login": "check_md5"}, "up  "},
		{"clear text", sdk.Options{"login": "check_plain", "starttls": "no"}, "up  "},
		{"no password", sdk.Options{"login": "check_none", "passwd": ""}, "up  "},
		{"TLS is required, and preferred", sdk.Options{"login": "check_tls"}, "up  "},
		{"TLS is required, and not done", sdk.Options{"login": "check_tls", "starttls": "no"}, "down l7-auth error 28000: \"no pg_hba.conf entry"},
		{"TLS is forbidden, and preferred", sdk.Options{"login": "check_bare"}, "up  "},
		{"TLS is forbidden, and done", sdk.Options{"login": "check_bare", "starttls": "yes"}, "down l7-auth error 28000: \"no pg_hba.conf entry"},
		{"rejected", sdk.Options{"login": "check_nobody"}, "down l7-auth error 28000: \"pg_hba.conf rejects connection"},
		{"statement without a result", sdk.Options{"request": "UPDATE alive SET n = n + 1"}, "up  "},
		{"statement that changes nothing", sdk.Options{"request": "UPDATE empty SET n = 2"}, "down l7-status the query gives no row"},
		{"no row", sdk.Options{"request": "SELECT * FROM empty"}, "down l7-status the query gives no row"},
		{"no table", sdk.Options{"request": "SELECT * FROM nosuch"}, `down l7-status error 42P01: "relation "nosuch" does not exist"`},
		{"no database", sdk.Options{"database": "nosuch"}, `down l7-status error 3D000: "database "nosuch" does not exist"`},
		{"no query", sdk.Options{"request": "HELO"}, "down l7-status error 42601: "},
		{"empty query", sdk.Options{"request": "--"}, "down l7-status the query gives no row"},
		{"wrong password", sdk.Options{"passwd": "wrong"}, "down l7-auth error 28P01: "},
		{"wrong password without TLS", sdk.Options{"passwd": "wrong", "starttls": "no"}, "down l7-auth error 28P01: "},
		{"wrong name", sdk.Options{"login": "nobody"}, "down l7-auth error 28000: "},
		{"one large row", sdk.Options{"request": "SELECT repeat('x', 1 << 23)"}, "up  "},
		{"100 MB", sdk.Options{"request": large, "starttls": "no"}, "up  "},
		{"100 MB with TLS", sdk.Options{"request": large}, "up  "},
		{"two statements", sdk.Options{"request": "SELECT * FROM empty; SELECT 2"}, "up  "},
		{"error after a statement", sdk.Options{"request": "UPDATE alive SET n = 1; SELECT 1/0"}, "down l7-status error 22012: "},
	} {
		if took := probeReal(t, addr, c, 10*time.Second); took > 5*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
	}
	slow := real{"slow query", sdk.Options{"request": "SELECT pg_sleep(20)"}, "down l7-timeout "}
	if took := probeReal(t, addr, slow, 500*time.Millisecond); took < 400*time.Millisecond || took > 3*time.Second {
		t.Errorf("a slow query took %v", took)
	}
	server.Freeze(t)
	for _, starttls := range []string{"no", "prefer"} {
		frozen := real{"frozen", sdk.Options{"starttls": starttls}, "down l7-timeout "}
		if took := probeReal(t, addr, frozen, 500*time.Millisecond); took < 400*time.Millisecond || took > 3*time.Second {
			t.Errorf("a frozen server took %v", took)
		}
	}
	server.Thaw(t)
	probeReal(t, addr, real{"thawed", nil, "up  "}, 10*time.Second)
}

func TestPostgresWithoutTLS(t *testing.T) {
	t.Parallel()
	_, addr := startPostgres(t, false)
	probeReal(t, addr, real{"healthy", nil, "up  "}, 10*time.Second)
	probeReal(t, addr, real{"TLS", sdk.Options{"starttls": "yes"}, "down l7-status the server does not offer TLS"}, 10*time.Second)
}

// What pgconn would take from the environment stays there.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"PGHOST": "192.0.2.1", "PGPORT": "1", "PGPASSWORD": "theirs", "PGDATABASE": "theirs", "PGAPPNAME": "theirs",
		"PGOPTIONS": "-c theirs", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/nonexistent", "PGCONNECT_TIMEOUT": "1",
		"PGTARGETSESSIONATTRS": "standby", "PGREQUIREAUTH": "none", "PGPASSFILE": "/nonexistent", "PGTZ": "theirs",
	} {
		t.Setenv(name, value)
	}
	s := session{target: sdk.Target{Addr: netip.MustParseAddrPort("192.0.2.9:5432")}, o: options{Login: "alice"}}
	c, err := s.config(nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Password != "" || c.Database != "" || c.Host != "192.0.2.9" || len(c.RuntimeParams) != 1 || c.TLSConfig != nil ||
		len(c.Fallbacks) != 0 || c.ConnectTimeout != 0 || c.ValidateConnect != nil || c.RequireAuth != "" {
		t.Errorf("%+v", c)
	}
}
