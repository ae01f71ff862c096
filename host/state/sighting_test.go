package state_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// What the Perl ldirectord writes for the same sections.
func TestRealID(t *testing.T) {
	tcp := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.4.0.1:80"))
	real := config.Server{Addr: netip.MustParseAddrPort("10.4.0.11:80"), Server: lvs.RealServer{Method: lvs.Masq, Weight: 1}}
	with := func(options map[string]string) config.Server { r := real; r.Options = options; return r }
	v6 := real
	v6.Addr = netip.MustParseAddrPort("[fd00:4::11]:80")
	secret := with(map[string]string{"request": "SELECT 'pw'", "receive": "sip:me:pw@host"})
	secret.Secrets = map[string]bool{"request": true}
	for want, c := range map[string]struct {
		v config.Service
		r config.Server
	}{
		"negotiate http tcp 10.4.0.11 80 1 masq /good it.html O?K|a b": {config.Service{CheckService: "http"},
			with(map[string]string{"request": "good it.html", "receive": "O?K|a b"})},
		"combined http tcp 10.4.0.11 80 1 masq / OK": {
			config.Service{CheckType: config.Combined, ConnectsPer: 2, CheckService: "http", Defaults: map[string]string{"request": "/"}},
			with(map[string]string{"receive": "OK"})},
		"negotiate http tcp 10.4.0.11 80 www.example.com 81 1 masq http://***@x/ ": {config.Service{CheckService: "http", CheckPort: 81},
			with(map[string]string{"request": "http://u:p@x/", "virtualhost": "www.example.com"})},
		"negotiate sip tcp 10.4.0.11 80 1 masq *** sip:***@host": {config.Service{CheckService: "sip"}, secret},
		"connect tcp [fd00:4::11] 80 1 masq / ":                  {config.Service{CheckType: config.Connect}, v6},
		"external /c.sh tcp 10.4.0.11 80 1 masq / ":              {config.Service{CheckType: config.External, CheckCommand: "/c.sh"}, real},
		"external-lua lua tcp 10.4.0.11 80 1 masq / ":            {config.Service{CheckType: config.ExternalLua, Lua: "x"}, real},
	} {
		c.v.Key = tcp
		if got := state.RealID(&c.v, &c.r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSightings(t *testing.T) {
	at := netip.MustParseAddrPort("10.4.0.11:80")
	section := func(port uint16, file string) config.Service {
		k := lvs.ServiceAt(lvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("10.4.0.1"), port))
		return config.Service{Key: k, CheckType: config.Connect, CheckTimeout: time.Second, FailureCount: 1, MonitorFile: file, Servers: []config.Server{
			{Key: lvs.ServerKey(at), Addr: at, CheckAddr: at, CheckNetwork: "tcp", Server: lvs.RealServer{Weight: 1}},
		}}
	}
	for want, cfg := range map[string]*config.Config{
		"/a /b": {Services: []config.Service{section(80, "/a"), section(81, ""), section(82, "/b")}},
		"":      {Services: []config.Service{section(80, "")}},
	} {
		s, _ := state.New(cfg, nil, lvs.Table{}, state.Options{})
		o := state.Observation{Check: s.Checks()[0].ID, Verdict: sdk.Down("no")}
		var got []string
		for _, seen := range s.Sightings(o) {
			if seen.RealID != "connect tcp 10.4.0.11 80 1 gate / " || seen.Verdict.Reason != "no" {
				t.Errorf("%+v", seen)
			}
			got = append(got, seen.Service.MonitorFile)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
