package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

// asPlugin names the environment variable that makes this test binary the plugin itself, which may
// read files, certificates among them, of the directory that is its value.
const asPlugin = "HTTP_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if files := os.Getenv(asPlugin); files != "" {
		serve.Main(newCheck(), serve.ReadPaths(files))
	}
	if configuration := os.Getenv(asOneProcess); configuration != "" {
		os.Exit(oneProcess(configuration))
	}
	code := m.Run()
	running.stop()
	os.Exit(code)
}

// pluginProcess is the plugin as the director runs it: a process, and a stream for all probes.
type pluginProcess struct {
	once   sync.Once
	err    error
	client *client.Client
	stream *client.Stream

	mu      sync.Mutex // guards what follows
	last    uint64
	waiting map[uint64]chan sdk.Verdict
}

var running = pluginProcess{waiting: map[uint64]chan sdk.Verdict{}}

func (p *pluginProcess) start() {
	exe, err := os.Executable()
	if err != nil {
		p.err = err
		return
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{asPlugin + "=" + os.TempDir()}
	if p.client, p.err = client.Open(context.Background(), client.Launch{Cmd: cmd}); p.err != nil {
		return
	}
	if p.stream, p.err = p.client.Run(context.Background()); p.err != nil {
		return
	}
	go func() { // ends with the stream, which stop closes
		for batch := range p.stream.Results() {
			for _, r := range batch {
				p.mu.Lock()
				p.waiting[r.ID] <- r.Verdict
				p.mu.Unlock()
			}
		}
	}()
}

func (p *pluginProcess) stop() {
	if p.stream != nil {
		p.stream.Close()
	}
	if p.client != nil {
		p.client.Close()
	}
}

// throughPlugin runs the check over the stream of a plugin process.
func throughPlugin(t *testing.T, deadline time.Duration, target sdk.Target, o sdk.Options) sdk.Verdict {
	t.Helper()
	p := &running
	p.once.Do(p.start)
	if p.err != nil {
		t.Fatal(p.err)
	}
	verdict := make(chan sdk.Verdict, 1)
	p.mu.Lock()
	p.last++
	id := p.last
	p.waiting[id] = verdict
	p.mu.Unlock()
	p.stream.Register(id, target, o)
	p.stream.Start([]sdk.Due{{ID: id, Remaining: deadline}})
	select {
	case v := <-verdict:
		return v
	case <-time.After(deadline + 5*time.Second):
		t.Fatal("no verdict through the plugin")
		return sdk.Verdict{}
	}
}

// The settings that make old servers reachable are those of a main package, and Go drops
// such settings from time to time.
func TestGodebug(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.DefaultGODEBUG}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tlssha1=1", "x509negativeserial=1"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is not among the binary's settings: %s", want, out)
		}
	}
}

func TestDescribe(t *testing.T) {
	info, err := newCheck().Checker().Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, s := range info.Services {
		ports = append(ports, fmt.Sprintf("%s:%d/%s", s.Name, s.Port, s.Network))
	}
	if got := strings.Join(ports, " "); got != "http:80/tcp https:443/tcp http_proxy:3128/tcp" || !info.IPv6 {
		t.Errorf("services %s, IPv6 %v", got, info.IPv6)
	}
}
