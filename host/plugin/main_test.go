package plugin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

// plugins is the directory with this test binary under the names of plugins.
var plugins string

// TestMain makes this binary each of the plugins below, by its own file name.
func TestMain(m *testing.M) {
	switch name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), prefix); {
	case os.Getenv(asDaemon) != "":
		beDaemon(os.Getenv(asDaemon))
	case !ok:
		os.Exit(withPlugins(m))
	case name == "fails":
		fmt.Fprintln(os.Stderr, "cannot find my trousers")
		os.Exit(3)
	case name == "future":
		fmt.Println("1|2|unix|" + os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/x|grpc|")
		select {}
	case name == "silent":
		select {}
	case name == "garbage":
		serveGarbage()
	case name == "gigabyte":
		serveGigabyte()
	case name == "hello":
		fmt.Print(strings.Repeat("\x00\xffhello", 100_000))
		select {}
	case name == "slow":
		<-time.After(700 * time.Millisecond) // which is what it is for
		serve.Main(good)
	case name == "liar":
		serveLiar()
	default:
		upgraded := good
		upgraded.Version = versionOfFile()
		serve.Main(upgraded, serve.ReadPaths("/proc"))
	}
}

// upgrade is what a test appends to a copy of this binary to make it another version.
const upgrade = "\nversion two"

// versionOfFile says whether upgrade was appended to this process's file.
func versionOfFile() string {
	if all, err := os.ReadFile("/proc/self/exe"); err == nil && bytes.HasSuffix(all, []byte(upgrade)) {
		return "two"
	}
	return "1"
}

// asDaemon names the variable that makes this binary a daemon with one plugin of that directory.
const asDaemon = "PLUGIN_TEST_AS_DAEMON"

// beDaemon starts a plugin that is busy, says its number and its child's, and waits to be killed.
func beDaemon(dir string) {
	p := New(Options{Dirs: []string{dir}, RunDir: filepath.Join(dir, "run"), env: endAtOnce()})
	r, err := p.Runner("good", "")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	r.Register(1, target("good"), sdk.Options{"act": "up"})
	r.Register(2, target("good"), sdk.Options{"act": "hang"})
	r.Register(3, target("good"), sdk.Options{"act": "child"})
	r.Start(due(time.Minute, 2))
	r.Start(due(time.Minute, 3))
	child := (<-r.Results())[0].Verdict.Reason
	fmt.Println(p.Status()[0].PID, child)
	select {}
}

func withPlugins(m *testing.M) int {
	dir, err := os.MkdirTemp("", "plugins")
	if err == nil {
		err = os.Chmod(dir, 0o755) // plugins run as nobody when we are root
	}
	exe, exeErr := os.Executable()
	if err != nil || exeErr != nil {
		fmt.Fprintln(os.Stderr, err, exeErr)
		return 1
	}
	defer os.RemoveAll(dir)
	plugins = dir
	first := filepath.Join(dir, prefix+"good")
	if err := copyFile(exe, first); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, name := range []string{"fails", "future", "silent", "liar", "slow", "garbage", "gigabyte", "hello"} {
		err = os.Link(first, filepath.Join(dir, prefix+name))
	}
	if err == nil {
		err = os.Symlink(prefix+"good", filepath.Join(dir, prefix+"twin"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Chmod(0o755)
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}

type options struct {
	Act    string `option:"act" default:"up"`
	Passwd string `option:"passwd" secret:"true"`
	Count  int    `option:"count"`
}

var good = sdk.Check[options]{
	Name: "good", Version: "1", Port: 80, Probe: act, Validate: validate,
	Services: []sdk.Service{{Name: "good"}, {Name: "twin", Port: 443}, {Name: "slow"}},
}

// validate fails to answer when the options say so.
func validate(_ string, o options) error {
	switch o.Act {
	case "validate-mute":
		select {}
	case "validate-exit":
		os.Exit(7)
	}
	return nil
}

// act behaves as its options say.
func act(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	switch o.Act {
	case "up":
		return sdk.Up()
	case "down":
		return sdk.Down("%s no, said %s", t.Service, o.Passwd)
	case "wait":
		<-ctx.Done()
		return sdk.DownWith(sdk.CodeTimeout, "waited")
	case "hang":
		select {}
	case "die":
		go func() { panic("for good, " + o.Passwd) }()
		select {}
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {}
	case "exit":
		os.Exit(7)
	case "log":
		l := serve.Log(ctx)
		l.Warn("the word is "+o.Passwd, "passwd", o.Passwd, "n", 1)
		l.Warn("keys", "msg", "m", "a b\n[x", "v")
		for i := range 5000 {
			l.Error("flood", "i", i)
		}
		fmt.Println(strings.Repeat("on stdout ", 100_000))
		return sdk.Up()
	case "flood":
		return flood()
	case "child":
		cmd := exec.Command("/bin/sleep", "1000")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return sdk.Unknown("%v", err)
		}
		return sdk.Down("%d", cmd.Process.Pid)
	case "who":
		status, _ := os.ReadFile("/proc/self/status")
		limits, _ := os.ReadFile("/proc/self/limits")
		dir, _ := os.Getwd()
		info, _ := os.Stat(dir)
		files, _ := filepath.Glob("/proc/self/fd/*")
		v := sdk.Down("who")
		for _, f := range files {
			to, _ := os.Readlink(f)
			v.Reason += " " + to
		}
		v.Transcript = fmt.Sprintf("uid %d\ndir %s %v\nenv %s\n%s%s", os.Getuid(), dir, info.Mode(), os.Environ(), status, limits)
		return v
	}
	return sdk.Unknown("act %q?", o.Act)
}

// liar speaks the protocol, and lies: option act says how.
type liar struct {
	checkv1.UnimplementedCheckServer
}

func (liar) Describe(context.Context, *checkv1.DescribeRequest) (*checkv1.DescribeResponse, error) {
	return &checkv1.DescribeResponse{Name: "liar", Services: []*checkv1.Service{{Name: "liar"}}}, nil
}

func (liar) Run(s checkv1.Check_RunServer) error {
	for {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		for _, reg := range r.GetRegister() {
			switch reg.GetOptions()["act"] {
			case "stray":
				for i := uint64(0); ; i++ {
					if err := s.Send(&checkv1.RunResponse{Results: []*checkv1.Result{{Id: i + 1000}}}); err != nil {
						return err
					}
				}
			case "huge":
				v := &checkv1.Verdict{Transcript: strings.Repeat("x", 16<<20)}
				return s.Send(&checkv1.RunResponse{Results: []*checkv1.Result{{Id: reg.GetId(), Verdict: v}}})
			case "close":
				return nil
			}
		}
	}
}

type liarPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (liarPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	checkv1.RegisterCheckServer(s, liar{})
	return nil
}

func (liarPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func serveLiar() {
	os.Unsetenv("PLUGIN_CLIENT_CERT") // as one in a language without the right TLS
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: 1, MagicCookieKey: "LDIRECTORD_CHECK_PLUGIN", MagicCookieValue: "a-check-of-real-servers",
		},
		Plugins:    plugin.PluginSet{"check": liarPlugin{}},
		GRPCServer: plugin.DefaultGRPCServer,
	})
}

// logBuffer is a log that tests can read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// fast is supervision without much patience.
func fast() timing {
	t := timing{}.defaults()
	t.start, t.ping, t.first, t.aside = 5*time.Second, 500*time.Millisecond, 20*time.Millisecond, time.Hour
	return t
}

// endAtOnce is the environment without which the race detector, if it is in this binary, holds up the end of
// each plugin for a second.
func endAtOnce() []string { return []string{"GORACE=atexit_sleep_ms=0"} }

func newPool(t testing.TB, change func(*Options)) (*Pool, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	o := Options{
		Dirs: []string{plugins}, timing: fast(),
		env: endAtOnce(),
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	if change != nil {
		change(&o)
	}
	p := New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%.4000s", log)
		}
	})
	return p, log
}

func runner(t testing.TB, p *Pool, service string) *Runner {
	t.Helper()
	r, err := p.Runner(service, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func target(service string) sdk.Target {
	return sdk.Target{Service: service, Addr: netip.MustParseAddrPort("127.0.0.1:80"), Network: "tcp"}
}

func due(remaining time.Duration, ids ...uint64) (all []sdk.Due) {
	for _, id := range ids {
		all = append(all, sdk.Due{ID: id, Remaining: remaining})
	}
	return all
}

// collect takes n results.
func collect(t testing.TB, r *Runner, n int) map[uint64]sdk.Verdict {
	t.Helper()
	got := map[uint64]sdk.Verdict{}
	timeout := time.After(20 * time.Second)
	for seen := 0; seen < n; {
		select {
		case batch, ok := <-r.Results():
			if !ok {
				t.Fatalf("results closed after %d of %d", seen, n)
			}
			for _, one := range batch {
				got[one.ID] = one.Verdict
				seen++
			}
		case <-timeout:
			t.Fatalf("%d of %d results: %v", seen, n, got)
		}
	}
	return got
}

// until probes id again and again until its verdict satisfies want.
func until(t testing.TB, r *Runner, id uint64, want func(sdk.Verdict) bool) sdk.Verdict {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		r.Start(due(time.Second, id))
		v := collect(t, r, 1)[id]
		if want(v) {
			return v
		}
		if time.Now().After(deadline) {
			t.Fatalf("last verdict %+v", v)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func isUp(v sdk.Verdict) bool { return v.Status == sdk.StatusUp }
