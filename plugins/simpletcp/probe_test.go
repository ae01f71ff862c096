package main

import (
	"context"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

func TestFiles(t *testing.T) { sdktest.RunFiles(t, newCheck(), "testdata/*.txtar") }

func TestContract(t *testing.T) {
	o := sdk.Options{"receive": "^ready$"}
	sdktest.Run(t, newCheck(), sdktest.Cases{
		"healthy": {Server: sdktest.Lines("ready"), Options: sdk.Options{"receive": `^ready\r$`}, Want: sdk.StatusUp},
		"refused": {Options: o, Want: sdk.StatusDown, Code: sdk.CodeRefused},
		"closing": {Server: sdktest.Closing(), Options: o, Want: sdk.StatusDown, Code: sdk.CodeClosed},
	})
}

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }

func TestOptions(t *testing.T) {
	for name, value := range map[string]string{"receive": "(", "max-answer": "0", "half-close": "maybe"} {
		if newCheck().Checker().Validate(t.Context(), "simpletcp", sdk.Options{name: value}) == nil {
			t.Errorf("%s = %s was accepted", name, value)
		}
	}
}

// TestRealServers asks a Redis and a memcached, which close when they have been told that nothing more comes.
func TestRealServers(t *testing.T) {
	redis, cache := servers.Addr(t, "127.0.0.1"), servers.Addr(t, "127.0.0.1")
	redis6 := netip.AddrPortFrom(netip.IPv6Loopback(), redis.Port())
	servers.Server{
		Packages: []string{"redis-server"},
		Command:  []string{"redis-server", "--port", strconv.Itoa(int(redis.Port())), "--bind", "127.0.0.1", "::1", "--save", "", "--dir", "/box"},
		Listens:  []netip.AddrPort{redis, redis6},
	}.Start(t)
	servers.Server{
		Packages: []string{"memcached"},
		Command:  []string{"memcached", "-u", "root", "-l", "127.0.0.1", "-p", strconv.Itoa(int(cache.Port())), "-U", "0"},
		Listens:  []netip.AddrPort{cache},
	}.Start(t)
	for _, c := range []struct {
		addr                   netip.AddrPort
		request, receive, want string
	}{
		{redis, `PING\n`, `^\+PONG\r$`, "up "},
		{redis6, `PING\n`, `^\+PONG`, "up "},
		{redis, `PING\n`, "", "up "},
		{redis, `INFO\n`, `^redis_version:\d`, "up "},
		{redis, `AUTH wrong\n`, `^\+OK`, "down l7-match"},
		{cache, `version\nquit\n`, `^VERSION 1\.`, "up "},
		{cache, `version\n`, `^VERSION 1\.`, "up "},
		{cache, `nonsense\n`, `^VERSION`, "down l7-match"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		v := newCheck().Checker().Probe(ctx, sdk.Target{Service: "simpletcp", Addr: c.addr, Network: "tcp"},
			sdk.Options{"request": c.request, "receive": c.receive})
		cancel()
		if got := v.Status.String() + " " + string(v.Code); got != c.want {
			t.Errorf("%s to %s: %s (%s), want %s\n%s", c.request, c.addr, got, v.Reason, c.want, v.Transcript)
		}
	}
}
