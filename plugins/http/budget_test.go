package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/client"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// crowd is a server that answers with a body of size bytes, the last of them "END", but finishes no answer
// before it has begun that many.
func crowd(t *testing.T, size, answers int) sdk.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	half := bytes.Repeat([]byte("x"), size/2-3)
	var each sync.WaitGroup
	var begun atomic.Int64
	all, over := make(chan struct{}), make(chan struct{})
	each.Go(func() {
		for range answers {
			c, err := l.Accept()
			if err != nil {
				return
			}
			each.Go(func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 4<<10))
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n\r\n") // a probe that fails says so
				if begun.Add(1) == int64(answers) {
					close(all)
				}
				_, _ = c.Write(half)
				select {
				case <-all:
				case <-over:
					return
				}
				_, _ = c.Write(half)
				_, _ = io.WriteString(c, "END")
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(over)
		each.Wait()
	})
	return sdk.Target{Service: "http", Addr: netip.MustParseAddrPort(l.Addr().String()), Network: "tcp"}
}

// More large answers at once than there is room for: they wait for one another, and all are read.
func TestLargeAnswersShareABudget(t *testing.T) {
	const answers, size = 40, 500 << 10
	check := newCheckWithin(probe.NewBudget(1 << 20)).Checker()
	at := crowd(t, size, answers)
	var each sync.WaitGroup
	for range answers {
		each.Go(func() {
			v := within(t, check, 30*time.Second, at, sdk.Options{"receive": "END$"})
			if v.Status != sdk.StatusUp {
				t.Errorf("%v %s %s", v.Status, v.Code, v.Reason)
			}
		})
	}
	each.Wait()
}

// Who finds no room in his time cannot tell, whatever the server does.
func TestNoRoomIsUnknown(t *testing.T) {
	budget := probe.NewBudget(1 << 10)
	check := newCheckWithin(budget).Checker()
	other := budget.Share()
	for range 2 {
		if err := other.Grow(t.Context(), 1<<10); err != nil {
			t.Fatal(err)
		}
	}
	v := within(t, check, 100*time.Millisecond, crowd(t, 100<<10, 1), nil)
	if v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "no room for its answer") {
		t.Errorf("%v %s %s", v.Status, v.Code, v.Reason)
	}
	if v := within(t, check, 10*time.Second, crowd(t, 1000, 1), nil); v.Status != sdk.StatusUp {
		t.Errorf("a short answer needs no room: %v %s %s", v.Status, v.Code, v.Reason)
	}
	other.Release()
	if v := within(t, check, 10*time.Second, crowd(t, 100<<10, 1), nil); v.Status != sdk.StatusUp {
		t.Errorf("%v %s %s", v.Status, v.Code, v.Reason)
	}
}

func within(t *testing.T, c sdk.Checker, limit time.Duration, at sdk.Target, o sdk.Options) sdk.Verdict {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return c.Probe(ctx, at, o)
}

// A process stays small whatever servers send it: 600 MB at once here.
func TestLargeAnswersStayWithinMemory(t *testing.T) {
	const answers, size, most = 150, 4 << 20, 320 << 20
	// The plugin as it is shipped: the race detector in a test binary takes memory of its own.
	exe := filepath.Join(t.TempDir(), "ldirectord-check-http")
	build := exec.Command("go", "build", "-o", exe, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{"GOMEMLIMIT=256MiB", "GOMAXPROCS=2"} // as the director does
	plugin, err := client.Open(t.Context(), client.Launch{Cmd: cmd})
	if err != nil {
		t.Fatal(err)
	}
	defer plugin.Close()
	at := crowd(t, size, answers)
	var each sync.WaitGroup
	for range answers {
		each.Go(func() {
			o := sdk.Options{"receive": "END$", "max-body": strconv.Itoa(size)}
			if v := within(t, plugin, time.Minute, at, o); v.Status != sdk.StatusUp {
				t.Errorf("%v %s %s", v.Status, v.Code, v.Reason)
			}
		})
	}
	each.Wait()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", plugin.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(peak)[0])
	if err != nil || kib<<10 > most {
		t.Errorf("it took %d KiB, %v", kib, err)
	}
	t.Logf("%d answers of %d bytes at once: %d KiB", answers, size, kib)
}
