package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// userHz is the unit of processor times in /proc (proc_pid_stat(5)), the same on all Linux.
const userHz = 100

// usage is what a process and all its descendants have used so far, those that have ended and
// were waited for included, and the memory they have now.
type usage struct {
	cpu      time.Duration
	pss, rss int64 // bytes; pss counts a page that n processes share as one nth in each
	count    int   // of the processes
}

// stat is a line of /proc/PID/stat.
type stat struct {
	parent int
	cpu    time.Duration
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The name may hold anything, but the last bracket ends it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 15 {
		return stat{}, errors.New("short stat line")
	}
	var ticks int64
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return stat{}, err
		}
		ticks += n
	}
	parent, err := strconv.Atoi(fields[1])
	return stat{parent: parent, cpu: time.Duration(ticks) * time.Second / userHz}, err
}

// descendants are pid and what it started, directly or not, with their statistics.
func descendants(pid int) map[int]stat {
	all := map[int]stat{}
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		n, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if s, err := readStat(n); err == nil { // else it has ended meanwhile
			all[n] = s
		}
	}
	tree := map[int]stat{}
	for n := range all {
		for at := n; at > 0; at = all[at].parent {
			if at == pid {
				tree[n] = all[n]
				break
			}
		}
	}
	return tree
}

// cpuOf is the processor time of pid's tree.
func cpuOf(pid int) time.Duration {
	var sum time.Duration
	for _, s := range descendants(pid) {
		sum += s.cpu
	}
	return sum
}

// usageOf adds the memory of pid's tree to that.
func usageOf(pid int) usage {
	var u usage
	for n, s := range descendants(pid) {
		pss, rss := memoryOf(n)
		u.cpu += s.cpu
		u.pss += pss
		u.rss += rss
		u.count++
	}
	return u
}

// memoryOf reads /proc/PID/smaps_rollup, or, where the kernel has none, only the resident size.
func memoryOf(pid int) (pss, rss int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		text, _ = os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "Pss:":
			pss = n << 10
		case "Rss:", "VmRSS:":
			rss = n << 10
		}
	}
	return pss, rss
}

// machine is what all processors have done since the machine started, and what of that was ours.
type machine struct {
	at   time.Time
	busy time.Duration
	ours time.Duration
}

// look takes a sample. Time that another guest of the same hardware stole counts as busy.
func look() (machine, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return machine{}, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var busy int64
	for i, f := range strings.Fields(line) {
		// user nice system idle iowait irq softirq steal guest guest_nice; guests are in user
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return machine{}, err
		}
		busy += n
	}
	return machine{at: time.Now(), busy: time.Duration(busy) * time.Second / userHz, ours: cpuOf(os.Getpid())}, nil
}

// othersSince is how many processors everybody else kept busy between two samples.
func (m machine) othersSince(before machine) float64 {
	others := (m.busy - before.busy) - (m.ours - before.ours)
	return max(others.Seconds()/m.at.Sub(before.at).Seconds(), 0)
}
