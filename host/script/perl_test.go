package script

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// journal is a log that tests read.
type journal struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// newPerl makes a checker with a log; it is closed by the test's end.
func newPerl(t *testing.T, o PerlOptions) (*perlChecker, *journal) {
	t.Helper()
	path, err := FindPerl()
	if err != nil {
		needs(t, err.Error())
	}
	j := &journal{}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(j, nil))
	}
	c := newPerlChecker(path, o)
	t.Cleanup(func() {
		c.interrupt()
		c.clear()
		c.launcher.close(nil)
	})
	return c, j
}

// TestPerlScripts has the ways in which scripts say what they have to say. A script is called as
// often as it has verdicts.
func TestPerlScripts(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	tests := map[string]struct{ script, want string }{
		"exit 0":               {"exit 0;\n", "up"},
		"exit 1":               {"exit 1;\n", "exit code 1"},
		"no last newline":      {"exit 3", "exit code 3"},
		"a comment ends it":    {"exit 3; # so", "exit code 3"},
		"falls off the end":    {"my $x = 17;\n", "up"},
		"last value":           {"1;", "up"},
		"return 1":             {"return 1;", "up"},
		"die":                  {"die 'no more'", "died: no more at FILE line 1."},
		"die with an object":   {"die { code => 1 }", "died: HASH("},
		"exit without":         {"exit;", "up"},
		"exit with a word":     {"exit 'abc'", "up"},
		"exit in a sub":        {"sub f { exit 5 } f(); exit 0", "exit code 5"},
		"exit in an eval":      {"eval { exit 6 }; exit 0", "exit code 6"},
		"exit in string eval":  {"eval 'exit 7'; exit 0", "exit code 7"},
		"exit in sort":         {"my @x = sort { exit 8 } 1, 2; exit 0", "exit code 8"},
		"exit in a module":     {"require './EXIT'; exit 0", "died: Can't locate"},
		"__END__":              {"exit 9;\n__END__\n} not { perl", "exit code 9"},
		"__DATA__":             {"my @l = <DATA>; exit @l;\n__DATA__\na\nb\n", "exit code 2, exit code 2"},
		"__END__ in a string":  {"my $t = <<E;\n__END__\nE\nexit length $t;", "exit code 8"},
		"pod to the end":       {"exit 4;\n\n=pod\n\nIt { goes on", "exit code 4"},
		"does not compile":     {"if (1) { exit 0;\n", "died: Missing right curly"},
		"not strict":           {"$n++; exit $n;", "exit code 1, exit code 2, exit code 3"},
		"strict of its own":    {"use strict; $n++; exit 0", "died: Global symbol"},
		"our":                  {"use strict; our $n; $n++; exit $n + 2;", "exit code 3, exit code 4"},
		"my seen by a sub":     {"my $n = 0; sub more { return ++$n } exit 2 + more();", "exit code 3, exit code 4"},
		"my":                   {"my $n; $n++; exit 2 + $n;", "exit code 3, exit code 3"},
		"ARGV":                 {`print "@ARGV"; exit 2`, "exit code 2: 10.0.0.1 80 10.0.0.2 8080"},
		"shift":                {`my $v = shift; my ($p) = @_; print "$v $p"; exit 2`, "exit code 2: 10.0.0.1 80"},
		"environment":          {`print "$ENV{LDIRECTORD_REAL}:$ENV{LDIRECTORD_REAL_PORT} $ENV{LDIRECTORD_CHECK}"; exit 2`, "exit code 2: 10.0.0.2:8080 external-perl"},
		"its name":             {`print $0 eq __FILE__ ? "same" : $0; exit 2`, "exit code 2: same"},
		"standard input":       {"exit(defined(<STDIN>) ? 2 : 3)", "exit code 3"},
		"standard error":       {"print STDERR \"one\\ntwo\\n\"; exit 2", "exit code 2: two"},
		"line numbers":         {"\n\nwarn 'here'; exit 2", "exit code 2: here at FILE line 3."},
		"forks":                {"my $p = fork; exit 5 if !$p; waitpid $p, 0; exit $? >> 8", "exit code 5"},
		"a fork that falls":    {"my $p = fork; if ($p) { waitpid $p, 0; exit 3 + $? }", "exit code 3"},
		"system":               {"exit system('sh', '-c', 'exit 4') >> 8", "exit code 4"},
		"backquotes":           {"chomp(my $x = `echo 4`); exit $x", "exit code 4"},
		"spoils variables":     {"$/ = undef; $, = 'x'; $\\ = 'y'; @ARGV = (); $_ = 1; exit 2", "exit code 2, exit code 2"},
		"changes directory":    {"exit 2 if -e 'etc'; exit 3", "exit code 2"},
		"goes elsewhere":       {"chdir '/proc' if $n++; exit(-e 'etc' ? 2 : 3)", "exit code 2, exit code 3, exit code 3"},
		"signals":              {"$SIG{__DIE__} = sub { exit 9 }; eval { die }; exit 2", "exit code 9"},
		"negative":             {"exit(-1)", "exit code -1"},
		"large":                {"exit 256", "exit code 256"},
		"a fraction":           {"exit 0.5", "exit code 0.5"},
		"dies in the worker":   {"require POSIX; POSIX::_exit(0)", "the script ended its interpreter: exit code 0"},
		"exec":                 {"exec '/bin/sh', '-c', 'echo gone; exit 0'", "the script ended its interpreter: exit code 0: gone"},
		"killed":               {"kill 9, $$; sleep 5", "the script ended its interpreter: killed"},
		"survives the last":    {"exit 2", "exit code 2"},
		"not in ASCII":         {"use utf8; die \"é\\x{263a}\\n\"", "died: é☺"},
		"control bytes":        {`print "a\e[31mb"; exit 2`, `exit code 2: a\x1b[31mb`},
		"closes its outputs":   {"close STDOUT; close STDERR; exit 2", "exit code 2, exit code 2"},
		"selects another file": {"open my $f, '>', '/dev/null'; select $f; exit 2", "exit code 2"},
	}
	for name, tt := range tests {
		path := write(t, "check.pl", tt.script)
		for n, want := range strings.Split(tt.want, ", ") {
			v := within(t, c, target(), 10*time.Second, command(path))
			got := strings.ReplaceAll(v.Reason, path, "FILE")
			if v.Status == sdk.StatusUp {
				got = "up"
			}
			if v.Status == sdk.StatusUnknown || !strings.HasPrefix(got, want) || strings.HasPrefix(want, "exit code") && got != want {
				t.Errorf("%s: call %d: got %v %q, want %q", name, n+1, v.Status, got, want)
			}
		}
	}
}

// A script that closes its outputs takes nothing from those after it.
func TestPerlOutputsAreBack(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	closes := write(t, "closes.pl", "close STDOUT; close STDERR; exit 2")
	data := write(t, "data.pl", "my @l = <DATA>; exit @l;\n__DATA__\na\nb\n")
	for _, call := range []struct{ path, want string }{
		{closes, "exit code 2"}, {closes, "exit code 2"},
		{write(t, "next.pl", "exit 3"), "exit code 3"},
		{write(t, "other.pl", "eval 'exit 4'; exit 0"), "exit code 4"},
		{data, "exit code 2"}, {data, "exit code 2"},
		{write(t, "says.pl", "system 'echo aloud'; exit 2"), "exit code 2: aloud"},
	} {
		if v := within(t, c, target(), 10*time.Second, command(call.path)); v.Reason != call.want {
			t.Errorf("%s: %q, want %q", filepath.Base(call.path), v.Reason, call.want)
		}
	}
}

func TestPerlUnknown(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	for text, says := range map[string]string{
		"/no/such/check.pl": "No such file",
		t.TempDir():         "Is a directory",
		"":                  "names no program",
	} {
		if v := within(t, c, target(), 5*time.Second, command(text)); v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, says) {
			t.Errorf("%q: got %+v", text, v)
		}
	}
	c.perl = write(t, "perl", "#!/bin/sh\necho 'Fcntl.pm is missing'; exit 2")
	v := within(t, c, target(), 5*time.Second, command("/no/such/check.pl other"))
	c.slots.byScript[scriptOf{"/no/such/check.pl", "root"}].without().discard()
	v = within(t, c, target(), 5*time.Second, command("/no/such/check.pl other"))
	if v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "perl cannot be started") || !strings.Contains(v.Reason, "Fcntl.pm is missing") {
		t.Errorf("got %+v", v)
	}
}

// TestPerlDeadline: the interpreter that can be asked ends the call itself and keeps its
// variables; the one that cannot is killed, with all that it started.
func TestPerlDeadline(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	polite := write(t, "polite.pl", "exit 2 + $n if $n; $n++; while (1) { sleep 1 }")
	if v := within(t, c, target(), time.Second, command(polite)); v.Code != sdk.CodeTimeout || v.Reason != "not finished after 1s" {
		t.Errorf("got %+v", v)
	}
	if v := within(t, c, target(), time.Second, command(polite)); v.Reason != "exit code 3" {
		t.Errorf("the interpreter did not survive: %+v", v)
	}
	for name, script := range map[string]string{
		"holds on":   `while (1) { eval { sleep 1 } }`,
		"no signals": `$SIG{ALRM} = 'IGNORE'; $SIG{TERM} = 'IGNORE'; sleep 1 while 1;`,
		"polite":     `sleep 1 while 1;`,
		"blocked":    `use POSIX; my $s = POSIX::SigSet->new(SIGALRM); sigprocmask(SIG_BLOCK, $s); sleep 1 while 1;`,
	} {
		pids := filepath.Join(t.TempDir(), "pids")
		path := write(t, "check.pl", `for my $how ('', 'setsid ') { system "${how}sh -c 'echo \$\$ >>`+pids+`; sleep 60' >/dev/null 2>&1 &" } open my $f, '>>', '`+pids+"'; print $f \"$$\\n\"; close $f; $| = 1; print \"so far\\n\";\n"+script)
		v := within(t, c, target(), 2*time.Second, command(path))
		if v.Code != sdk.CodeTimeout || v.Status != sdk.StatusDown || v.Reason != "not finished after 2s: so far" {
			t.Errorf("%s: got %+v", name, v)
		}
		all := pidsOf(t, pids)
		if len(all) != 3 {
			t.Errorf("%s: %d processes", name, len(all))
		}
		if i := c.slots.byScript[scriptOf{path, "root"}].interpreter; i != nil && name == "polite" {
			all = slices.DeleteFunc(all, func(pid int) bool { return pid == i.pid })
			if len(all) != 2 {
				t.Errorf("%s: not the interpreter that was left: %v", name, all)
			}
		}
		for _, pid := range all {
			for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%s: process %d is left", name, pid)
				}
			}
		}
	}
	// Who shares the one that is killed begins anew.
	one, _ := newPerl(t, PerlOptions{Max: 1})
	holds := write(t, "holds.pl", `while (1) { eval { sleep 1 } }`)
	for i, script := range []string{polite, holds, polite} {
		if v := within(t, one, target(), time.Second, command(script)); v.Reason != "not finished after 1s" {
			t.Errorf("call %d: %+v", i, v)
		}
	}
}

// TestPerlSlowStart: a script that hangs and loses its interpreter is down each time, also where interpreters
// take long to start.
func TestPerlSlowStart(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	c.perl = write(t, "perl", "#!/bin/sh\nsleep 0.3\nexec "+c.perl+" \"$@\"\n")
	path := write(t, "check.pl", "$SIG{ALRM} = 'IGNORE'; sleep 1 while 1;")
	for range 2 {
		if v := within(t, c, target(), 2*time.Second, command(path)); v.Code != sdk.CodeTimeout {
			t.Errorf("got %+v", v)
		}
	}
}

// TestPerlChildWithoutMark: what a late script started goes with its call, also when it has written its title over
// its environment; the interpreter stays.
func TestPerlChildWithoutMark(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	pids := filepath.Join(t.TempDir(), "pids")
	path := write(t, "check.pl", `
		if ($n++) { exit $n }
		open my $f, '>', "`+pids+`"; $f->autoflush(1);
		exec 'perl', '-e', '$0 = "x" x 4000; sleep 600' if !(my $p = fork);
		select undef, undef, undef, 0.01 while do { open my $t, '<', "/proc/$p/environ"; my $e = <$t>; !defined $e || $e =~ /LDIRECTORD_RUN/ };
		print $f "$p\n"; sleep 600;`)
	if v := within(t, c, target(), 2*time.Second, command(path)); v.Code != sdk.CodeTimeout {
		t.Errorf("got %+v", v)
	}
	for _, pid := range pidsOf(t, pids) {
		for end := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				t.Fatalf("process %d is left", pid)
			}
		}
	}
	if v := within(t, c, target(), 5*time.Second, command(path)); v.Reason != "exit code 2" {
		t.Errorf("the call after: %+v", v)
	}
}

func TestPerlRereads(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	path := write(t, "check.pl", "exit ++$n")
	for _, want := range []string{"exit code 1", "exit code 2"} {
		if v := within(t, c, target(), 5*time.Second, command(path)); v.Reason != want {
			t.Errorf("got %+v, want %s", v, want)
		}
	}
	if err := os.WriteFile(path, []byte("exit 9 + ++$n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if v := within(t, c, target(), 5*time.Second, command(path)); v.Reason != "exit code 10" {
		t.Errorf("edited: got %+v", v)
	}
	if err := os.WriteFile(path, []byte("exit 7 + ++$n"), 0o755); err != nil { // of the same size
		t.Fatal(err)
	}
	if v := within(t, c, target(), 5*time.Second, command(path)); v.Reason != "exit code 8" {
		t.Errorf("edited again: got %+v", v)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if v := within(t, c, target(), 5*time.Second, command(path)); v.Status != sdk.StatusUnknown {
		t.Errorf("removed: got %+v", v)
	}
}

// TestPerlShares: a script has one interpreter and its variables to itself, others have others.
func TestPerlShares(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{Max: 2})
	text := "print $$; exit ++$n + $main::all++ * 10"
	var pids []string
	for range 3 {
		path := write(t, "check.pl", text)
		for n := 1; n <= 2; n++ {
			v := within(t, c, target(), 5*time.Second, command(path))
			code, pid, _ := strings.Cut(strings.TrimPrefix(v.Reason, "exit code "), ": ")
			if number, _ := strconv.Atoi(code); number%10 != n {
				t.Errorf("call %d: %+v", n, v)
			}
			pids = append(pids, pid)
		}
	}
	if pids[0] != pids[1] || pids[2] != pids[3] || pids[4] != pids[5] {
		t.Errorf("a script changes its interpreter: %v", pids)
	}
	if pids[0] == pids[2] || pids[4] != pids[0] && pids[4] != pids[2] {
		t.Errorf("three scripts, two interpreters: %v", pids)
	}
}

func TestPerlRecycles(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]perlLimits{
		"calls":  {calls: 3, resident: 1 << 40, idle: time.Hour},
		"memory": {calls: 1000, resident: 30 << 20, idle: time.Hour},
	} {
		c, _ := newPerl(t, PerlOptions{})
		c.limits = limits
		path := write(t, "check.pl", "$x .= 'x' x (8 << 20); exit ++$n")
		var got []string
		for range 6 {
			got = append(got, strings.TrimPrefix(within(t, c, target(), 5*time.Second, command(path)).Reason, "exit code "))
		}
		text := strings.Join(got, " ")
		if text != "1 2 3 1 2 3" && (name == "calls" || text == "1 2 3 4 5 6" || !strings.HasPrefix(text, "1 2 ")) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestPerlIdle(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	c.limits.idle = 50 * time.Millisecond
	dir := t.TempDir()
	path := write(t, "check.pl", "END { open my $f, '>', '"+dir+"/ended' } exit 2;")
	if v := within(t, c, target(), 5*time.Second, command(path)); v.Reason != "exit code 2" {
		t.Errorf("got %+v", v)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(dir + "/ended"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the interpreter does not end")
		}
	}
	if v := within(t, c, target(), 5*time.Second, command(path)); v.Reason != "exit code 2" {
		t.Errorf("after its end: got %+v", v)
	}
}

// TestPerlEndsAtRest has somebody kill the interpreter between two calls.
func TestPerlEndsAtRest(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	path := write(t, "check.pl", "exit ++$n")
	for range 2 {
		if v := within(t, c, target(), 5*time.Second, command(path)); v.Reason != "exit code 1" {
			t.Errorf("got %+v", v)
		}
		i := c.slots.all[0].interpreter
		i.signal(syscall.SIGKILL)
		<-i.exited
	}
}

func TestPerlWeight(t *testing.T) {
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	for code, want := range map[int]int{2: 0, 255: 253} {
		o := command(write(t, "check.pl", "exit "+strconv.Itoa(code)))
		o[optionWeight] = "yes"
		v := within(t, c, target(), 5*time.Second, o)
		if v.Status != sdk.StatusUp || v.Weight == nil || *v.Weight != want {
			t.Errorf("%d: got %+v", code, v)
		}
	}
	o := command(write(t, "check.pl", "exit 256"))
	o[optionWeight] = "yes"
	if v := within(t, c, target(), 5*time.Second, o); v.Status != sdk.StatusDown {
		t.Errorf("256: got %+v", v)
	}
}

func TestPerlLog(t *testing.T) {
	t.Parallel()
	c, j := newPerl(t, PerlOptions{})
	path := write(t, "check.pl", `print "hello\a\n"; print "x$_ ", 'y' x 5000, "\n" for 1 .. 100; exit 0`)
	if v := within(t, c, target(), 5*time.Second, command(path)); v.Status != sdk.StatusUp {
		t.Errorf("got %+v", v)
	}
	text := j.String()
	if !strings.Contains(text, "hello") || strings.Contains(text, "\a") || !strings.Contains(text, path) {
		t.Errorf("log: %s", text)
	}
	if n := strings.Count(text, "\n"); n != loggedLines || len(text) > loggedLines*(longest+300) {
		t.Errorf("%d lines of %d bytes", n, len(text))
	}
}

func TestPerlUser(t *testing.T) {
	if os.Getuid() != 0 {
		needs(t, "root, to become another user")
	}
	t.Parallel()
	c, _ := newPerl(t, PerlOptions{})
	path := write(t, "check.pl", `print "$< $> ", (getpwuid $<)[0], " $ENV{HOME}"; exit 2`)
	for user, want := range map[string]string{"": "0 0 root /root", "games": "games /usr/games"} {
		v := within(t, c, target(), 5*time.Second, sdk.Options{optionCommand: path, optionUser: user})
		if !strings.HasSuffix(v.Reason, want) {
			t.Errorf("%q: got %+v", user, v)
		}
	}
}
