package plugin

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// BenchmarkBoundary is what the process boundary alone costs: an operation is one probe
// that does nothing, and cpu-us is the processor time of both sides, in microseconds an
// operation. stream: batches of 100, as a director's tick brings them; singly: batches of 1; call: one
// call per probe; process: no boundary.
func BenchmarkBoundary(b *testing.B) {
	b.Run("process", func(b *testing.B) {
		prep, ok := good.Checker().(sdk.Preparer)
		if !ok {
			b.Fatal("not a Preparer")
		}
		probe, err := prep.Prepare("good", nil)
		if err != nil {
			b.Fatal(err)
		}
		measure(b, 0, func() {
			var all sync.WaitGroup
			for range b.N {
				all.Go(func() { probe(b.Context(), target("good")) })
			}
			all.Wait()
		})
	})
	b.Run("call", func(b *testing.B) {
		p, _ := newPool(b, nil)
		p.Probe(b.Context(), target("good"), nil)
		measure(b, p.Status()[0].PID, func() {
			for range b.N {
				p.Probe(b.Context(), target("good"), nil)
			}
		})
	})
	b.Run("stream", func(b *testing.B) { benchmarkStream(b, 100) })
	b.Run("singly", func(b *testing.B) { benchmarkStream(b, 1) })
}

func benchmarkStream(b *testing.B, batch int) {
	p, _ := newPool(b, nil)
	r := runner(b, p, "good")
	ids := make([]uint64, batch)
	for i := range ids {
		ids[i] = uint64(i + 1)
		r.Register(ids[i], target("good"), nil)
	}
	r.Start(due(time.Minute, ids...))
	collect(b, r, batch)
	all := due(time.Minute, ids...)
	measure(b, p.Status()[0].PID, func() {
		for n := 0; n < b.N; n += batch {
			r.Start(all)
			for got := 0; got < batch; {
				got += len(<-r.Results())
			}
		}
	})
}

// measure runs f and reports the processor time of this process and of pid.
func measure(b *testing.B, pid int, f func()) {
	before := cpu(b, pid)
	b.ResetTimer()
	f()
	b.StopTimer()
	b.ReportMetric(float64((cpu(b, pid)-before).Microseconds())/float64(b.N), "cpu-us")
}

// cpu is the processor time of this process and of pid, if that is not 0, so far.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	if pid == 0 {
		return used
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	for _, f := range fields[11:13] { // utime and stime, in ticks of 10 ms (proc_pid_stat(5))
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		used += time.Duration(ticks) * 10 * time.Millisecond
	}
	return used
}
