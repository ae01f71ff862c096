package plugin

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// listen shakes hands as a plugin in a language without TLS and listens.
func listen() net.Listener {
	socket := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("1|1|unix|%s|grpc|\n", socket)
	return l
}

// serveGarbage sends whoever connects what is no HTTP/2, without end.
func serveGarbage() {
	l := listen()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			for _, err := c.Write([]byte("\x00\xff\xffgarbage")); err == nil; _, err = c.Write(make([]byte, 1<<16)) {
			}
		}()
	}
}

// serveGigabyte is well-behaved until its stream is opened: there it sends a message of 1 GiB, which it never
// has in memory itself.
func serveGigabyte() {
	frame := func(w http.ResponseWriter, m []byte) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		head := []byte{0, 0, 0, 0, byte(len(m))} // all are short
		_, _ = w.Write(append(head, m...))       // the host is gone when this fails
		w.Header().Set("Grpc-Status", "0")
	}
	description, err := proto.Marshal(&checkv1.DescribeResponse{
		Name: "gigabyte", Services: []*checkv1.Service{{Name: "gigabyte"}},
	})
	if err != nil {
		os.Exit(1)
	}
	s := http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/Check") && strings.Contains(r.URL.Path, "Health"):
			frame(w, []byte{8, 1}) // SERVING
		case strings.HasSuffix(r.URL.Path, "/Describe"):
			frame(w, description)
		case strings.HasSuffix(r.URL.Path, "/Run"):
			w.Header().Set("Content-Type", "application/grpc")
			_, err := w.Write([]byte{0, 0x40, 0, 0, 0})
			for chunk := make([]byte, 1<<20); err == nil; _, err = w.Write(chunk) {
			}
		default:
			_, _ = io.Copy(io.Discard, r.Body)
		}
	})}
	s.Protocols.SetUnencryptedHTTP2(true)
	_ = s.Serve(listen())
}

// flood writes 64 MiB to each of the process's own standard output and error, in one line.
func flood() sdk.Verdict {
	chunk := []byte(strings.Repeat("flood ", 64<<10/6))
	for range 1 << 10 {
		for fd := 1; fd <= 2; fd++ {
			for rest := chunk; len(rest) > 0; {
				n, err := syscall.Write(fd, rest)
				if err != nil {
					return sdk.Unknown("%v", err)
				}
				rest = rest[n:]
			}
		}
	}
	return sdk.Up()
}

// grown is how much more memory than before this process has obtained, in bytes.
func grown(before runtime.MemStats) uint64 {
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return now.Sys - before.Sys
}

// Whatever comes over the socket, the plugin is out of service with a reason, the daemon stays small,
// and the other plugins do not notice.
func TestHostileStreams(t *testing.T) {
	for service, says := range map[string]string{
		"garbage":  "it does not speak gRPC",
		"gigabyte": "over 4 MiB",
		"hello":    "Unrecognized remote plugin message",
		"future":   "Plugin version: 2",
	} {
		t.Run(service, func(t *testing.T) {
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			p, _ := newPool(t, func(o *Options) { o.timing.first, o.timing.longest = time.Hour, time.Hour })
			bad, honest := runner(t, p, service), runner(t, p, "good")
			honest.Register(1, target("good"), nil)
			bad.Register(1, target(service), nil)
			bad.Start(due(15*time.Second, 1))
			v := collect(t, bad, 1)[1]
			path := filepath.Join(plugins, prefix+service)
			if v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, says) || !strings.Contains(v.Reason, path) {
				t.Errorf("%+v", v)
			}
			honest.Start(due(5*time.Second, 1))
			if v := collect(t, honest, 1)[1]; !isUp(v) {
				t.Errorf("the others do not notice: %+v", v)
			}
			if n := grown(before); n > 64<<20 {
				t.Errorf("the daemon grew by %d bytes", n)
			}
		})
	}
}

// A flood of output ends in neither log nor memory, and blocks nobody.
func TestFloodOfOutput(t *testing.T) {
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	p, log := newPool(t, nil)
	r := runner(t, p, "good")
	r.Register(1, target("good"), sdk.Options{"act": "flood"})
	r.Start(due(20*time.Second, 1))
	if v := collect(t, r, 1)[1]; !isUp(v) {
		t.Errorf("%+v", v)
	}
	if n := grown(before); n > 64<<20 {
		t.Errorf("the daemon grew by %d bytes", n)
	}
	if n := len(log.String()); n > 1<<20 {
		t.Errorf("%d bytes in the log", n)
	}
}

// fork = yes: two keys are two processes of one binary. One that dies takes nothing of the other along.
func TestPoolKeysAreApart(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, nil)
	a, errA := p.Runner("good", "a")
	b, errB := p.Runner("good", "b")
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	for _, r := range []*Runner{a, b} {
		r.Register(1, target("good"), nil)
		r.Start(due(5*time.Second, 1))
		if v := collect(t, r, 1)[1]; !isUp(v) {
			t.Fatalf("%+v", v)
		}
	}
	before := p.Status()
	if len(before) != 2 || before[0].Pool != "a" || before[1].Pool != "b" || before[0].PID == before[1].PID {
		t.Fatalf("%+v", before)
	}
	a.Register(2, target("good"), sdk.Options{"act": "die"})
	b.Register(2, target("good"), sdk.Options{"act": "wait"})
	b.Start(due(2*time.Second, 2))
	a.Start(due(5*time.Second, 2))
	if v := collect(t, a, 1)[2]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "it died") {
		t.Errorf("%+v", v)
	}
	if v := collect(t, b, 1)[2]; v.Reason != "waited" {
		t.Errorf("the other's probe in flight: %+v", v)
	}
	until(t, a, 1, isUp)
	after := p.Status()
	if after[0].PID == before[0].PID || after[0].Restarts != 1 {
		t.Errorf("who died was started again: %+v", after[0])
	}
	if after[1].PID != before[1].PID || after[1].Restarts != 0 {
		t.Errorf("the other lives on: %+v", after[1])
	}
}
