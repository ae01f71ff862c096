// Command bench measures what checks cost: the director's, beside keepalived's and beside the
// least that can be done, on a farm of loopback web servers in a private network. `make bench`
// runs it; docs/performance.md says what its figures mean.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: bench all WORK RAW, or bench table RAW [RAW ...]")
	}
	switch args[0] {
	case "all":
		return all(args[1:])
	case "table":
		return printFiles(args[1:])
	case "inside":
		return inside(args[1:])
	case "bare", "bare-connect":
		return bareOf(args[0] == "bare", args[1:])
	default:
		return fmt.Errorf("unknown command %q", args[0])
	}
}

// blocks are what is measured. BENCH_ROUNDS and BENCH_SECONDS change how long; BENCH_BLOCKS and
// BENCH_CHECKERS name those that are wanted.
func blocks() []block {
	rounds, seconds := number("BENCH_ROUNDS", 5), number("BENCH_SECONDS", 10)
	host := []string{"http", "one-process", "bare", "connect", "bare-connect"}
	guest := []string{"http", "one-process", "keepalived", "bare", "connect", "keepalived-connect", "bare-connect"}
	every := []block{
		{Name: "host-1000", Servers: 1000, Rounds: rounds, Seconds: seconds, Checkers: host},
		{Name: "host-5000", Servers: 5000, Rounds: rounds, Seconds: seconds, Checkers: host},
		{Name: "guest-300", Guest: true, Servers: 300, Rounds: rounds, Seconds: seconds, Checkers: guest},
	}
	var some []block
	for _, b := range every {
		b.Checkers = slices.DeleteFunc(slices.Clone(b.Checkers), func(c string) bool { return !wanted("BENCH_CHECKERS", c) })
		if wanted("BENCH_BLOCKS", b.Name) && len(b.Checkers) > 0 {
			some = append(some, b)
		}
	}
	return some
}

// wanted says whether the variable, a list of names, has name. Empty stands for all.
func wanted(variable, name string) bool {
	list := strings.Fields(os.Getenv(variable))
	return len(list) == 0 || slices.Contains(list, name)
}

func number(variable string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// all measures every block, keeps the raw lines and prints the table.
func all(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bench all WORK RAW")
	}
	if os.Getuid() != 0 {
		return errors.New("namespaces and plugins of another user need root")
	}
	raw, err := os.Create(args[1])
	if err != nil {
		return err
	}
	defer raw.Close()
	var seen []window
	var failures []error
	for _, b := range blocks() {
		more, err := runBlock(b, args[0], raw)
		seen = append(seen, more...)
		if err != nil {
			failures = append(failures, fmt.Errorf("block %s: %w", b.Name, err))
		}
	}
	printTable(os.Stdout, seen)
	fmt.Printf("\nraw lines: %s\n", args[1])
	return errors.Join(failures...)
}

// runBlock runs one block where it belongs and takes a look at the machine at both ends of each
// window: from outside, since a guest cannot see what keeps its machine busy.
func runBlock(b block, work string, raw *os.File) ([]window, error) {
	cmd, err := insideOf(b, work)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	lines, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(stop)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	over := make(chan struct{})
	defer close(over)
	go func() { // ends with over
		select {
		case <-stop:
			_ = cmd.Process.Signal(syscall.SIGTERM)
		case <-over:
		}
	}()
	seen, err := readWindows(bufio.NewScanner(lines), b.Guest, raw)
	return seen, errors.Join(err, cmd.Wait())
}

func insideOf(b block, work string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	words := []string{self, "inside", string(text), work}
	if b.Guest {
		cpu, err := oneProcessor()
		if err != nil {
			return nil, err
		}
		words = append([]string{"taskset", "-c", cpu, filepath.Join("scripts", "guest", "run"), "--timeout", "3600", "--"}, words...)
		return exec.Command(words[0], words[1:]...), nil
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd, nil
}

// oneProcessor is the number of a processor that we may use. A user-mode kernel has one anyhow, but
// hands over between processes of its own with every system call: from processor to processor that
// takes several times as long, the longer the less else the machine has to do.
func oneProcessor() (string, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	_, list, _ := strings.Cut(string(text), "Cpus_allowed_list:")
	end := strings.IndexFunc(strings.TrimSpace(list), func(r rune) bool { return r < '0' || r > '9' })
	if end < 1 {
		return "", errors.New("/proc/self/status does not say which processors we may use")
	}
	return strings.TrimSpace(list)[:end], nil
}

// readWindows takes the lines of a block. A guest counts processor time by what runs when its
// clock ticks, which is when checks begin: what it says of that is of no use, and what all of the guest
// takes of this machine is used instead.
func readWindows(lines *bufio.Scanner, guest bool, raw *os.File) ([]window, error) {
	var seen []window
	var before machine
	for lines.Scan() {
		var w window
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			return seen, fmt.Errorf("%w: %s", err, lines.Text())
		}
		now, err := look()
		if err != nil {
			return seen, err
		}
		if w.Begin {
			before = now
			continue
		}
		if w.Error == "" {
			w.Others = now.othersSince(before)
			if guest && w.Rate > 0 {
				w.CPU = milliseconds(now.ours-before.ours) / (w.Rate * now.at.Sub(before.at).Seconds()) * 1000
			}
		}
		seen = append(seen, w)
		fmt.Fprintln(os.Stderr, describe(w))
		text, err := json.Marshal(w)
		if err != nil {
			return seen, err
		}
		if _, err := raw.Write(append(text, '\n')); err != nil {
			return seen, err
		}
	}
	return seen, lines.Err()
}
