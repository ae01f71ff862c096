package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
)

const kamailioConf = `#!KAMAILIO
debug=2
log_stderror=yes
fork=no
children=1
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:PORT
listen=udp:[::1]:PORT
listen=tcp:127.0.0.1:PORT
listen=tcp:[::1]:PORT
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "maxfwd.so"
loadmodule "sanity.so"
loadmodule "textops.so"
loadmodule "auth.so"
request_route {
	if (!mf_process_maxfwd_header("10") || !sanity_check() || !is_method("OPTIONS")) {
		sl_send_reply("400", "Not like this");
		exit;
	}
	if ($rU == "busy") {
		sl_send_reply("503", "Busy");
		exit;
	}
	if ($rU == "patient") {
		sl_send_reply("183", "Wait");
		sl_send_reply("202", "Accepted");
		exit;
	}
	if ($rU == "alice") {
		if (!pv_www_authenticate("$td", "sesame", "0")) {
			www_challenge("$td", "1");
			exit;
		}
	}
	sl_send_reply("200", "OK");
}
`

// TestKamailio asks a real server, over everything that it speaks.
func TestKamailio(t *testing.T) {
	v4 := servers.Addr(t, "127.0.0.1")
	v6 := netip.AddrPortFrom(netip.IPv6Loopback(), v4.Port())
	_, port, _ := strings.Cut(v4.String(), ":")
	servers.Server{
		Packages: []string{"kamailio"},
		Command:  []string{"kamailio", "-f", "/box/kamailio.cfg", "-DD", "-E", "-Y", "/box", "-m", "32", "-M", "8"},
		Files:    map[string]string{"/box/kamailio.cfg": strings.ReplaceAll(kamailioConf, "PORT", port)},
		Listens:  []netip.AddrPort{v4, v6},
	}.Start(t)
	login := func(who, passwd string) sdk.Options { return sdk.Options{"login": who, "passwd": passwd} }
	for _, network := range []string{"udp", "tcp"} {
		for _, addr := range []netip.AddrPort{v4, v6} {
			const limit = 5 * time.Second
			try(t, network, addr, nil, limit, "up ", "")
			try(t, network, addr, login("patient@example.com", ""), limit, "up ", "")
			try(t, network, addr, login("alice@example.com", "sesame"), limit, "up ", "")
			try(t, network, addr, login("alice@example.com", "wrong"), limit, "down l7-auth", `the server answers "401 Unauthorized"`)
			try(t, network, addr, login("alice@example.com", ""), limit, "down l7-auth", `the server answers "401 Unauthorized"`)
			try(t, network, addr, login("busy@example.com", ""), limit, "down l7-status", `the server answers "503 Busy"`)
			try(t, network, addr, sdk.Options{"uri": "busy@example.com"}, limit, "down l7-status", "")
		}
	}
}
