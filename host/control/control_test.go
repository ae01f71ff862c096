package control

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// director answers as it is told.
type director struct {
	status Status
	reload error
	via    []string // of the last reload
}

func (d *director) Status(context.Context) Status { return d.status }

func (d *director) Reload(ctx context.Context) error {
	d.via = Via(ctx)
	return d.reload
}

func listen(t *testing.T, d *director) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	// What an ended daemon left behind is replaced.
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(d)
	t.Cleanup(func() { s.Close(context.Background()) })
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: mode %v, %v, want 0600", info.Mode(), err)
	}
	return Dial(path)
}

func TestStatusCrossesTheSocket(t *testing.T) {
	want := Status{
		Instance: "web.cf", Pid: 42, Since: time.Date(2026, 11, 22, 7, 6, 33, 0, time.UTC), Checks: 3,
		Services: []VirtualService{{Virtual: "10.0.0.1:80", Servers: []RealServer{{
			Address: "10.0.0.2:80", Check: &Check{Reason: "\x1b[2J \xff", Phases: []Phase{{Name: "connect", Seconds: 0.25}}},
		}}}},
	}
	got, err := listen(t, &director{status: want}).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// JSON is UTF-8: a byte that is not becomes the replacement character.
	want.Services[0].Servers[0].Check.Reason = "\x1b[2J \ufffd"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestReloadSaysWhy(t *testing.T) {
	d := &director{}
	c := listen(t, d)
	if err := c.Reload(t.Context()); err != nil || d.via != nil {
		t.Errorf("got %v, via %q", err, d.via)
	}
	if err := c.Reload(t.Context(), "a & b.cf", "c.cf"); err != nil || !slices.Equal(d.via, []string{"a & b.cf", "c.cf"}) {
		t.Errorf("got %v, via %q", err, d.via)
	}
	for _, test := range []struct {
		err  error
		want Refused
	}{
		{&Refused{Text: "web.cf:3: no", Code: 2}, Refused{Text: "web.cf:3: no", Code: 2}},
		{errors.New("kernel"), Refused{Text: "kernel", Code: 1}},
	} {
		d.reload = test.err
		var no *Refused
		if err := c.Reload(t.Context()); !errors.As(err, &no) || *no != test.want {
			t.Errorf("got %v, want %v", err, test.want)
		}
	}
}

// TestCloseCancelsWhatIsUnderWay shows that a slow reload does not delay a stop.
func TestCloseCancelsWhatIsUnderWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	d := slow{begun: make(chan struct{})}
	s.Serve(d)
	answer := make(chan error, 1)
	go func() { answer <- Dial(path).Reload(context.Background()) }()
	<-d.begun
	s.Close(context.Background())
	if err := <-answer; err == nil {
		t.Error("the reload succeeded")
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// slow is a daemon whose reload ends with its context alone.
type slow struct{ begun chan struct{} }

func (slow) Status(context.Context) Status { return Status{} }

func (s slow) Reload(ctx context.Context) error {
	close(s.begun)
	<-ctx.Done()
	return ctx.Err()
}

func TestNobodyListens(t *testing.T) {
	if _, err := Dial(filepath.Join(t.TempDir(), "none")).Status(t.Context()); err == nil {
		t.Error("a status came from nowhere")
	}
}

func TestReport(t *testing.T) {
	key := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80"))
	one := lvs.ServerKey(netip.MustParseAddrPort("10.0.0.2:80"))
	spare := lvs.ServerKey(netip.MustParseAddrPort("127.0.0.1:80"))
	at := time.Date(2026, 11, 22, 7, 6, 33, 0, time.UTC)
	section := &config.Service{
		Virtual:  lvs.VirtualService{Scheduler: "sh", Flags: lvs.SchedFlag2, Persistence: 60, PrefixLen: 24},
		Fallback: &config.Fallback{Key: spare, Server: lvs.RealServer{Weight: 1}},
	}
	snap := &state.Snapshot{Services: []*state.ServiceStatus{{
		Config: section, Key: key, AllDown: true,
		Servers: []state.ServerStatus{
			{
				Key: one, Name: one.String(), Status: state.Down, Since: at, InTable: true, ByHand: "real server 10.0.0.2:80 (tcp:10.0.0.1:80) was changed: weight is 3, asked 0",
				Asked: lvs.RealServer{Method: lvs.Masq},
				Checks: []state.CheckStatus{
					{ID: "a", Status: state.Up, At: at, Verdict: sdk.Up()},
					{ID: "b", Status: state.Down, At: at, Failures: 2, Limit: 2, Verdict: sdk.DownWith(sdk.CodeMatch, "no"), Counted: sdk.DownWith(sdk.CodeMatch, "no")},
				},
			},
			{Name: "www.example:80", Unresolved: true},
			{Name: "10.0.0.4:80", Maintenance: "being rebuilt", Status: state.Down},
			{Name: "10.0.0.5:80", Off: true, Config: &config.Server{Server: lvs.RealServer{Method: lvs.IPIP}}},
			{Name: "10.0.0.6:80", Status: state.Up},
			{Name: "10.0.0.7:80", Status: state.Up, Adopted: true, Checks: []state.CheckStatus{{ID: "c"}}},
			{Name: "10.0.0.8:80", InTable: true, Config: &config.Server{Server: lvs.RealServer{Weight: 3}}, Checks: []state.CheckStatus{{ID: "d"}}},
			{Name: "10.0.0.9:80", Status: state.Down, Checks: []state.CheckStatus{
				{ID: "e", Status: state.Down, At: at, Verdict: sdk.Unknown("plugin crashed"), Counted: sdk.DownWith(sdk.CodeRefused, "refused")},
			}},
		},
	}}}
	counters := Counters{key: {one: {Active: 5, Inactive: 7}, spare: {Active: 1}}}
	want := []VirtualService{{
		Virtual: "10.0.0.1:80", Protocol: "tcp", Scheduler: "sh", Flags: "flag-2", Persistence: 60, PrefixLen: 24, FallbackActive: true,
		Servers: []RealServer{
			{
				Address: "10.0.0.2:80", Method: "masq", InTable: true, Drift: "weight is 3, asked 0", Active: 5, Inactive: 7, State: "down", Since: at,
				Failures: 2, Limit: 2, Check: &Check{ID: "b", At: at, Status: "down", Code: "l7-match", Reason: "no"},
			},
			{Address: "www.example:80", Method: "gate", State: "waiting", Note: "its name does not resolve"},
			{Address: "10.0.0.4:80", Method: "gate", State: "maintenance", Note: "being rebuilt"},
			{Address: "10.0.0.5:80", Method: "ipip", State: "off"},
			{Address: "10.0.0.6:80", Method: "gate", State: "up", Note: "not checked"},
			{Address: "10.0.0.7:80", Method: "gate", State: "up", Note: "found in the table at the start, no verdict yet"},
			{Address: "10.0.0.8:80", Method: "gate", InTable: true, State: "unknown", Note: "found in the table with weight 0, no verdict yet"},
			{
				Address: "10.0.0.9:80", Method: "gate", State: "down", Note: "when its check last could tell: down [l4-refused] refused",
				Check: &Check{ID: "e", At: at, Status: "unknown", Code: "fault", Reason: "plugin crashed"},
			},
			{Address: "127.0.0.1:80", Method: "gate", Fallback: true, InTable: true, Weight: 1, Active: 1},
		},
	}}
	if got := Report(snap, counters); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
