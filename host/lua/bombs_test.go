package lua_test

import (
	"regexp"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/sdk"
)

// scripts are those of an archive, and of each what has to come of it.
type wanted struct {
	name, script string
	statuses     string
	quick        bool
	reason       *regexp.Regexp
}

var firstLine = regexp.MustCompile(`^-- ([a-z|]+)( quick)?(?:: (.*))?$`)

func scripts(t *testing.T, path string) []wanted {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []wanted
	for _, f := range archive.Files {
		line, _, _ := strings.Cut(string(f.Data), "\n")
		m := firstLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%s: %s: its first line says nothing of what is wanted", path, f.Name)
		}
		out = append(out, wanted{f.Name, string(f.Data), m[1], m[2] != "", regexp.MustCompile(m[3])})
	}
	return out
}

// growth is by how much the heap may grow, whatever scripts do.
const growth = 128 << 20

func TestBombs(t *testing.T) {
	c := lua.New(lua.Options{})
	for _, w := range scripts(t, "testdata/bombs.txtar") {
		t.Run(w.name, func(t *testing.T) {
			about := watch(t, c)
			timeout := 300 * time.Millisecond
			if w.quick {
				timeout = 15 * time.Second // far more than it takes
			}
			began := time.Now()
			v := run(t, c, w.script, timeout)
			took := time.Since(began)
			about.stop()
			if !strings.Contains(w.statuses, v.Status.String()) || !w.reason.MatchString(v.Reason) {
				t.Errorf("got %v %q after %v, want %s %q", v.Status, v.Reason, took, w.statuses, w.reason)
			}
			if took > timeout+time.Second || w.quick && took > timeout-time.Second {
				t.Errorf("it took %v", took)
			}
			if about.heap > growth {
				t.Errorf("the heap grew by %d MiB", about.heap>>20)
			}
			if about.late > time.Second || about.runs == 0 {
				t.Errorf("another check took %v, of %d", about.late, about.runs)
			}
			if len(v.Reason) > 1024 || len(v.Transcript) > 8192 {
				t.Errorf("a reason of %d bytes, a transcript of %d", len(v.Reason), len(v.Transcript))
			}
		})
	}
}

// bystander is another check that is run again and again, and who looks at the heap.
type bystander struct {
	heap uint64        // most that it grew
	late time.Duration // the longest run
	runs int
	done chan struct{}
	wait sync.WaitGroup
}

func watch(t *testing.T, c sdk.Checker) *bystander {
	runtime.GC()
	b := &bystander{done: make(chan struct{})}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	start := sample[0].Value.Uint64()
	b.every(2*time.Millisecond, func() {
		metrics.Read(sample)
		if now := sample[0].Value.Uint64(); now > start {
			b.heap = max(b.heap, now-start)
		}
	})
	b.every(10*time.Millisecond, func() {
		began := time.Now()
		v := run(t, c, `local t = {} for i = 1, 10 do t[i] = i .. "" end return table.concat(t) == "12345678910"`, 5*time.Second)
		if v.Status != sdk.StatusUp {
			t.Errorf("another check: %+v", v)
		}
		b.late, b.runs = max(b.late, time.Since(began)), b.runs+1
	})
	return b
}

func (b *bystander) every(d time.Duration, f func()) {
	b.wait.Go(func() {
		for {
			f()
			select {
			case <-b.done:
				return
			case <-time.After(d):
			}
		}
	})
}

func (b *bystander) stop() {
	close(b.done)
	b.wait.Wait()
}
