package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/daemon"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/host/store"
)

// newDirector makes a director for a configuration, with a table in memory and files of its own.
func newDirector(t *testing.T, text string) *director {
	t.Helper()
	dir, err := os.MkdirTemp("", "director") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &director{
		paths: daemon.Paths{
			Instance: "test.cf", PidFile: filepath.Join(dir, "pid"), RunDir: dir, Socket: filepath.Join(dir, "sock"),
			Lock: filepath.Join(dir, "lock"), Plugins: filepath.Join(dir, "plugins"), State: filepath.Join(dir, "state"),
		},
		path: filepath.Join(dir, "test.cf"), dryRun: true, began: time.Now(), log: slog.New(slog.DiscardHandler),
	}
	d.kinds = newKinds(d.paths.Plugins, d.log)
	d.write(t, text)
	return d
}

func (d *director) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(d.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run starts d; the test's end stops it.
func (d *director) run(t *testing.T) {
	t.Helper()
	cfg, err := d.readFirst(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.open(); err != nil {
		t.Fatal(err)
	}
	if err := d.begin(t.Context(), cfg, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.end() })
}

// held is what a process has of its machine.
type held struct {
	goroutines, descriptors int
	heap                    uint64
}

func holds(t *testing.T) held {
	t.Helper()
	runtime.GC()
	runtime.GC()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return held{runtime.NumGoroutine(), len(fds), m.HeapAlloc}
}

// Reloads that change everything leave nothing behind, each time: those that succeed, fail or are given up.
func TestAThousandReloadsLeakNothing(t *testing.T) {
	section := func(head string, servers int, tail string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "checkinterval = 600\nquiescent = yes\n%s\nvirtual = 10.0.0.1:80\n\tprotocol = tcp\n", head)
		for i := range servers {
			fmt.Fprintf(&b, "\treal = 127.0.0.%d:9 masq\n", 1+i)
		}
		return b.String() + tail
	}
	texts := []string{
		section("", 20, "\tchecktype = connect\n"),
		section("failurecount = 3", 3, "\tchecktype = external\n\tcheckcommand = /bin/true\n\tscheduler = rr\n"),
		section("fallback = 127.0.0.1:80", 10, "\tchecktype = ping\n"),
		section("", 5, "\tchecktype = external-lua\n\tcheckcommand = /nowhere.lua\n"),
		section("", 1, "\tchecktype = wrong\n"),
	}
	d := newDirector(t, texts[0])
	d.run(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	succeeded := 0
	round := func(n int) {
		for i := range n {
			d.write(t, texts[i%len(texts)])
			ctx := t.Context()
			if i%11 == 0 {
				ctx = gone
			}
			if d.Reload(ctx) == nil {
				succeeded++
			}
		}
		d.write(t, texts[0])
		if err := d.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	round(100)
	before := holds(t)
	round(1000)
	if succeeded < 500 {
		t.Fatalf("only %d reloads succeeded", succeeded)
	}
	var after held
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		after = holds(t)
		if after.goroutines <= before.goroutines+5 && after.descriptors <= before.descriptors+3 && after.heap <= before.heap+1<<19 {
			return
		}
		if time.Now().After(end) {
			break
		}
	}
	t.Errorf("before %+v, after a thousand reloads %+v", before, after)
}

// What a state file of statedir remembers counts at once, and what resolves now is not forgotten for it.
func TestStatedirAndNames(t *testing.T) {
	dir := t.TempDir()
	d := newDirector(t, fmt.Sprintf("statedir = %s\nvirtual = localhost:80\n\treal = 10.0.0.2:80 masq\n\tchecktype = on\n", dir))
	cfg, err := d.readFirst(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Services[0].Unresolved || len(d.loader.Last) != 1 {
		t.Errorf("without a state file: last addresses %v, want that of localhost", d.loader.Last)
	}
	names := map[string]netip.Addr{"ip4 localhost": netip.MustParseAddr("127.0.0.1")}
	if err := store.Save(filepath.Join(dir, "state"), store.Content{Memory: state.Memory{}, Names: names}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err = d.readFirst(t.Context()); err != nil || d.loader.Last["ip4 localhost"] != names["ip4 localhost"] {
		t.Errorf("with one: %v, %v", d.loader.Last, err)
	}
}

// A reload that changes nothing does not change what names were, either.
func TestAFailedReloadKeepsTheLastAddresses(t *testing.T) {
	const good = "virtual = localhost:80\n\treal = 10.0.0.2:80 masq\n\tchecktype = on\n"
	d := newDirector(t, good)
	d.run(t)
	// What is wrong with it is found out after the names.
	d.write(t, "webhook = nonsense\nvirtual = 10.0.0.1:80\n\treal = 10.0.0.2:80 masq\n\tchecktype = on\n")
	if err := d.Reload(t.Context()); err == nil {
		t.Fatal("a reload of a configuration with errors succeeded")
	}
	if len(d.loader.Last) != 1 {
		t.Errorf("last addresses %v, want that of localhost", d.loader.Last)
	}
	d.write(t, good)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Reload(gone); err == nil || len(d.loader.Last) != 1 {
		t.Errorf("given up: %v, last addresses %v", err, d.loader.Last)
	}
}

// counter is a log that counts lines with one of some texts.
type counter struct {
	slog.Handler
	texts []string
	n     atomic.Int32
}

func (c *counter) Enabled(context.Context, slog.Level) bool { return true }

func (c *counter) Handle(_ context.Context, r slog.Record) error {
	if slices.Contains(c.texts, r.Message) {
		c.n.Add(1)
	}
	return nil
}

// However many HUPs come while one reload runs, one more follows.
func TestManyHangupsAreOneReloadMore(t *testing.T) {
	d := newDirector(t, "virtual = 10.0.0.1:80\n\treal = 10.0.0.2:80 masq\n\tchecktype = on\n")
	done := &counter{Handler: slog.DiscardHandler, texts: []string{"Reloaded configuration", "reload changed nothing"}}
	d.log = slog.New(done)
	d.run(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	s := &signals{ctx: ctx, reload: make(chan struct{}, 1)}
	var ended sync.WaitGroup
	ended.Go(func() { d.wait(s) })
	d.reloading.Lock()
	for range 1000 {
		s.take(syscall.SIGHUP, cancel)
		runtime.Gosched()
	}
	d.reloading.Unlock()
	for done.n.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	s.take(syscall.SIGTERM, cancel)
	ended.Wait()
	if n := done.n.Load(); n > 2 {
		t.Errorf("a thousand signals made %d reloads, want 2", n)
	}
}
