package state_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// A cadence is written as what each step was (n, c) and said (+, -, ?).
func TestCadence(t *testing.T) {
	for _, c := range []struct {
		per        int
		says, want string
	}{
		{0, "+++-+", "nnnnn"},
		{1, "++++", "ncnc"},
		{3, "+++++++++", "ncccncccn"},
		{3, "++-++", "nccnc"},   // a failed connect makes the next one a negotiate
		{2, "---+++", "nnnncc"}, // failed negotiates until one succeeds
		{3, "++--+++++", "nccnncccn"},
		{2, "?+?+??++", "nncccccn"}, // what is not known is done again
	} {
		cadence := state.NewCadence(c.per)
		var got strings.Builder
		for _, says := range c.says {
			step := cadence.Next()
			got.WriteByte("nc"[step])
			cadence.Record(step, map[rune]sdk.Status{'+': sdk.StatusUp, '-': sdk.StatusDown, '?': sdk.StatusUnknown}[says])
		}
		if got.String() != c.want {
			t.Errorf("N = %d, %s: %s, want %s", c.per, c.says, got.String(), c.want)
		}
	}
}

// The wording is that of the Perl ldirectord's log, seen there.
func TestText(t *testing.T) {
	server := lvs.ServerKey(netip.MustParseAddrPort("127.0.0.2:8080"))
	v4 := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.9.0.1:80"))
	v6 := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("[2001:db8::1]:80"))
	mark := lvs.ServiceMark(5, lvs.IPv4)
	for want, tr := range map[string]state.Transition{
		"Added virtual server: [2001:db8::1]:80":                                          {Change: state.AddedService, Service: v6},
		"Changed virtual server: 5":                                                       {Change: state.ChangedService, Service: mark},
		"Purged virtual server (start): 10.9.0.1:80":                                      {Change: state.PurgedService, Service: v4, Phase: "reload"},
		"Purged virtual server (stop): 10.9.0.1:80":                                       {Change: state.PurgedService, Service: v4, Phase: "stop"},
		"Added real server: 127.0.0.2:8080 (5) (Weight set to 3)":                         {Change: state.Added, Service: mark, Server: server, Weight: 3},
		"Added fallback server: 127.0.0.2:8080 (10.9.0.1:80) (Weight set to 1)":           {Change: state.Added, Service: v4, Server: server, Weight: 1, Fallback: true},
		"Restored real server: 127.0.0.2:8080 (10.9.0.1:80) (Weight set to 5)":            {Change: state.Restored, Service: v4, Server: server, Weight: 5},
		"Quiescent real server: 127.0.0.2:8080 ([2001:db8::1]:80) (Weight set to 0)":      {Change: state.Quiesced, Service: v6, Server: server},
		"Readd Quiescent real server: 127.0.0.2:8080 (10.9.0.1:80) (Weight set to 0)":     {Change: state.ReaddedQuiescent, Service: v4, Server: server},
		"Deleted real server: 127.0.0.2:8080 (10.9.0.1:80)":                               {Change: state.Deleted, Service: v4, Server: server},
		"Deleted fallback server: 127.0.0.2:8080 (10.9.0.1:80)":                           {Change: state.Deleted, Service: v4, Server: server, Fallback: true},
		"Purged real server (start): 127.0.0.2:8080 (10.9.0.1:80)":                        {Change: state.PurgedServer, Service: v4, Server: server, Phase: "start"},
		"Soft failure real server: 127.0.0.2:8080 (tcp:10.9.0.1:80) failure 1/2":          {Change: state.SoftFailure, Service: v4, Server: server, Failures: 1, Limit: 2},
		"Resetting soft failure count: 127.0.0.2:8080 (fwm:5)":                            {Change: state.SoftFailureReset, Service: mark, Server: server},
		"Fallback command start: 10.9.0.1:80":                                             {Change: state.FallbackStarted, Service: v4},
		"Fallback command stop: 10.9.0.1:80":                                              {Change: state.FallbackStopped, Service: v4},
		"Changed by hand: real server 127.0.0.2:8080 (tcp:10.9.0.1:80) is as asked again": {Change: state.Deviated, Service: v4, Server: server, Reason: "real server 127.0.0.2:8080 (tcp:10.9.0.1:80) is as asked again"},
	} {
		tr.Virtual = state.VirtualName(tr.Service)
		if got := tr.Text(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The new state is built beside the old one: a reload that is given up leaves no trace.
func TestNewLeavesPrevAlone(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.1.1:80")
	cfg := &config.Config{Services: []config.Service{{
		Key:       lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80")),
		CheckType: config.Connect, FailureCount: 2, FallbackCommand: "/bin/fb", Quiescent: true,
		Servers: []config.Server{{Key: lvs.ServerKey(at), Addr: at, CheckAddr: at, CheckNetwork: "tcp", Server: lvs.RealServer{Weight: 2}}},
	}}}
	old, _ := state.New(cfg, nil, nil, state.Options{Now: epoch})
	say := func(s *state.State, v sdk.Verdict) []state.Transition {
		return s.Observe(state.Observation{Check: s.Checks()[0].ID, Verdict: v, At: epoch.Add(time.Second)})
	}
	say(old, sdk.Down("no"))
	next, _ := state.New(cfg, old, old.Desired(), state.Options{Now: epoch})
	say(next, sdk.Down("no"))
	if ts := say(old, sdk.Down("no")); len(ts) != 1 || ts[0].Change != state.Quiesced {
		t.Errorf("the old state went on with %v", ts)
	}
	gone, _ := state.New(&config.Config{}, old, old.Desired(), state.Options{Now: epoch})
	_ = gone
	if m := old.Memory(); len(m.FallbackStarted) != 1 {
		t.Errorf("the old state forgot its fallbackcommand: %+v", m)
	}
}

// A snapshot does not change once it is made, and shares what stayed the same.
func TestSnapshot(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.1.1:80")
	service := func(port uint16, check uint16) config.Service {
		return config.Service{
			Key:       lvs.ServiceAt(lvs.TCP, netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port)),
			CheckType: config.Connect, FailureCount: 1, Quiescent: true,
			Servers: []config.Server{{
				Key: lvs.ServerKey(at), CheckAddr: netip.AddrPortFrom(at.Addr(), check), CheckNetwork: "tcp",
				Server: lvs.RealServer{Weight: 2},
			}},
		}
	}
	s, _ := state.New(&config.Config{Services: []config.Service{service(80, 80), service(81, 81)}}, nil, nil, state.Options{Now: epoch})
	before := s.Snapshot()
	s.Observe(state.Observation{Check: s.Checks()[0].ID, Verdict: sdk.Up(), At: epoch.Add(time.Second)})
	after := s.Snapshot()
	if r := before.Services[0].Servers[0]; r.Status != state.Waiting || r.InTable {
		t.Errorf("the old snapshot changed: %+v", r)
	}
	if r := after.Services[0].Servers[0]; r.Status != state.Up || !r.InTable || r.Since != epoch.Add(time.Second) || r.Checks[0].Verdict.Status != sdk.StatusUp {
		t.Errorf("the new snapshot has %+v", r)
	}
	if before.Services[1] != after.Services[1] {
		t.Error("a service that did not change was made anew")
	}
}

// Identities are logged, shown and written to files that others may read.
func TestIdentitiesHideSecrets(t *testing.T) {
	identity := func(salt string, prev *state.State, option, value string) string {
		at := netip.MustParseAddrPort("10.0.1.1:80")
		s, _ := state.New(&config.Config{Services: []config.Service{{
			Key:       lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80")),
			CheckType: config.Negotiate, CheckService: "http",
			Servers: []config.Server{{
				Key: lvs.ServerKey(at), CheckAddr: at, CheckNetwork: "tcp",
				Options: map[string]string{option: value}, Secrets: map[string]bool{"passwd": true},
			}},
		}}}, prev, nil, state.Options{Now: epoch, Salt: []byte(salt)})
		return string(s.Checks()[0].ID)
	}
	for value, shows := range map[string]string{
		"/index.html":                        "/index.html",
		"http://host:8080/a@b?c=d@e":         "http://host:8080/a@b?c=d@e",
		"http://[2001:db8::1]/a@b":           "http://[2001:db8::1]/a@b",
		"http://user:hush@host/x":            "http://***@host/x",
		"https://hush@host":                  "https://***@host",
		"http://user:hu@sh@host/":            "http://***@host/",
		"http://user:hu/sh@host/":            "http://***@host/",
		`http://user:hu\"sh@host/`:           "http://***@host/",
		"sip:alice:hush@host":                "sip:***@host",
		"-x http://u:hush@a/ -y ftp://u@b/c": "-x http://***@a/ -y ftp://***@b/c",
	} {
		id := identity("s", nil, "request", value)
		if want := "request=" + strconv.Quote(shows); !strings.Contains(id, want) || strings.Contains(id, "hmac:") != (shows != value) {
			t.Errorf("%s shows as %s", value, id)
		}
	}
	for option, values := range map[string][]string{
		"request": {"http://user:hush@host/", "http://user:bush@host/"}, "passwd": {"hush", "bush"},
	} {
		one := identity("s", nil, option, values[0])
		if strings.Contains(one, "hush") || one == identity("s", nil, option, values[1]) {
			t.Errorf("%s: %s, want no secret, and another digest for another one", option, one)
		}
		if one == identity("other", nil, option, values[0]) {
			t.Errorf("%s: %s with any salt", option, one)
		}
		prev, _ := state.New(&config.Config{}, nil, nil, state.Options{Now: epoch, Salt: []byte("s")})
		if again := identity("", prev, option, values[0]); again != one {
			t.Errorf("%s: %s after a reload, was %s", option, again, one)
		}
	}
}

// Of many checks the last are begun late; their real servers' fallback waits for that too.
func TestFallbackWaitsUntilManyChecksAreBegun(t *testing.T) {
	var cfg config.Config
	section := config.Service{
		Key:       lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80")),
		CheckType: config.Connect, CheckTimeout: 3 * time.Second, CheckInterval: time.Minute, FailureCount: 1,
	}
	for i := range 1100 {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80)
		section.Servers = append(section.Servers, config.Server{Key: lvs.ServerKey(at), Addr: at, CheckAddr: at, CheckNetwork: "tcp"})
	}
	cfg.Services = []config.Service{section}
	first, _ := state.New(&cfg, nil, lvs.Table{}, state.Options{Now: epoch})
	if got, want := first.NextSettle().Sub(epoch), 6*time.Second; got != want {
		t.Errorf("the wait takes %s, want %s: 3 s for the check, 1 s for a round of 1100, 2 s for the start", got, want)
	}
	cfg.Services = append(cfg.Services, section)
	cfg.Services[1].Key.Mark, cfg.Services[1].Key.Protocol = 5, lvs.FWM
	cfg.Services[1].CheckInterval = time.Second
	other, _ := state.New(&cfg, first, lvs.Table{}, state.Options{Now: epoch.Add(time.Minute)})
	if got, want := other.NextSettle().Sub(epoch), 6*time.Second; got != want {
		t.Errorf("after a reload that has no new check it ends at %s, want %s as before", got, want)
	}
}
