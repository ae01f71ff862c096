package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// referenceProgram is the Perl ldirectord of Debian's package.
const referenceProgram = "/usr/sbin/ldirectord"

// world is where one of two programs runs: a network namespace with servers of its own.
type world struct {
	name    string // "reference" or "ours"
	program string
	config  string   // path of its copy of the configuration
	dir     string   // files of its own
	binds   []string // pairs of a file in dir and what it hides from the program, and from it alone
	netns   int      // descriptor
	farm    *farm
	fakes   map[string]*fake
	servers map[string]*servers.Running
	running []*exec.Cmd // programs in the foreground
	seen    int         // the last process of a daemon
}

// TestReference runs the Perl program and ours over the same configuration, the same servers and
// the same faults, each in a network namespace of its own, and compares what comes of it. The
// scenarios are in testdata/reference; doc.go says what they are made of.
func TestReference(t *testing.T) {
	compare(t, "reference")
}

// TestReferenceMore runs the scenarios that `make test` has no time for.
func TestReferenceMore(t *testing.T) {
	if os.Getenv("LDIRECTORD_KERNEL") != "" && os.Getenv("LDIRECTORD_COMPAT") == "" {
		t.Skip("LEFT OUT: `make compat` and `make test-long` run it")
	}
	compare(t, "reference/more")
}

// scenarios are those of a folder; with LDIRECTORD_COMPAT=I/N each Nth of them from the Ith on, so that more
// than one kernel can share the work.
func scenarios(t *testing.T, folder string) []string {
	files, err := filepath.Glob(filepath.Join("testdata", filepath.FromSlash(folder), "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in %s: %v", folder, err)
	}
	part, of := 1, 1
	if _, err := fmt.Sscanf(os.Getenv("LDIRECTORD_COMPAT"), "%d/%d", &part, &of); err != nil {
		part, of = 1, 1
	}
	var mine []string
	for i, file := range files {
		if i%of == part-1 {
			mine = append(mine, file)
		}
	}
	return mine
}

func compare(t *testing.T, folder string) {
	if os.Getenv("LDIRECTORD_KERNEL") == "" {
		t.Skip("LEFT OUT: needs a kernel with IPVS and root; `make test` runs it in one")
	}
	if _, err := os.Stat(referenceProgram); err != nil {
		t.Fatalf("the reference program is missing (Debian: ldirectord): %v", err)
	}
	bin := os.Getenv("LDIRECTORD_BIN")
	testscript.Run(t, testscript.Params{
		Files:               scenarios(t, folder),
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { return setUpWorlds(env, bin) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"web":     inBoth(web),
			"address": inBoth(address),
			"fake":    inBoth(fakeServer),
			"server":  inBoth(realServer),
			"sh":      inBoth(shell),
			"run":     run,
			"words":   words,
			"launch":  launch,
			"signal":  signalBoth,
			"end":     end,
			"same":    same,
			"alike":   alike,
			"differs": differs,
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
		w.farm, w.fakes = &farm{servers: map[string]*server{}}, map[string]*fake{}
		w.servers = map[string]*servers.Running{}
		env.Defer(w.close)
		w.config = filepath.Join(env.WorkDir, w.name+"-"+story+".cf")
		w.dir = filepath.Join(env.WorkDir, "of-"+w.name)
		if err := w.furnish(env.WorkDir); err != nil {
			return err
		}
		worlds = append(worlds, w)
	}
	env.Values["worlds"] = worlds
	env.Values["world"] = new(*world)
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

// fill puts what is the world's own in the place of $WORK, the scenario's directory, $WORLD, the
// world's, $CONFIG, the file of its configuration, and $PROGRAM.
func (w *world) fill(text, work string) string {
	return strings.NewReplacer("$WORK", work, "$WORLD", w.dir, "$CONFIG", w.config, "$PROGRAM", w.program).Replace(text)
}

// furnish gives the world its configuration and copies of the scenario's files below world/, as
// programs. Some of them are seen by the programs of the world under names of the system.
func (w *world) furnish(work string) error {
	if text, err := os.ReadFile(filepath.Join(work, "config")); err == nil {
		if err := os.WriteFile(w.config, []byte(w.fill(string(text), work)), 0o600); err != nil {
			return err
		}
	}
	for _, dir := range []string{filepath.Dir(work), work} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		return err
	}
	hidden := map[string]string{
		"hosts":            "/etc/hosts",
		"sendmail":         "/usr/sbin/sendmail",
		"INET_is_INET6.pm": "/usr/share/perl5/Net/INET6Glue/INET_is_INET6.pm", // the reference: http over IPv6
	}
	files, err := filepath.Glob(filepath.Join(work, "world", "*"))
	if err != nil {
		return err
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(w.dir, filepath.Base(path))
		if err := os.WriteFile(to, []byte(w.fill(string(text), work)), 0o755); err != nil {
			return err
		}
		if name := hidden[filepath.Base(path)]; name != "" {
			w.binds = append(w.binds, to, name)
		}
	}
	return nil
}

// binder mounts files of its own for a command: it is called with the number of words to bind, them, and the command.
const binder = `n=$1; shift
while [ "$n" -gt 0 ]; do [ -e "$2" ] || : >"$2"; mount --bind "$1" "$2" || exit 99; shift 2; n=$((n - 2)); done
exec "$@"`

// command is one that sees the world's own files.
func (w *world) command(args ...string) *exec.Cmd {
	if len(w.binds) == 0 {
		return exec.Command(args[0], args[1:]...)
	}
	words := append([]string{"-m", "sh", "-c", binder, "sh", fmt.Sprint(len(w.binds))}, w.binds...)
	return exec.Command("unshare", append(words, args...)...)
}

func (w *world) enter(ts *testscript.TestScript) { ts.Check(unix.Setns(w.netns, unix.CLONE_NEWNET)) }

func worldsOf(ts *testscript.TestScript) []*world { return ts.Value("worlds").([]*world) }

// inBoth has a command happen in each world.
func inBoth(command func(*testscript.TestScript, bool, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		for _, w := range worldsOf(ts) {
			w.enter(ts)
			*ts.Value("farm").(**farm) = w.farm
			*ts.Value("world").(**world) = w
			command(ts, neg, args)
		}
	}
}

// shell (sh COMMAND) runs a shell command in each world's directory.
func shell(ts *testscript.TestScript, neg bool, args []string) {
	w := *ts.Value("world").(**world)
	cmd := w.command("sh", "-c", w.fill(strings.Join(args, " "), ts.Getenv("WORK")))
	cmd.Dir = w.dir
	out, err := cmd.CombinedOutput()
	ts.Logf("%s: %s", w.name, out)
	if err != nil != neg {
		ts.Fatalf("%s: %v", w.name, err)
	}
}

// rewriteBoth (config FILE) puts another file in the place of the configuration.
func rewriteBoth(ts *testscript.TestScript, neg bool, args []string) {
	for _, w := range worldsOf(ts) {
		ts.Check(os.WriteFile(w.config, []byte(w.fill(ts.ReadFile(args[0]), ts.Getenv("WORK"))), 0o600))
	}
}

// run COMMAND... runs ldirectord CONFIG COMMAND with both programs, and compares the exit codes.
func run(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || neg {
		ts.Fatalf("usage: run COMMAND...")
	}
	for _, command := range args {
		words(ts, false, []string{"$CONFIG", command})
	}
}

// words ARG... runs both programs with these arguments, and compares the exit codes.
func words(ts *testscript.TestScript, neg bool, args []string) {
	codes := exitCodes(ts, args)
	if codes[0] != codes[1] {
		ts.Fatalf("%q: exit code of the reference %d, ours %d", args, codes[0], codes[1])
	}
}

// exitCodes are those of the reference and ours.
func exitCodes(ts *testscript.TestScript, args []string) [2]int {
	var codes [2]int
	for i, w := range worldsOf(ts) {
		w.enter(ts)
		line := []string{w.program}
		for _, a := range args {
			line = append(line, w.fill(a, ts.Getenv("WORK")))
		}
		cmd := w.command(line...)
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+authorityFile(ts.Getenv("WORK")))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", w.name, err)
		}
		if exit != nil {
			codes[i] = exit.ExitCode()
		}
		if pid := w.process(); pid != 0 {
			w.seen = pid
		}
		ts.Logf("%s %q: exit code %d\n%s", w.name, args, codes[i], out)
	}
	return codes
}
