package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// slowest is how long the reference may take: a server that comes in costs it three processes, and the kernel here is slow.
const slowest = 90 * time.Second

// settle is how long both tables have to stay what they are: the reference takes servers out and puts
// them in again while it starts.
const settle = 2500 * time.Millisecond

// same [-now] [TEXT...] waits until both tables are the same and stay so, and have a line with each TEXT
// (without one a table that is empty in both would do). With -now nothing has to settle.
func same(ts *testscript.TestScript, neg bool, args []string) {
	quiet := settle
	if len(args) > 0 && args[0] == "-now" {
		quiet, args = 0, args[1:]
	}
	settled(ts, quiet, func(tables [2]string) bool { return tables[0] == tables[1] && hasAll(tables[0], args) },
		fmt.Sprintf("the same, with %q", args))
}

// settled waits until both tables have not changed for a time and are what is wanted.
func settled(ts *testscript.TestScript, quiet time.Duration, wanted func(tables [2]string) bool, want string) {
	begin := time.Now()
	since := begin
	var seen, tables [2]string
	for {
		for i, w := range worldsOf(ts) {
			w.enter(ts)
			if now := glance(ts); now != seen[i] {
				seen[i], since = now, time.Now()
			}
		}
		if time.Since(since) >= quiet {
			for i, w := range worldsOf(ts) {
				w.enter(ts)
				tables[i] = wholeTable(ts)
			}
			if wanted(tables) {
				ts.Logf("reference:\n%s\nours:\n%s", tables[0], tables[1])
				return
			}
			since = time.Now().Add(time.Second - quiet)
		}
		if time.Since(begin) > slowest {
			ts.Fatalf("want %s; reference:\n%s\nours:\n%s", want, tables[0], tables[1])
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func hasAll(table string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(table, part) {
			return false
		}
	}
	return true
}

var (
	blanks = regexp.MustCompile(`\s+`)
	counts = regexp.MustCompile(`(?m)\d+ +\d+ *$`)
)

// glance is the table as the kernel shows it, without thresholds and counts. It costs no process.
func glance(ts *testscript.TestScript) string {
	text, err := os.ReadFile("/proc/thread-self/net/ip_vs")
	ts.Check(err)
	return counts.ReplaceAllString(string(text), "")
}

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
	return strings.TrimSpace(normal(string(rules)) + "\n" + normal(strings.Join(limits, "\n")))
}

// alike [-unique] FILE [WANTED] waits until FILE of both worlds' directories are alike but for the names of
// the directories, and like WANTED. With -unique, order and number of the lines do not count.
func alike(ts *testscript.TestScript, neg bool, args []string) {
	unique := len(args) > 0 && args[0] == "-unique"
	if unique {
		args = args[1:]
	}
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: alike [-unique] FILE [WANTED]")
	}
	wait(ts, false, func() (bool, string) {
		texts := filesOf(ts, args[0], unique)
		ok := texts[0] == texts[1] && texts[0] != ""
		if len(args) == 2 {
			ok = ok && texts[0] == strings.TrimSpace(ts.ReadFile(args[1]))
		}
		return ok, fmt.Sprintf("%s of the reference:\n%s\nours:\n%s", args[0], texts[0], texts[1])
	})
}

// filesOf is a file of the reference's and of our directory; missing ones are empty.
func filesOf(ts *testscript.TestScript, name string, unique bool) [2]string {
	var texts [2]string
	for i, w := range worldsOf(ts) {
		text, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil && !os.IsNotExist(err) {
			ts.Fatalf("%v", err)
		}
		plain := strings.NewReplacer(w.config, "$CONFIG", strings.TrimSuffix(filepath.Base(w.config), ".cf"), "$NAME",
			w.dir, "$WORLD").Replace(string(text))
		lines := strings.Split(strings.TrimSpace(plain), "\n")
		if unique {
			slices.Sort(lines)
			lines = slices.Compact(lines)
		}
		texts[i] = strings.Join(lines, "\n")
	}
	return texts
}
