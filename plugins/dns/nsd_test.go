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

const exampleZone = `$ORIGIN example.com.
$TTL 60
@ SOA ns admin 1 60 60 60 60
@ NS ns
ns A 192.0.2.53
www A 192.0.2.80
www AAAA 2001:db8::80
six AAAA 2001:db8::6
alias CNAME www
text TXT "no address"
`

const reverseZone = `$ORIGIN 2.0.192.in-addr.arpa.
$TTL 60
@ SOA ns.example.com. admin.example.com. 1 60 60 60 60
@ NS ns.example.com.
80 PTR www.example.com.
`

const nsdConf = `server:
	ip-address: 127.0.0.1
	ip-address: ::1
	port: PORT
	zonesdir: /box
	database: ""
	pidfile: /box/nsd.pid
	zonelistfile: /box/zone.list
	xfrdfile: /box/xfrd.state
	username: ""
	server-count: 1
remote-control:
	control-enable: no
zone:
	name: example.com
	zonefile: example.zone
zone:
	name: 2.0.192.in-addr.arpa
	zonefile: reverse.zone
`

// TestNSD asks a real name server.
func TestNSD(t *testing.T) {
	v4 := servers.Addr(t, "127.0.0.1")
	v6 := netip.AddrPortFrom(netip.IPv6Loopback(), v4.Port())
	_, port, _ := strings.Cut(v4.String(), ":")
	servers.Server{
		Packages: []string{"nsd"},
		Command:  []string{"nsd", "-d", "-c", "/box/nsd.conf"},
		Files: map[string]string{"/box/nsd.conf": strings.ReplaceAll(nsdConf, "PORT", port),
			"/box/example.zone": exampleZone, "/box/reverse.zone": reverseZone},
		Listens: []netip.AddrPort{v4, v6},
	}.Start(t)
	for _, c := range []struct{ request, receive, want string }{
		{"www.example.com", `^192\.0\.2\.80$`, "up "},
		{"www.example.com", `^2001:db8::80$`, "up "},
		{"WWW.example.com", "", "up "},
		{"alias.example.com", "80$", "up "},
		{"six.example.com", "", "up "},
		{"192.0.2.80", `^www\.example\.com$`, "up "},
		{"www.example.com", `^192\.0\.2\.8$`, "down l7-match"},
		{"text.example.com", "", "down l7-status"},
		{"none.example.com", "", "down l7-status"},
		{"www.example.org", "", "down l7-status"}, // REFUSED: not its zone
	} {
		for _, network := range []string{"udp", "tcp"} {
			for _, addr := range []netip.AddrPort{v4, v6} {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				v := newCheck().Checker().Probe(ctx, sdk.Target{Service: "dns", Addr: addr, Network: network},
					sdk.Options{"request": c.request, "receive": c.receive})
				cancel()
				if got := v.Status.String() + " " + string(v.Code); got != c.want {
					t.Errorf("%s %q over %s to %s: %s (%s), want %s", c.request, c.receive, network, addr, got, v.Reason, c.want)
				}
			}
		}
	}
}
