package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// referenceProgram is the Perl ldirectord of Debian's package.
const referenceProgram = "/usr/sbin/ldirectord"

// world is where one of two programs runs: a network namespace with servers of its own.
type world struct {
	name    string // "reference" or "ours"
	program string
	config  string // path of its copy of the configuration
	netns   int    // descriptor
	farm    *farm
}

// TestReference runs the Perl program and ours over the same configuration, the same servers and
// the same faults, each in a network namespace of its own, and compares the settled tables and the exit
// codes. The scripts are in testdata/reference; what they call run, web, address and same
// happens in both worlds.
func TestReference(t *testing.T) {
	if os.Getenv("LDIRECTORD_KERNEL") == "" {
		t.Skip("LEFT OUT: needs a kernel with IPVS and root; `make test` runs it in one")
	}
	if _, err := os.Stat(referenceProgram); err != nil {
		t.Fatalf("the reference program is missing (Debian: ldirectord): %v", err)
	}
	bin := os.Getenv("LDIRECTORD_BIN")
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "reference"),
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { return setUpWorlds(env, bin) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"web":     inBoth(web),
			"address": inBoth(address),
			"run":     run,
			"same":    same,
			"config":  rewriteBoth,
		},
	})
}

func setUpWorlds(env *testscript.Env, bin string) error {
	runtime.LockOSThread()
	story := strings.ReplaceAll(filepath.Base(env.WorkDir), "script-", "")
	var worlds []*world
	for _, w := range []*world{
		{name: "reference", program: referenceProgram},
		{name: "ours", program: filepath.Join(bin, "ldirectord")},
	} {
		if err := w.enterNew(); err != nil {
			return err
		}
		w.farm = &farm{servers: map[string]*server{}}
		env.Defer(w.farm.close)
		w.config = filepath.Join(env.WorkDir, w.name+"-"+story+".cf")
		if err := placeConfig(env.WorkDir, w.config); err != nil {
			return err
		}
		env.Defer(func() { _ = exec.Command(w.program, w.config, "stop").Run() })
		worlds = append(worlds, w)
	}
	env.Values["worlds"] = worlds
	env.Values["farm"] = new(*farm)
	return nil
}

func (w *world) enterNew() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.netns = fd
	out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput()
	if err != nil {
		return fmt.Errorf("bring up lo: %w: %s", err, out)
	}
	return nil
}

func (w *world) enter(ts *testscript.TestScript) { ts.Check(unix.Setns(w.netns, unix.CLONE_NEWNET)) }

func worldsOf(ts *testscript.TestScript) []*world { return ts.Value("worlds").([]*world) }

// inBoth has a command happen in each world.
func inBoth(command func(*testscript.TestScript, bool, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		for _, w := range worldsOf(ts) {
			w.enter(ts)
			*ts.Value("farm").(**farm) = w.farm
			command(ts, neg, args)
		}
	}
}

// rewriteBoth (config FILE) puts another file in the place of the configuration.
func rewriteBoth(ts *testscript.TestScript, neg bool, args []string) {
	for _, w := range worldsOf(ts) {
		text := strings.ReplaceAll(ts.ReadFile(args[0]), "$WORK", ts.Getenv("WORK"))
		ts.Check(os.WriteFile(w.config, []byte(text), 0o600))
	}
}

// run COMMAND runs ldirectord CONFIG COMMAND with both programs, and compares the exit codes.
func run(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: run COMMAND")
	}
	codes := map[string]int{}
	for _, w := range worldsOf(ts) {
		w.enter(ts)
		out, err := exec.Command(w.program, w.config, args[0]).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", w.name, err)
		}
		if exit != nil {
			codes[w.name] = exit.ExitCode()
		}
		ts.Logf("%s %s: exit code %d\n%s", w.name, args[0], codes[w.name], out)
	}
	if codes["reference"] != codes["ours"] {
		ts.Fatalf("%s: exit code of the reference %d, ours %d", args[0], codes["reference"], codes["ours"])
	}
}

// settle is how long both tables have to be the same: the reference takes servers out and puts
// them in again while it starts.
const settle = 2500 * time.Millisecond

// same [TEXT...] waits until both tables are the same and stay so, and have a line with each TEXT
// (without one a table that is empty in both would do).
func same(ts *testscript.TestScript, neg bool, args []string) {
	begin := time.Now()
	var since time.Time
	var tables [2]string
	for time.Since(begin) < 2*patience {
		for i, w := range worldsOf(ts) {
			w.enter(ts)
			now := wholeTable(ts)
			if now != tables[i] {
				since = time.Now()
			}
			tables[i] = now
		}
		if tables[0] != tables[1] || !hasAll(tables[0], args) {
			since = time.Now()
		}
		if time.Since(since) > settle {
			ts.Logf("both have\n%s", tables[0])
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("want %q; reference:\n%s\nours:\n%s", args, tables[0], tables[1])
}

func hasAll(table string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(table, part) {
			return false
		}
	}
	return true
}

var blanks = regexp.MustCompile(`\s+`)

// wholeTable is the table with the thresholds, which ipvsadm -S leaves out.
func wholeTable(ts *testscript.TestScript) string {
	rules, err := exec.Command("ipvsadm", "-Sn").CombinedOutput()
	if err != nil {
		ts.Fatalf("ipvsadm -Sn: %v: %s", err, rules)
	}
	out, err := exec.Command("ipvsadm", "-Ln", "--thresholds").CombinedOutput()
	if err != nil {
		ts.Fatalf("ipvsadm --thresholds: %v: %s", err, out)
	}
	// Of the second, only the lines of servers that have thresholds. Its columns are weight,
	// upper and lower threshold, and two counts.
	var limits []string
	service := ""
	for line := range strings.Lines(string(out)) {
		words := strings.Split(strings.TrimSpace(blanks.ReplaceAllString(line, " ")), " ")
		switch {
		case len(words) >= 4 && words[0] == "->" && strings.Contains(words[1], ":") && words[1] != "RemoteAddress:Port":
			if words[2] != "0" || words[3] != "0" {
				limits = append(limits, fmt.Sprintf("thresholds %s %s %s", service, words[1], strings.Join(words[2:4], " ")))
			}
		case len(words) >= 2:
			service = words[0] + " " + words[1]
		}
	}
	return normal(string(rules)) + "\n" + normal(strings.Join(limits, "\n"))
}
