package monitor

import (
	"context"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// echo is a Runner that answers Up to every batch at once.
type echo struct{ out chan []sdk.Result }

func (echo) Register(uint64, sdk.Target, sdk.Options) {}
func (echo) Forget(uint64)                            {}
func (e echo) Results() <-chan []sdk.Result           { return e.out }
func (e echo) Start(due []sdk.Due) {
	batch := make([]sdk.Result, len(due))
	for i, d := range due {
		batch[i] = sdk.Result{ID: d.ID, Verdict: sdk.Up()}
	}
	go func() { e.out <- batch }() // the monitor reads until it is closed
}

// BenchmarkSchedule runs 10,000 checks at 1 s for two seconds of real time per
// iteration, and reports the CPU of 1,000 starts and the memory of a check.
func BenchmarkSchedule(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := New(Options{Runner: func(string, string) (Runner, error) {
		return echo{make(chan []sdk.Result)}, nil
	}})
	m.Set(checks(10000, time.Second))
	go func() { // ends with Close
		for range m.Observations() {
		}
	}()
	time.Sleep(1200 * time.Millisecond) // all registered
	runtime.GC()
	runtime.ReadMemStats(&after)
	started, cpu := m.Stats().Started, cpuTime()
	for b.Loop() {
		time.Sleep(2 * time.Second)
	}
	n := float64(m.Stats().Started-started) / 1000
	b.ReportMetric((cpuTime()-cpu).Seconds()*1000/n, "cpu-ms/1000starts")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10000, "heap-B/check")
	b.ReportMetric(float64(m.Stats().Late+m.Stats().Overrun+m.Stats().Held), "skipped")
	if err := m.Close(context.Background()); err != nil {
		b.Error(err)
	}
}

// cpuTime is the user and system time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
