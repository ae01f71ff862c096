package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

// kindKey names the environment variable that makes this test binary a plugin of that kind.
const kindKey = "CLIENT_TEST_KIND"

func TestMain(m *testing.M) {
	switch os.Getenv(kindKey) {
	case "":
		os.Exit(m.Run())
	case "banner":
		serve.Main(banner())
	case "without-tls":
		os.Unsetenv("PLUGIN_CLIENT_CERT")
		serve.Main(banner())
	case "foreign-socket":
		fmt.Printf("1|1|unix|%s|grpc|\n", os.Getenv("FOREIGN_SOCKET"))
		select {}
	case "mute":
		socket := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s")
		if _, err := net.Listen("unix", socket); err == nil {
			fmt.Printf("1|1|unix|%s|grpc|\n", socket)
		}
		select {}
	case "failing":
		fmt.Fprintln(os.Stderr, "cannot find my trousers")
		os.Exit(3)
	case "panicking":
		panic("at the very start")
	case "garbage":
		fmt.Println(strings.Repeat("x", 200_000))
		select {}
	case "future":
		fmt.Println("1|2|unix|/tmp/x|grpc|")
		select {}
	case "elsewhere":
		fmt.Println("1|1|tcp|127.0.0.1:80|grpc|")
		select {}
	case "silent":
		select {}
	}
}

type options struct {
	Greeting string `option:"receive" default:"220" help:"how the first line must begin"`
	Act      string `option:"act"`
	Secret   string `option:"passwd" secret:"true"`
}

func banner() sdk.Check[options] {
	return sdk.Check[options]{
		Name: "banner", Summary: "greets", Version: "7", Port: 25,
		Services: []sdk.Service{{Name: "banner"}, {Name: "banners", Port: 465}},
		Probe:    probe,
		Validate: func(_ string, o options) error {
			if o.Act == "bad" {
				return errors.Join(&sdk.OptionError{Option: "act", Offset: 2, Want: "not bad"}, errors.New("in short: no"))
			}
			return nil
		},
	}
}

func probe(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	switch o.Act {
	case "panic":
		panic("thrown")
	case "die":
		panic(fmt.Sprint(func() int { go func() { panic("for good") }(); select {} }()))
	case "wait":
		<-ctx.Done()
		return sdk.DownWith(sdk.CodeTimeout, "waited")
	case "full":
		w := 12
		return sdk.Verdict{
			Status: sdk.StatusUp, Code: "l7-x", Reason: "bad\xffutf" + strings.Repeat("r", 5000), Weight: &w,
			Phases: []sdk.Phase{{Name: "total", Took: 3}}, Transcript: strings.Repeat("t", 100_000),
		}
	case "log":
		serve.Log(ctx).Warn("hear me", "secretless", 1)
		fmt.Println("on stdout")
		return sdk.Up()
	case "up":
		return sdk.Up()
	}
	c, err := t.Dial(ctx)
	if err != nil {
		return sdk.DownWith(sdk.CodeRefused, "%v", err)
	}
	defer c.Close()
	line, _ := bufio.NewReader(c).ReadString('\n')
	if !strings.HasPrefix(line, o.Greeting) {
		return sdk.Down("greeting %q", line)
	}
	return sdk.Up()
}

func launch(t testing.TB, kind string) client.Launch {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{kindKey + "=" + kind}
	return client.Launch{Cmd: cmd}
}

func open(t testing.TB) *client.Client {
	t.Helper()
	c, err := client.Open(t.Context(), launch(t, "banner"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	return c
}

func target(addr string) sdk.Target {
	return sdk.Target{Service: "banner", Addr: netip.MustParseAddrPort(addr), Network: "tcp"}
}

func greeter(t *testing.T) sdk.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 here\r\n")
			c.Close()
		}
	}()
	return target(l.Addr().String())
}

func TestCheckerThroughAProcess(t *testing.T) {
	c := open(t)
	want, _ := banner().Checker().Describe(t.Context())
	got, err := c.Describe(t.Context())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Describe: %+v, %v, want %+v", got, err, want)
	}
	if err := c.Validate(t.Context(), "banners", sdk.Options{"receive": "2"}); err != nil {
		t.Errorf("good options: %v", err)
	}
	err = c.Validate(t.Context(), "banner", sdk.Options{"act": "bad"})
	var oe *sdk.OptionError
	if !errors.As(err, &oe) || *oe != (sdk.OptionError{Option: "act", Offset: 2, Want: "not bad"}) || !strings.Contains(err.Error(), "in short: no") {
		t.Errorf("bad options: %v", err)
	}
	if err := c.Validate(t.Context(), "x", nil); err == nil || !strings.Contains(err.Error(), "serves banner, banners") {
		t.Errorf("unknown service: %v", err)
	}
	here := greeter(t)
	if v := c.Probe(t.Context(), here, nil); v.Status != sdk.StatusUp {
		t.Errorf("healthy: %+v", v)
	}
	if v := c.Probe(t.Context(), here, sdk.Options{"receive": "221"}); v.Status != sdk.StatusDown || v.Reason != `greeting "220 here\r\n"` {
		t.Errorf("wrong greeting: %+v", v)
	}
	if v := c.Probe(t.Context(), here, sdk.Options{"act": "panic"}); v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "thrown") || !strings.Contains(v.Transcript, "client_test.go") {
		t.Errorf("panic: %+v", v)
	}
	v := c.Probe(t.Context(), here, sdk.Options{"act": "full"})
	if v.Weight == nil || *v.Weight != 12 || len(v.Reason) > 1024 || len(v.Transcript) > 64<<10 || len(v.Phases) != 1 || !strings.HasPrefix(v.Reason, "bad\uFFFDutf") {
		t.Errorf("full verdict: %.200v", v)
	}
}

// collect reads results until n have come.
func collect(t *testing.T, s *client.Stream, n int) map[uint64]sdk.Verdict {
	t.Helper()
	got := map[uint64]sdk.Verdict{}
	timeout := time.After(10 * time.Second)
	for seen := 0; seen < n; {
		select {
		case batch, ok := <-s.Results():
			if !ok {
				t.Fatalf("stream ended: %v", s.Err())
			}
			for _, r := range batch {
				got[r.ID] = r.Verdict
				seen++
			}
		case <-timeout:
			t.Fatalf("%d of %d results", seen, n)
		}
	}
	return got
}

func TestStream(t *testing.T) {
	s, err := open(t).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	here := greeter(t)
	var due []sdk.Due
	for id := uint64(1); id <= 100; id++ {
		s.Register(id, here, nil)
		due = append(due, sdk.Due{ID: id, Remaining: 5 * time.Second})
	}
	s.Register(200, here, sdk.Options{"receive": "221"})
	s.Register(201, here, sdk.Options{"nix": ""})
	s.Register(202, here, sdk.Options{"act": "wait"})
	due = append(due, sdk.Due{ID: 200, Remaining: time.Second}, sdk.Due{ID: 201, Remaining: time.Second},
		sdk.Due{ID: 202, Remaining: 50 * time.Millisecond}, sdk.Due{ID: 999, Remaining: time.Second})
	s.Start(due)
	got := collect(t, s, 104)
	for id := uint64(1); id <= 100; id++ {
		if got[id].Status != sdk.StatusUp {
			t.Fatalf("%d: %+v", id, got[id])
		}
	}
	if v := got[200]; v.Status != sdk.StatusDown {
		t.Errorf("wrong greeting: %+v", v)
	}
	if v := got[201]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "no such option") {
		t.Errorf("unknown option: %+v", v)
	}
	if v := got[202]; v.Reason != "waited" {
		t.Errorf("deadline: %+v", v)
	}
	if v := got[999]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "not registered") {
		t.Errorf("unregistered: %+v", v)
	}
}

// Batches of more than a message may hold travel in several.
func TestStreamLargeBatches(t *testing.T) {
	s, err := open(t).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 150
	var due []sdk.Due
	for id := uint64(1); id <= n; id++ {
		s.Register(id, target("127.0.0.1:1"), sdk.Options{"act": "full", "receive": strings.Repeat("p", 60_000)})
		due = append(due, sdk.Due{ID: id, Remaining: 10 * time.Second})
	}
	s.Start(due)
	for id, v := range collect(t, s, n) {
		if v.Status != sdk.StatusUp || len(v.Transcript) != 64<<10 {
			t.Fatalf("%d: %.200v", id, v)
		}
	}
}

func TestStreamOneInFlightAndForget(t *testing.T) {
	s, err := open(t).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Register(1, target("127.0.0.1:1"), sdk.Options{"act": "wait"})
	s.Start([]sdk.Due{{ID: 1, Remaining: time.Minute}})
	s.Start([]sdk.Due{{ID: 1, Remaining: time.Minute}})
	if v := collect(t, s, 1)[1]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "not over") {
		t.Errorf("second start: %+v", v)
	}
	s.Forget(1)
	if v := collect(t, s, 1)[1]; v.Reason != "waited" {
		t.Errorf("a forgotten probe must be cancelled: %+v", v)
	}
	s.Register(2, target("127.0.0.1:1"), sdk.Options{"act": "up"})
	s.Start([]sdk.Due{{ID: 2, Remaining: time.Second}})
	s.Forget(2)
	s.Register(3, target("127.0.0.1:1"), sdk.Options{"act": "up"})
	s.Start([]sdk.Due{{ID: 3, Remaining: time.Second}})
	if v := collect(t, s, 1); v[3].Status != sdk.StatusUp {
		t.Errorf("after forget: %+v", v)
	}
}

func TestDeathEndsTheStream(t *testing.T) {
	c := open(t)
	s, err := c.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Register(1, target("127.0.0.1:1"), sdk.Options{"act": "die"})
	s.Start([]sdk.Due{{ID: 1, Remaining: time.Second}})
	for range s.Results() {
	}
	<-c.Exited()
	if s.Err() == nil || c.LastWords() != "panic: for good" {
		t.Errorf("err %v, last words %q", s.Err(), c.LastWords())
	}
}

func TestOpenFailures(t *testing.T) {
	tests := map[string]string{
		"failing":   "cannot find my trousers",
		"panicking": "panic: at the very start",
		"garbage":   "Unrecognized remote plugin message",
		"future":    "incompatible API version with plugin. Plugin version: 2, Client versions: [1]",
		"elsewhere": "not on a socket in its own directory",
		"silent":    "timeout while waiting for plugin to start",
		"mute":      "does not speak gRPC",
	}
	for kind, says := range tests {
		t.Run(kind, func(t *testing.T) {
			l := launch(t, kind)
			l.Timeout, l.Dir = 2*time.Second, t.TempDir()
			_, err := client.Open(t.Context(), l)
			if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), l.Cmd.Path) {
				t.Errorf("got %.300v, want the path and %q", err, says)
			}
			if left, _ := os.ReadDir(l.Dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	_, err := client.OpenPath(t.Context(), "/nonexistent/ldirectord-check-x")
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing file: %v", err)
	}
}

// A plugin that cannot do TLS is known by its process instead.
func TestWithoutTLS(t *testing.T) {
	c, err := client.Open(t.Context(), launch(t, "without-tls"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	if v := c.Probe(t.Context(), greeter(t), nil); v.Status != sdk.StatusUp {
		t.Errorf("%+v", v)
	}
}

// Nobody else may answer in its place: here, this test's own process does.
func TestWithoutTLSImpostor(t *testing.T) {
	l := launch(t, "foreign-socket")
	l.Dir = t.TempDir()
	l.Own = func(dir string) error {
		socket := filepath.Join(dir, "s")
		l.Cmd.Env = append(l.Cmd.Env, "FOREIGN_SOCKET="+socket)
		listener, err := net.Listen("unix", socket)
		if err == nil {
			t.Cleanup(func() { listener.Close() })
		}
		return err
	}
	l.Timeout = time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := client.Open(ctx, l)
	if err == nil {
		_, err = c.Describe(ctx)
		c.Kill()
	}
	if err == nil || !strings.Contains(err.Error(), "which is not the plugin") {
		t.Errorf("got %v", err)
	}
}

func TestOpenIsCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := client.Open(ctx, launch(t, "silent"))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}
