package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/control"
)

func TestStatus(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 6, 33, 0, time.UTC)
	plugins := []control.Plugin{
		{Path: "/p/ldirectord-check-dns", State: "running"},
		{Path: "/p/ldirectord-check-http", State: "failed", Restarts: 12, SetAside: 1, CutOff: 3, Error: "panic: \x1b\n"},
	}
	s := control.Status{DryRun: true, Plugins: plugins, Services: []control.VirtualService{
		{
			Virtual: "10.0.0.1:80", Protocol: "tcp", Scheduler: "wrr", Persistence: 600, PrefixLen: 24,
			Servers: []control.RealServer{
				{
					Address: "10.0.0.11:80", Method: "masq", InTable: true, Weight: 3, Active: 12, Inactive: 4, State: "up",
					Since: now.Add(-90 * time.Second), Check: &control.Check{Status: "up"},
				},
				{
					Address: "10.0.0.12:80", Method: "gate", InTable: true, State: "down", Since: now.Add(-3 * time.Hour),
					Check: &control.Check{Status: "down", Code: "l7-status", Reason: "500 \x1b[31mOops\n"},
				},
				{
					Address: "10.0.0.13:80", Method: "ipip", InTable: true, Weight: 1, Drift: "weight 0", State: "up", Failures: 1, Limit: 3,
					Since: now.Add(-72 * time.Hour), Check: &control.Check{Status: "down", Code: "l4-refused"},
				},
				{Address: "127.0.0.1:80", Method: "gate", Fallback: true},
			},
			Drift: []string{"real server 10.0.0.13:80: weight 0, asked 1"},
		},
		{Virtual: "5", Protocol: "fwm", IPv6: true, Scheduler: "mh", Flags: "mh-port"},
	}}
	var got bytes.Buffer
	Status(&got, s, now)
	path := filepath.Join("testdata", "status.txt")
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got:\n%s\nwant (%s):\n%s", got.String(), path, want)
	}
}
