package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a checker may take to visit every server for the first time, and how long it then
// runs on before it is measured.
const (
	startLimit = 30 * time.Second
	warmUp     = 2 * time.Second
)

// block is a set of checkers that are compared with each other: same place, same rate.
type block struct {
	Name     string
	Guest    bool // in the user-mode kernel
	Servers  int  // each checked once a second
	Rounds   int
	Seconds  int // of a window
	Checkers []string
}

// window is what was seen of one checker in one round: a raw line.
type window struct {
	Block   string  `json:"block"`
	Round   int     `json:"round"`
	Checker string  `json:"checker"`
	Demand  int     `json:"demand_per_s"`
	Begin   bool    `json:"begin,omitempty"` // the window begins now: nothing has been seen yet
	Error   string  `json:"error,omitempty"`
	Rate    float64 `json:"rate_per_s"`
	CPU     float64 `json:"cpu_ms_per_1000"` // user and system, all processes of the checker
	P99     float64 `json:"interval_p99_ms"`
	Max     float64 `json:"interval_max_ms"`
	PSS     int64   `json:"pss_bytes"`
	RSS     int64   `json:"rss_bytes"`
	Procs   int     `json:"processes"`
	Others  float64 `json:"others_cores"` // what the machine did beside us
}

// measureBlock runs the rounds of a block and prints a line when a window begins and when it
// ends. The network is ours alone.
func measureBlock(b block, p place) error {
	f, err := newFarm(b.Servers)
	if err != nil {
		return err
	}
	raise()
	out := json.NewEncoder(os.Stdout)
	for round := range b.Rounds {
		for i := range b.Checkers {
			// Another order in each round, so that none always follows the same one.
			name := b.Checkers[(i+round)%len(b.Checkers)]
			c, err := checkerNamed(name)
			if err != nil {
				return err
			}
			w := window{Block: b.Name, Round: round + 1, Checker: name, Demand: b.Servers}
			begin := func() error { w.Begin = true; return out.Encode(w) }
			if err := measure(f, c, p, b, begin, &w); err != nil {
				w.Error = err.Error()
			}
			w.Begin = false
			if err := out.Encode(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure runs one checker, and fills w when it has settled.
func measure(f *farm, c checker, p place, b block, begin func() error, w *window) error {
	f.expect(b.Servers)
	cmd, err := c.start(p, b.Servers)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer end(cmd.Process, ended)
	if err := settle(f, c, p, ended); err != nil {
		return err
	}
	if err := begin(); err != nil {
		return err
	}
	before, began := usageOf(cmd.Process.Pid), time.Now()
	f.begin()
	select {
	case err := <-ended:
		ended <- err
		return fmt.Errorf("ended early: %v: %s", err, tail(p, c))
	case <-time.After(time.Duration(b.Seconds) * time.Second):
	}
	seen := f.end()
	after, took := usageOf(cmd.Process.Pid), time.Since(began)
	w.Rate = float64(seen.count) / took.Seconds()
	w.P99, w.Max = milliseconds(seen.p99), milliseconds(seen.max)
	if seen.count > 0 {
		w.CPU = milliseconds(after.cpu-before.cpu) / float64(seen.count) * 1000
	}
	w.PSS, w.RSS, w.Procs = after.pss, after.rss, after.count
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// settle waits until every server has been visited, and then for the warm-up.
func settle(f *farm, c checker, p place, ended chan error) error {
	limit := time.After(startLimit)
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for !f.complete() {
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("ended early: %v: %s", err, tail(p, c))
		case <-limit:
			return fmt.Errorf("not every server was visited within %v: %s", startLimit, tail(p, c))
		case <-look.C:
		}
	}
	time.Sleep(warmUp)
	return nil
}

// tail is the last line that a checker printed.
func tail(p place, c checker) string {
	text, err := os.ReadFile(filepath.Join(p.scratch, c.name+".out"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// end stops a checker and waits for it, and for the kernel to have done with its connections.
func end(p *os.Process, ended chan error) {
	_ = p.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		tree := descendants(p.Pid)
		for pid := range tree {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		<-ended
	}
	time.Sleep(200 * time.Millisecond)
}

// raise lets this process and its children have as many descriptors as the kernel allows.
func raise() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil && limit.Cur < limit.Max {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // what is there has to do
	}
}

// enclose makes the namespaces that this process was started in its own place: a loopback
// device, the processes that are in them, and nothing below /run that outlives it.
func enclose() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return os.NewSyscallError("mount", err)
	}
	return loopbackUp()
}

func loopbackUp() error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	return nil
}

// inside is the part of this program that measures: its arguments are a block as JSON, and the
// directory of what was built.
func inside(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: inside BLOCK WORK")
	}
	var b block
	if err := json.Unmarshal([]byte(args[0]), &b); err != nil {
		return err
	}
	p := place{work: args[1], dryRun: !b.Guest}
	prepare := enclose
	if b.Guest {
		prepare = loopbackUp
	}
	if err := prepare(); err != nil {
		return err
	}
	var err error
	if p.scratch, err = os.MkdirTemp("/run", "bench"); err != nil {
		return err
	}
	defer os.RemoveAll(p.scratch)
	return measureBlock(b, p)
}

// bareOf runs the bare loop on as many servers as the argument says.
func bareOf(web bool, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: bare SERVERS")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	return runBare(n, web)
}
