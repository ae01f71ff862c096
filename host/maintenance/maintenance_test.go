package maintenance

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
)

var (
	four = netip.MustParseAddr("192.0.2.7")
	six  = netip.MustParseAddr("2001:db8::7")
)

func TestParse(t *testing.T) {
	for file, want := range map[string]Mark{
		"192.0.2.7":          {Addr: four, AnyPort: true},
		"192.0.2.7:80":       {Addr: four, Port: 80},
		"[2001:db8::7]":      {Addr: six, AnyPort: true},
		"[2001:db8::7]:80":   {Addr: six, Port: 80},
		"2001:db8::7":        {Addr: six, AnyPort: true},
		"::ffff:192.0.2.7":   {Addr: four, AnyPort: true},
		"web.Example.com.":   {Host: "web.example.com", AnyPort: true},
		"web.example.com:80": {Host: "web.example.com", Port: 80},
		"web":                {Host: "web", AnyPort: true},
		"web:443":            {Host: "web", Port: 443},
		"192.0.2.7:0":        {Addr: four},
	} {
		want.File = file
		if got, ok := Parse(file); !ok || got != want {
			t.Errorf("%s: %+v, %v, want %+v", file, got, ok, want)
		}
	}
	for _, file := range []string{"", ".new-1", ".192.0.2.7", "web:http", "web:65536", "web:", ":80", strings.Repeat("a", 256)} {
		if got, ok := Parse(file); ok {
			t.Errorf("%q is taken for %+v", file, got)
		}
	}
}

func touch(t *testing.T, dir, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "web", "kernel update  \nby root\n")
	touch(t, dir, "192.0.2.7", "")
	touch(t, dir, ".192.0.2.8", "hidden")
	touch(t, dir, "long", strings.Repeat("x", 1000))
	touch(t, dir, "wide", strings.Repeat("ü", MaxReason/2-1)+"xü") // no half of the last letter
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	marks, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range marks {
		if m.Since.IsZero() {
			t.Errorf("%s: no time", m.File)
		}
		got = append(got, m.Text())
	}
	// Whatever the file is, it is there. Only what a regular one says is a reason.
	want := []string{
		"192.0.2.7", "folder", "link", "long: " + strings.Repeat("x", MaxReason), "pipe", "web: kernel update",
		"wide: " + strings.Repeat("ü", MaxReason/2-1) + "x",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := Read(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func TestPutAndRemove(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(Put(dir, "[2001:db8::7]:80", ""), Put(dir, "web", "one"), Put(dir, "web", "two")); err != nil {
		t.Fatal(err)
	}
	marks, err := Read(dir)
	if err != nil || len(marks) != 2 || marks[0].Text() != "[2001:db8::7]:80" || marks[1].Text() != "web: two" {
		t.Errorf("%+v, %v", marks, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := Remove(dir, "web"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"../web", ".web", "a/b"} {
		if Put(dir, bad, "") == nil || Remove(dir, bad) == nil {
			t.Errorf("%q is taken for a mark", bad)
		}
	}
	if err := Put(filepath.Join(dir, "nowhere"), "web", ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// nameserver answers after a while, and counts.
type nameserver struct {
	mu      sync.Mutex // guards hosts
	hosts   map[string][]string
	after   time.Duration
	asked   atomic.Int32
	atOnce  atomic.Int32
	highest atomic.Int32
}

func (n *nameserver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	n.asked.Add(1)
	n.highest.Store(max(n.highest.Load(), n.atOnce.Add(1)))
	defer n.atOnce.Add(-1)
	select {
	case <-time.After(n.after):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts[addr] == nil {
		return nil, errors.New("no name")
	}
	return n.hosts[addr], nil
}

// rename gives 192.0.2.7 another name, "" for none.
func (n *nameserver) rename(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts = map[string][]string{}
	if host != "" {
		n.hosts["192.0.2.7"] = []string{host}
	}
}

// world is a Watcher in a bubble.
type world struct {
	*testing.T
	dir   string
	names *nameserver

	mu    sync.Mutex // guards what follows
	asked Asked
	now   state.Maintenance
	set   int
	busy  int // how many more times nobody is there to be told
	log   bytes.Buffer

	list func(string) ([]Mark, error) // the watcher's; nil: the real one
}

// Write is the log's.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// ask has something else watched.
func (w *world) ask(a Asked) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = a
}

func (w *world) read() (now state.Maintenance, set int, log string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now, w.set, w.log.String()
}

func inBubble(t *testing.T, names *nameserver, before func(w *world), f func(w *world)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, dir: dir, names: names}
		w.asked = Asked{Dir: dir, Names: map[netip.Addr][]string{four: {"www.Example.net"}, six: nil}}
		if before != nil {
			before(w)
		}
		ctx, cancel := context.WithCancel(t.Context())
		watcher := &Watcher{
			Asked: func() Asked {
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.asked
			},
			Set: func(m state.Maintenance) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.set++
				if w.busy > 0 {
					w.busy--
					return errors.New("busy")
				}
				w.now = m
				return nil
			},
			list:     w.list,
			Resolver: names, Log: slog.New(slog.NewTextHandler(w, nil)),
		}
		w.now = watcher.First(ctx)
		done := make(chan struct{})
		go func() { // waited for below
			defer close(done)
			watcher.Run(ctx)
		}()
		f(w)
		cancel()
		<-done
	})
}

// want waits for the longest time that a file may take to act.
func (w *world) want(places ...string) {
	w.Helper()
	time.Sleep(time.Second)
	synctest.Wait()
	var got []string
	now, _, _ := w.read()
	for p, text := range now {
		where := netip.AddrPortFrom(p.Addr, p.Port).String()
		if p.AnyPort {
			where = p.Addr.String()
		}
		got = append(got, where+"="+text)
	}
	slices.Sort(got)
	slices.Sort(places)
	if !slices.Equal(got, places) {
		w.Errorf("in maintenance: %q, want %q", got, places)
	}
}

func TestWatcher(t *testing.T) {
	names := &nameserver{hosts: map[string][]string{"192.0.2.7": {"Web.example.com."}, "2001:db8::7": {"six.example.org.", "alias."}}}
	inBubble(t, names, nil, func(w *world) {
		w.want()
		// The six forms, both families.
		for file, place := range map[string]string{
			"192.0.2.7": "192.0.2.7", "192.0.2.7:80": "192.0.2.7:80", "[2001:db8::7]": "2001:db8::7", "[2001:db8::7]:80": "[2001:db8::7]:80",
			"web.example.com": "192.0.2.7", "WEB.EXAMPLE.COM:80": "192.0.2.7:80", "web": "192.0.2.7", "web:80": "192.0.2.7:80",
			"six.example.org:80": "[2001:db8::7]:80", "six": "2001:db8::7", "alias": "2001:db8::7",
			"www.example.net": "192.0.2.7", // the configuration's own name
		} {
			touch(w.T, w.dir, file, "why\n")
			w.want(place + "=" + file + ": why")
			if err := os.Remove(filepath.Join(w.dir, file)); err != nil {
				w.Fatal(err)
			}
			w.want()
		}
		touch(w.T, w.dir, "www", "the first label of the configuration's name is nobody's")
		touch(w.T, w.dir, "stranger", "")
		w.want()
		_, set, _ := w.read()
		time.Sleep(time.Minute)
		if _, after, _ := w.read(); after != set {
			w.Errorf("told %d times that nothing changed", after-set)
		}
		if n := w.names.asked.Load(); n != 2 {
			w.Errorf("asked the nameserver %d times for 2 addresses", n)
		}
	})
}

func TestADirectoryThatIsLostChangesNothing(t *testing.T) {
	inBubble(t, &nameserver{}, nil, func(w *world) {
		touch(w.T, w.dir, "192.0.2.7", "")
		w.want("192.0.2.7=192.0.2.7")
		w.ask(Asked{Dir: filepath.Join(w.dir, "nowhere")})
		w.want("192.0.2.7=192.0.2.7")
		_, _, log := w.read()
		if n := strings.Count(log, "maintenance stays as it is"); n != 1 {
			w.Errorf("told %d times:\n%s", n, log)
		}
		w.ask(Asked{}) // the directive is gone
		w.want()
	})
}

func TestNamesAtTheStart(t *testing.T) {
	names := &nameserver{hosts: map[string][]string{"192.0.2.7": {"web."}}, after: 2 * time.Second}
	inBubble(t, names, func(w *world) { touch(w.T, w.dir, "web", "") }, func(w *world) {
		if now, _, _ := w.read(); len(now) != 1 {
			w.Errorf("at the start: %v", now)
		}
	})
	// A nameserver that does not answer delays a start by no more than firstLimit.
	names = &nameserver{after: time.Hour}
	var began time.Time
	inBubble(t, names, func(w *world) { began = time.Now(); touch(w.T, w.dir, "web", "") }, func(w *world) {
		if took := time.Since(began); took != firstLimit {
			w.Errorf("the start took %v", took)
		}
	})
	// Without a file that names a host nothing is waited for.
	inBubble(t, names, func(w *world) { began = time.Now(); touch(w.T, w.dir, "192.0.2.7", "") }, func(w *world) {
		if now, _, _ := w.read(); time.Since(began) != 0 || len(now) != 1 {
			w.Errorf("the start took %v: %v", time.Since(began), now)
		}
	})
}

// A name that can no longer be found stays what it was; an address that was none of ours is not asked about.
func TestNamesComeAndGo(t *testing.T) {
	names := &nameserver{hosts: map[string][]string{"192.0.2.7": {"web."}}}
	inBubble(t, names, nil, func(w *world) {
		touch(w.T, w.dir, "web", "")
		w.want("192.0.2.7=web")
		names.rename("")
		time.Sleep(2 * refreshAfter)
		w.want("192.0.2.7=web")
		names.rename("other.")
		time.Sleep(retryAfter)
		w.want()
		names.rename("web.")
		time.Sleep(refreshAfter)
		w.want("192.0.2.7=web")
		w.ask(Asked{Dir: w.dir})
		w.want()
	})
}

func TestLookupsAreBounded(t *testing.T) {
	names := &nameserver{after: time.Second}
	inBubble(t, names, func(w *world) {
		for i := range 100 {
			w.asked.Names[netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})] = nil
		}
	}, func(w *world) {
		time.Sleep(20 * time.Second)
		if got, most := names.asked.Load(), names.highest.Load(); got < 100 || most != lookupsAtOne {
			w.Errorf("asked %d times, %d at once", got, most)
		}
	})
}

// A file system whose server is gone delays a start and an end by a few seconds at most, and status says so.
func TestADirectoryThatHangs(t *testing.T) {
	gate := make(chan struct{})
	inBubble(t, &nameserver{}, func(w *world) {
		touch(w.T, w.dir, "192.0.2.7", "")
		again := make(chan struct{})
		gate = again
		w.list = func(dir string) ([]Mark, error) { <-again; return list(dir) }
	}, func(w *world) {
		w.want()
		if _, _, log := w.read(); strings.Count(log, "has not answered") != 1 {
			w.Errorf("log:\n%s", log)
		}
		close(gate)
		w.want("192.0.2.7=192.0.2.7")
	})
	inBubble(t, &nameserver{}, func(w *world) {
		never := make(chan struct{})
		w.list = func(string) ([]Mark, error) { <-never; return nil, nil }
		w.Cleanup(func() { close(never) })
	}, func(w *world) { w.want() })
}

// Whom nobody could be told of is told of again.
func TestNobodyListens(t *testing.T) {
	inBubble(t, &nameserver{}, func(w *world) { w.busy = 1 }, func(w *world) {
		touch(w.T, w.dir, "192.0.2.7", "")
		time.Sleep(time.Second)
		w.want("192.0.2.7=192.0.2.7")
	})
}

// Marks of servers that are to come count, and cost nothing but their names.
func TestMarksOfNobodyYet(t *testing.T) {
	inBubble(t, &nameserver{}, nil, func(w *world) {
		touch(w.T, w.dir, "192.0.2.8", "later")
		w.want("192.0.2.8=192.0.2.8")
		w.ask(Asked{Dir: w.dir, Names: map[netip.Addr][]string{netip.MustParseAddr("192.0.2.8"): nil}})
		w.want("192.0.2.8=192.0.2.8: later")
	})
}
