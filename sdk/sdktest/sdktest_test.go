package sdktest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
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

// A server of a protocol that has no lines waits for bytes.
func TestScriptReads(t *testing.T) {
	one, err := newScript("read 3\nsend \"220 ready\\n\"\nend\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := one.server()(v4())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "a\x00")
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, _ := c.Read(make([]byte, 10)); n > 0 {
		t.Error("two bytes were three to it")
	}
	fmt.Fprint(c, "b")
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "220 ready\n" {
		t.Errorf("%q, %v", line, err)
	}
	if _, err := newScript("read x", nil); err == nil {
		t.Error("x was a number")
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
