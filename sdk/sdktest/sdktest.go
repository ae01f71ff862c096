// Package sdktest is the test of a check: its author writes cases, a server's behaviour and
// the verdict that it deserves, and Run tries each in process, through a call, and through the
// stream that the director uses; then it tries the rules that every check has to keep.
//
//	func TestCheck(t *testing.T) {
//		sdktest.Run(t, check, sdktest.Cases{
//			"greets": {Server: sdktest.Lines("220 ready"), Want: sdk.StatusUp},
//			"rude":   {Server: sdktest.Lines("no"), Want: sdk.StatusDown, Code: sdk.CodeMatch},
//		})
//	}
package sdktest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/internal/wire"
)

// Case is one behaviour of a server and the verdict that it deserves.
type Case struct {
	// Service is the configured service; empty: the check's first.
	Service string
	// Options as the configuration writes them.
	Options sdk.Options
	// Server is what answers; nil: nobody does, the port is closed.
	Server Server
	// Timeout of the probe; 0: two seconds.
	Timeout time.Duration
	// Virtual and FWMark of the target, for checks that look at them.
	Virtual netip.AddrPort
	FWMark  uint32

	// Want is the status that the verdict must have.
	Want sdk.Status
	// Code that it must have; empty: any.
	Code sdk.Code
	// Reason is text that its reason must hold.
	Reason string
	// Weight that it must ask for; nil: any, or none.
	Weight *int
}

// Cases by name. One at least must deserve Up: the rules are tried with its server and options.
type Cases map[string]Case

// Run tries the cases and the rules (see Rules).
func Run[O any](t *testing.T, check sdk.Check[O], cases Cases) {
	t.Helper()
	RunChecker(t, check.Checker(), cases)
}

// RunChecker is Run for a check that was made otherwise than by sdk.Check.
func RunChecker(t *testing.T, c sdk.Checker, cases Cases) {
	t.Helper()
	conn, end, err := wire.Loopback(c)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	info, err := c.Describe(t.Context())
	if err != nil {
		t.Fatalf("Describe: %v", err)
	}
	printed := captureStdout(t)
	ways := map[string]sdk.Checker{"process": c, "call": conn, "stream": Streamed(conn)}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		for _, way := range slices.Sorted(maps.Keys(ways)) {
			t.Run(name+"/"+way, func(t *testing.T) { runCase(t, ways[way], info, cases[name]) })
		}
	}
	s, err := sample(info, cases)
	if err != nil {
		t.Error(err)
	}
	for _, r := range Rules() {
		for _, way := range []string{"process", "stream"} {
			if r.NeedsStream && way == "process" {
				continue
			}
			t.Run("rule/"+r.Name+"/"+way, func(t *testing.T) {
				if err := r.Try(t.Context(), ways[way], s); err != nil {
					t.Errorf("%s: %v", r.Why, err)
				}
			})
		}
	}
	if text := printed(); text != "" {
		t.Errorf("printed on standard output, where the handshake with the director travels: %.200q", text)
	}
}

func runCase(t *testing.T, c sdk.Checker, info sdk.Info, one Case) {
	s := one.sample(info)
	addr, stop, err := s.Listen(v4())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	timeout := one.Timeout
	if timeout == 0 {
		timeout = 2 * time.Second
	}
	if err := c.Validate(t.Context(), s.Service.Name, one.Options); err != nil {
		t.Fatalf("options: %v", err)
	}
	target := s.Target(addr)
	target.Virtual, target.FWMark = one.Virtual, one.FWMark
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	v := c.Probe(ctx, target, one.Options)
	if err := one.judge(v); err != nil {
		t.Errorf("%v; transcript:\n%s", err, v.Transcript)
	}
}

// judge compares v with what the case wants.
func (c Case) judge(v sdk.Verdict) error {
	switch {
	case v.Status != c.Want:
		return fmt.Errorf("got %s (%s: %s), want %s", v.Status, v.Code, v.Reason, c.Want)
	case c.Code != "" && v.Code != c.Code:
		return fmt.Errorf("got code %q (%s), want %q", v.Code, v.Reason, c.Code)
	case !strings.Contains(v.Reason, c.Reason):
		return fmt.Errorf("got reason %q, want %q in it", v.Reason, c.Reason)
	case c.Weight != nil && (v.Weight == nil || *v.Weight != *c.Weight):
		return fmt.Errorf("got weight %v, want %d", v.Weight, *c.Weight)
	}
	return sound(v)
}

// sample is what the rules are tried with: the first case, by name, that deserves Up.
func sample(info sdk.Info, cases Cases) (Sample, error) {
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		if c := cases[name]; c.Want == sdk.StatusUp && c.Server != nil {
			return c.sample(info), nil
		}
	}
	return Sample{Service: info.Services[0]}, fmt.Errorf("no case with a server deserves Up: not all rules could be tried")
}

func (c Case) sample(info sdk.Info) Sample {
	s := Sample{Service: info.Services[0], Options: c.Options, Server: c.Server}
	for _, one := range info.Services {
		if one.Name == c.Service {
			s.Service = one
		}
	}
	return s
}

// captureStdout redirects standard output until the function that it gives back is called.
func captureStdout(t *testing.T) func() string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ours := os.Stdout
	os.Stdout = w
	text := make(chan string, 1)
	go func() { // ends when w is closed, which the function below waits for
		b, _ := io.ReadAll(io.LimitReader(r, 4096))
		_, _ = io.Copy(io.Discard, r)
		text <- string(b)
	}()
	restore := func() string {
		if os.Stdout != w {
			return ""
		}
		os.Stdout = ours
		_ = w.Close()
		return <-text
	}
	t.Cleanup(func() { restore() })
	return restore
}
