package examples

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/plugin"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// checkCase is a server's behaviour and the verdict that it deserves.
type checkCase struct {
	name    string
	options sdk.Options
	server  sdktest.Server // nil: the port is closed
	want    string         // status and code
	reason  string         // text in the reason
}

// run probes through the host's own pool of plugins: once by a call and once over the stream.
func (c checkCase) run(t *testing.T, h *host) {
	t.Helper()
	server := c.server
	if server == nil {
		server = closedPort
	}
	addr, stop, err := server(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	target := sdk.Target{Service: h.service, Addr: addr, Network: "tcp"}
	limit := 10 * time.Second // a busy machine is slow
	if strings.HasSuffix(c.want, "l7-timeout") {
		limit = time.Second
	}
	if err := h.pool.Validate(t.Context(), h.service, c.options); err != nil {
		t.Fatalf("options: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for way, v := range map[string]sdk.Verdict{"call": h.pool.Probe(ctx, target, c.options), "stream": h.streamed(t, target, c.options, limit)} {
		got := strings.TrimSpace(v.Status.String() + " " + string(v.Code))
		if got != c.want || !strings.Contains(v.Reason, c.reason) {
			t.Errorf("by %s: %s (%s), want %s (%s)", way, got, v.Reason, c.want, c.reason)
		}
		if len(v.Phases) == 0 || v.Phases[len(v.Phases)-1].Name != "total" {
			t.Errorf("by %s: phases %v", way, v.Phases)
		}
	}
}

// host is what a director has: the pool of plugins, and the runner of one service.
type host struct {
	pool    *plugin.Pool
	service string
	runner  *plugin.Runner
	last    uint64
}

func newHost(t *testing.T, dir, service string) *host {
	t.Helper()
	h := &host{pool: newPool(t, dir), service: service}
	var err error
	if h.runner, err = h.pool.Runner(service, ""); err != nil {
		t.Fatal(err)
	}
	return h
}

// streamed is one probe by the runner, as the director's monitor does it.
func (h *host) streamed(t *testing.T, target sdk.Target, o sdk.Options, limit time.Duration) sdk.Verdict {
	t.Helper()
	h.last++
	h.runner.Register(h.last, target, o)
	defer h.runner.Forget(h.last)
	h.runner.Start([]sdk.Due{{ID: h.last, Remaining: limit}})
	select {
	case batch := <-h.runner.Results():
		return batch[0].Verdict
	case <-time.After(limit + 20*time.Second):
		t.Fatal("no verdict over the stream")
		return sdk.Verdict{}
	}
}

// keepsRules tries every rule of the conformance suite on a finished plugin.
func keepsRules(t *testing.T, path string, s sdktest.Sample) {
	t.Helper()
	c, err := client.OpenPath(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	checker := sdktest.Streamed(c) // as the director runs checks
	for _, r := range sdktest.Rules() {
		t.Run(r.Name, func(t *testing.T) {
			if err := r.Try(t.Context(), checker, s); err != nil {
				t.Errorf("%s: %v", r.Why, err)
			}
		})
	}
}
