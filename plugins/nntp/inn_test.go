package main

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
)

const innConf = `mta: "/bin/false"
organization: example
ovmethod: tradindexed
hismethod: hisv6
pathhost: news.example.com
domain: example.com
pathnews: /usr/lib/news
pathdb: /box/db
pathetc: /box/etc
patharticles: /box/articles
pathoverview: /box/overview
pathincoming: /box/incoming
pathoutgoing: /box/outgoing
pathlog: /box/log
pathrun: /box/run
pathspool: /box/spool
pathtmp: /box/tmp
pathfilter: /box/filter
runasuser: news
runasgroup: news
enableoverview: true
`

// prepare makes an empty history, as the package's installation does.
const prepare = `mkdir -p db articles overview incoming/bad outgoing log run spool tmp filter
printf '%s 0 1 y\n' control control.cancel junk >db/active
: >db/newsgroups
: >db/history
chown -R news:news /box
INNCONF=/box/inn.conf
export INNCONF
/usr/lib/news/bin/makedbz -i -o -f /box/db/history
chown -R news:news /box
chmod -R go-w /box
`

// TestINN looks at the greeting of a real news server.
func TestINN(t *testing.T) {
	addr := servers.Addr(t, "127.0.0.1")
	addr6 := netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	servers.Server{
		Packages: []string{"coreutils", "dash", "inn2"},
		Users:    []string{"news"},
		Prepare:  prepare,
		Command:  []string{"/usr/lib/news/bin/innd", "-d", "-N", "-P", fmt.Sprint(addr.Port())},
		Files: map[string]string{
			"/box/inn.conf":          innConf,
			"/box/etc/incoming.conf": "peer ME {\n\thostname: \"localhost, 127.0.0.1, ::1\"\n}\n",
			"/box/etc/newsfeeds":     "ME:*::\n",
			"/box/etc/storage.conf":  "method tradspool {\n\tnewsgroups: *\n\tclass: 0\n}\n",
			"/box/etc/control.ctl":   "",
			"/box/etc/expire.ctl":    "*:A:1:10:never\n",
		},
		Listens: []netip.AddrPort{addr, addr6},
	}.Start(t)
	for _, to := range []netip.AddrPort{addr, addr6} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		v := newCheck().Checker().Probe(ctx, sdk.Target{Service: "nntp", Addr: to, Network: "tcp"}, nil)
		cancel()
		if v.Status != sdk.StatusUp {
			t.Errorf("%s: %s %s (%s)\n%s", to, v.Status, v.Code, v.Reason, v.Transcript)
		}
	}
}
