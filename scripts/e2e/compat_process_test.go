package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// pidFile is where both programs write their process.
func (w *world) pidFile() string {
	return "/var/run/ldirectord." + filepath.Base(w.config) + ".pid"
}

// process is that of the world's daemon; 0 when there is none.
func (w *world) process() int {
	if n := len(w.running); n > 0 {
		return w.running[n-1].Process.Pid
	}
	text, err := os.ReadFile(w.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || !w.owns(pid) {
		return 0
	}
	return pid
}

// owns says whether a process runs that has the world's configuration among its words.
func (w *world) owns(pid int) bool {
	words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(words), filepath.Base(w.config))
}

// launch ARG... runs both programs in the foreground, with their output in the file stdout of each world.
func launch(ts *testscript.TestScript, neg bool, args []string) {
	for _, w := range worldsOf(ts) {
		w.enter(ts)
		line := []string{w.program}
		for _, a := range args {
			line = append(line, w.fill(a, ts.Getenv("WORK")))
		}
		out, err := os.Create(filepath.Join(w.dir, "stdout"))
		ts.Check(err)
		cmd := w.command(line...)
		cmd.Stdout, cmd.Stderr = out, out
		ts.Check(cmd.Start())
		ts.Check(out.Close())
		w.running = append(w.running, cmd)
	}
}

// signalBoth (signal NAME) sends a signal to both daemons.
func signalBoth(ts *testscript.TestScript, neg bool, args []string) {
	for _, w := range worldsOf(ts) {
		pid := w.process()
		if pid == 0 || syscall.Kill(pid, unix.SignalNum(args[0])) != nil {
			ts.Fatalf("%s does not run", w.name)
		}
	}
}

// end ends both daemons by signal, waits until they are gone, and compares what they left in the tables.
func end(ts *testscript.TestScript, neg bool, args []string) {
	for _, w := range worldsOf(ts) {
		if pid := w.process(); pid == 0 || !w.terminate(pid) {
			ts.Fatalf("%s: process %d does not end", w.name, pid)
		}
	}
	same(ts, false, append([]string{"-now"}, args...))
}

// terminate sends TERM, and says whether that ended the process.
func (w *world) terminate(pid int) bool {
	_ = syscall.Kill(pid, syscall.SIGTERM)
	if n := len(w.running); n > 0 {
		return reap(w.running[n-1], func() { w.running = nil })
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if syscall.Kill(pid, 0) != nil {
			return true
		}
	}
	return false
}

func reap(cmd *exec.Cmd, then func()) bool {
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // how it ended does not matter
	then()
	return kill.Stop()
}

// close ends what a scenario that failed has left.
func (w *world) close() {
	if pid := w.process(); pid != 0 && !w.terminate(pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if w.seen != 0 && w.owns(w.seen) { // one that lost its pid file
		_ = syscall.Kill(w.seen, syscall.SIGKILL)
	}
	for _, f := range w.fakes {
		f.close()
	}
	w.farm.close()
	_ = unix.Close(w.netns)
}
