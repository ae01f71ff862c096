package sdktest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/internal/wire"
)

type options struct {
	Greeting string `option:"receive" default:"220" help:"how the first line must begin"`
	Act      string `option:"act" help:"for tests"`
}

func banner() sdk.Check[options] {
	return sdk.Check[options]{
		Name: "banner", Summary: "reads a greeting", Port: 25, Probe: greet,
		Services: []sdk.Service{{Name: "banner"}, {Name: "echo", Network: "udp"}},
	}
}

func greet(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	c, err := t.Dial(ctx)
	if err != nil {
		return sdk.DownWith(sdk.CodeRefused, "%v", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if t.Network == "udp" {
		fmt.Fprint(c, "hello")
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	switch {
	case err != nil:
		return sdk.DownWith(sdk.CodeTimeout, "%v", err)
	case !strings.HasPrefix(line, o.Greeting):
		return sdk.DownWith(sdk.CodeMatch, "greeting %q", line)
	}
	return sdk.Up()
}

func TestRunOnAGoodCheck(t *testing.T) {
	Run(t, banner(), Cases{
		"greets":  {Server: Lines("220 ready", "more"), Want: sdk.StatusUp},
		"rude":    {Server: Lines("no"), Want: sdk.StatusDown, Code: sdk.CodeMatch, Reason: `"no\r\n"`},
		"option":  {Server: Lines("no"), Options: sdk.Options{"receive": "n"}, Want: sdk.StatusUp},
		"silent":  {Server: Silent(), Timeout: 100 * time.Millisecond, Want: sdk.StatusDown, Code: sdk.CodeTimeout},
		"closing": {Server: Closing(), Want: sdk.StatusDown},
		"nobody":  {Want: sdk.StatusDown, Code: sdk.CodeRefused},
		"udp":     {Service: "echo", Server: UDP(func(b []byte) []byte { return append([]byte("220 "), append(b, '\n')...) }), Want: sdk.StatusUp},
		"web":     {Server: HTTP(http.NotFoundHandler()), Timeout: 200 * time.Millisecond, Want: sdk.StatusDown},
	})
}

// bad checks, each of which breaks the rule that it is named after.
func bad() map[string]sdk.Check[options] {
	good := banner()
	change := func(f func(*sdk.Check[options])) sdk.Check[options] {
		c := good
		f(&c)
		return c
	}
	probing := func(p func(context.Context, sdk.Target, options) sdk.Verdict) sdk.Check[options] {
		return change(func(c *sdk.Check[options]) { c.Probe = p })
	}
	alone := make(chan struct{}, 1)
	return map[string]sdk.Check[options]{
		"description": change(func(c *sdk.Check[options]) { c.Summary = "" }),
		"deadline":    probing(deaf),
		"cancel":      probing(deaf),
		"refused": probing(func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			return sdk.Unknown("who knows")
		}),
		"at-once": probing(func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			select {
			case alone <- struct{}{}:
				defer func() { <-alone }()
				return greet(ctx, t, o)
			default:
				return sdk.Unknown("busy")
			}
		}),
		"ipv4": probing(func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			if t.Addr.Addr().Is4() {
				return sdk.Unknown("what is this?")
			}
			return greet(ctx, t, o)
		}),
		"ipv6": probing(func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			if t.Addr.Addr().Is6() {
				return sdk.Unknown("what is this?")
			}
			return greet(ctx, t, o)
		}),
	}
}

// deaf does not listen to its context.
func deaf(_ context.Context, t sdk.Target, o options) sdk.Verdict {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return greet(ctx, t, o)
}

// lax accepts whatever is configured.
type lax struct{ sdk.Checker }

func (lax) Validate(context.Context, string, sdk.Options) error { return nil }

// vague refuses without saying what.
type vague struct{ sdk.Checker }

func (vague) Validate(context.Context, string, sdk.Options) error { return errors.New("no") }

func TestEachRuleIsBrokenBySomebody(t *testing.T) {
	checks := map[string][]sdk.Checker{
		"unknown-option":  {lax{banner().Checker()}, vague{banner().Checker()}},
		"unknown-service": {lax{banner().Checker()}},
	}
	for name, c := range bad() {
		checks[name] = append(checks[name], c.Checker())
	}
	s := Sample{Service: sdk.Service{Name: "banner", Port: 25, Network: "tcp"}, Server: Lines("220 ready")}
	for _, r := range Rules() {
		t.Run(r.Name, func(t *testing.T) {
			if len(checks[r.Name]) == 0 {
				t.Fatal("no check breaks this rule")
			}
			if err := r.Try(t.Context(), banner().Checker(), s); err != nil {
				t.Errorf("a good check: %v", err)
			}
			for _, c := range checks[r.Name] {
				conn, end, err := wire.Loopback(c)
				if err != nil {
					t.Fatal(err)
				}
				defer end()
				for way, one := range map[string]sdk.Checker{"process": c, "stream": Streamed(conn)} {
					if err := r.Try(t.Context(), one, s); err == nil {
						t.Errorf("a bad check passes %s", way)
					}
				}
			}
		})
	}
}

func TestJudge(t *testing.T) {
	weight := 3
	tests := map[string]struct {
		c    Case
		v    sdk.Verdict
		says string
	}{
		"status":    {Case{Want: sdk.StatusUp}, sdk.Down("no"), "want up"},
		"code":      {Case{Want: sdk.StatusDown, Code: sdk.CodeTLS}, sdk.Down("no"), `want "l6-tls"`},
		"reason":    {Case{Want: sdk.StatusDown, Reason: "yes"}, sdk.Down("no"), `want "yes"`},
		"weight":    {Case{Want: sdk.StatusUp, Weight: &weight}, sdk.Up(), "want 3"},
		"no reason": {Case{Want: sdk.StatusDown}, sdk.Verdict{Status: sdk.StatusDown, Code: "x"}, "without a reason"},
		"no code":   {Case{Want: sdk.StatusDown}, sdk.Verdict{Status: sdk.StatusDown, Reason: "x"}, "without a code"},
		"two lines": {Case{Want: sdk.StatusDown}, sdk.Down("a\nb"), "more than one line"},
	}
	for name, tt := range tests {
		if err := tt.c.judge(tt.v); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", name, err, tt.says)
		}
	}
	if err := (Case{Want: sdk.StatusUp}).judge(sdk.Up()); err != nil {
		t.Error(err)
	}
}

func TestNoCaseDeservesUp(t *testing.T) {
	info, _ := banner().Checker().Describe(t.Context())
	if _, err := sample(info, Cases{"x": {Want: sdk.StatusUp}, "y": {Server: Silent(), Want: sdk.StatusDown}}); err == nil {
		t.Error("nothing was said")
	}
}

func TestStdoutIsCaptured(t *testing.T) {
	printed := captureStdout(t)
	fmt.Fprint(os.Stdout, "oops")
	if got := printed(); got != "oops" {
		t.Errorf("got %q", got)
	}
}
