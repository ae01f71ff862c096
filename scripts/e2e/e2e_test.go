package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a story waits for something to come about. It bounds failures; no
// story that succeeds takes it.
const patience = 20 * time.Second

func TestStories(t *testing.T) {
	if os.Getenv("LDIRECTORD_KERNEL") == "" {
		t.Skip("LEFT OUT: needs a kernel with IPVS and root; `make test` runs it in one")
	}
	bin := os.Getenv("LDIRECTORD_BIN")
	if bin == "" {
		t.Fatal("LDIRECTORD_BIN does not name the directory of the programs")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { return setUp(env, bin) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"web":     web,
			"table":   table,
			"log":     logHas,
			"shows":   shows,
			"get":     get,
			"address": address,
			"config":  rewrite,
			"third":   installThird,
			"echo":    echo,
			"hold":    hold,
			"held":    stillHeld,
			"reloads": reloads,
			"conns":   conns,
			"leaks":   leaks,
			"mailbox": mailbox,
			"wrote":   wrote,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "long" {
				return os.Getenv("LDIRECTORD_LONG") != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// setUp gives the story's goroutine a thread and a network namespace of its own. The programs
// that it starts, and its sockets, are in there. The thread ends with the goroutine.
func setUp(env *testscript.Env, bin string) error {
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("bring up lo: %w: %s", err, out)
	}
	// Plugins of the stories run as another user and have to be reached.
	for _, dir := range []string{filepath.Dir(env.WorkDir), env.WorkDir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	env.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	env.Setenv("NAME", strings.ReplaceAll(filepath.Base(env.WorkDir), "script-", "")+".cf")
	farm := &farm{servers: map[string]*server{}}
	env.Values["farm"] = &farm
	env.Values["held"] = new(held)
	env.Values["footprint"] = new(footprint)
	env.Defer(farm.close)
	config := filepath.Join(env.WorkDir, env.Getenv("NAME"))
	env.Defer(func() {
		// A story that failed leaves its daemon: its lock and pid file are named after it.
		stop := exec.Command(filepath.Join(bin, "ldirectord"), config, "stop")
		_ = stop.Run()
	})
	return placeConfig(env.WorkDir, config)
}

// placeConfig gives the story's configuration, called config in the script, the name of its
// instance: the stories run side by side in one file system.
func placeConfig(dir, config string) error {
	text, err := os.ReadFile(filepath.Join(dir, "config"))
	if err != nil {
		return nil // a story without one
	}
	text = bytes.ReplaceAll(text, []byte("$WORK"), []byte(dir))
	return os.WriteFile(config, text, 0o600)
}

// rewrite (config FILE) puts another file of the script in the place of the configuration.
func rewrite(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: config FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "$WORK", ts.Getenv("WORK"))
	ts.Check(os.WriteFile(ts.MkAbs(ts.Getenv("NAME")), []byte(text), 0o600))
}

// address adds addresses to the loopback interface.
func address(ts *testscript.TestScript, neg bool, args []string) {
	for _, a := range args {
		if !strings.Contains(a, "/") {
			a += "/32"
			if strings.Contains(a, ":") {
				a = strings.TrimSuffix(a, "/32") + "/128"
			}
		}
		words := []string{"addr", "add", a, "dev", "lo"}
		if strings.Contains(a, ":") {
			words = append(words, "nodad")
		}
		if out, err := exec.Command("ip", words...).CombinedOutput(); err != nil {
			ts.Fatalf("ip %v: %v: %s", words, err, out)
		}
	}
}

// table FILE waits until the kernel's IPVS table is what the file says: lines of
// `ipvsadm -Sn`, in any order. With -now it looks once.
func table(ts *testscript.TestScript, neg bool, args []string) {
	once := len(args) == 2 && args[0] == "-now"
	if neg || len(args) != 1 && !once {
		ts.Fatalf("usage: table [-now] FILE")
	}
	want := normal(ts.ReadFile(args[len(args)-1]))
	wait(ts, once, func() (bool, string) {
		out, err := exec.Command("ipvsadm", "-Sn").CombinedOutput()
		if err != nil {
			return false, fmt.Sprintf("ipvsadm: %v: %s", err, out)
		}
		got := normal(string(out))
		return got == want, "table:\n" + got + "\nwant:\n" + want
	})
}

// normal puts the lines of a table into one order, comments and blank lines left out.
func normal(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		// ipvsadm names the only kind of tunnel there is here.
		line = strings.TrimSuffix(strings.TrimSpace(line), " --tun-type ipip")
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// log [-count=N] TEXT waits until the director's log (log.txt) has a line, or N, that contain TEXT;
// ! log looks once that it has none, or not so many.
func logHas(ts *testscript.TestScript, neg bool, args []string) {
	least := 1
	if len(args) == 2 {
		n, err := strconv.Atoi(strings.TrimPrefix(args[0], "-count="))
		ts.Check(err)
		least, args = n, args[1:]
	}
	if len(args) != 1 {
		ts.Fatalf("usage: [!] log [-count=N] TEXT")
	}
	wait(ts, neg, func() (bool, string) {
		text, err := os.ReadFile(ts.MkAbs("log.txt"))
		if err != nil && !os.IsNotExist(err) {
			return false, err.Error()
		}
		n := linesWith(string(text), args[0])
		return n >= least != neg, fmt.Sprintf("log has %d lines with %q, want %d or more: %v\n%s", n, args[0], least, !neg, text)
	})
}

func linesWith(text, part string) int {
	n := 0
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// shows TEXT waits until status prints a line with TEXT.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: shows TEXT")
	}
	program := filepath.Join(os.Getenv("LDIRECTORD_BIN"), "ldirectord")
	wait(ts, false, func() (bool, string) {
		out, err := exec.Command(program, ts.MkAbs(ts.Getenv("NAME")), "status").CombinedOutput()
		return linesWith(string(out), args[0]) > 0, fmt.Sprintf("status (%v) has no line with %q:\n%s", err, args[0], out)
	})
}

// wait tries until ok, or once.
func wait(ts *testscript.TestScript, once bool, try func() (ok bool, got string)) {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ok, got := try()
		if ok {
			return
		}
		if once || time.Now().After(end) {
			ts.Fatalf("%s", got)
		}
	}
}
