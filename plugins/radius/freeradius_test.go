package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
)

const radiusdConf = `prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = /etc/raddb
logdir = /box
run_dir = /box
pidfile = /box/radiusd.pid
security {
	allow_vulnerable_openssl = yes
}
modules {
	pap {
	}
	files {
		usersfile = /etc/raddb/users
	}
}
client v4 {
	ipaddr = 127.0.0.1
	proto = *
	secret = hush
	require_message_authenticator = REQUIRED
}
client v6 {
	ipv6addr = ::1
	secret = hush
	require_message_authenticator = REQUIRED
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = PORT
	}
	listen {
		type = auth
		ipv6addr = ::1
		port = PORT
	}
	listen {
		type = auth
		proto = tcp
		ipaddr = 127.0.0.1
		port = PORT
	}
	authorize {
		files
		pap
	}
	authenticate {
		pap
	}
}
`

const users = `alice Cleartext-Password := "sesame"
	Reply-Message := "welcome"

mallory Auth-Type := Reject
	Reply-Message := "not you"

signed Cleartext-Password := "sesame"
	Message-Authenticator := 0x00
`

// TestFreeRADIUS asks a real server, one that wants signed requests, too.
func TestFreeRADIUS(t *testing.T) {
	for _, required := range []string{"no", "yes"} {
		t.Run(required, func(t *testing.T) {
			t.Parallel()
			v4 := servers.Addr(t, "127.0.0.1")
			v6 := netip.AddrPortFrom(netip.IPv6Loopback(), v4.Port())
			_, port, _ := strings.Cut(v4.String(), ":")
			servers.Server{
				Packages: []string{"freeradius"},
				Command:  []string{"freeradius", "-f", "-l", "stdout", "-d", "/etc/raddb", "-n", "radiusd"},
				Files: map[string]string{"/etc/raddb/users": users,
					"/etc/raddb/radiusd.conf": strings.NewReplacer("PORT", port, "REQUIRED", required).Replace(radiusdConf)},
				Listens: []netip.AddrPort{v4}, // over tcp, which it does last
			}.Start(t)
			for _, addr := range []netip.AddrPort{v4, v6} {
				const limit = 3 * time.Second
				try(t, addr, alice(), limit, "up ", "")
				try(t, addr, alice("login", "signed"), limit, "up ", "")
				try(t, addr, alice("login", "signed", strict, "yes"), limit, "up ", "")
				try(t, addr, alice("passwd", "x"), limit, "down l7-auth", "the server rejects the user")
				try(t, addr, alice("login", "nobody"), limit, "down l7-auth", "the server rejects the user")
				try(t, addr, alice("login", "mallory"), limit, "down l7-auth", `the server rejects the user: "not you"`)
				try(t, addr, sdk.Options{"secret": shared}, limit, "down l7-auth", "")
				try(t, addr, alice("secret", "x"), limit, "down l7-timeout", "") // badly signed requests are not answered
			}
		})
	}
}
