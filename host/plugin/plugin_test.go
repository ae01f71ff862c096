package plugin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

func TestDescribeAndValidate(t *testing.T) {
	p, _ := newPool(t, nil)
	info, err := p.Describe(t.Context(), "twin")
	if err != nil || info.Name != "good" || len(info.Services) != 3 {
		t.Fatalf("%+v, %v", info, err)
	}
	if err := p.Validate(t.Context(), "good", sdk.Options{"act": "up"}); err != nil {
		t.Error(err)
	}
	err = p.Validate(t.Context(), "good", sdk.Options{"actt": "up"})
	var oe *sdk.OptionError
	if !errors.As(err, &oe) || oe.Option != "actt" {
		t.Errorf("got %v", err)
	}
	if v := p.Probe(t.Context(), target("good"), nil); !isUp(v) {
		t.Errorf("%+v", v)
	}
	all := p.Status()
	if len(all) != 1 || all[0].State != "running" || all[0].PID == 0 || !slices.Equal(all[0].Services, []string{"good", "twin", "slow"}) {
		t.Errorf("one process for both services: %+v", all)
	}
}

func TestFailuresToStartNameTheirCause(t *testing.T) {
	t.Parallel()
	p, log := newPool(t, func(o *Options) { o.timing.start = 2 * time.Second })
	for service, says := range map[string]string{
		"fails":  "cannot find my trousers",
		"future": "Plugin version: 2, Client versions: [1]",
		"silent": "timeout while waiting for plugin to start",
	} {
		_, err := p.Describe(t.Context(), service)
		path := filepath.Join(plugins, prefix+service)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", service, err)
		}
		r := runner(t, p, service)
		r.Register(1, target(service), nil)
		r.Start(due(time.Second, 1))
		if v := collect(t, r, 1)[1]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, path) {
			t.Errorf("%s: verdict %+v", service, v)
		}
	}
	if !strings.Contains(log.String(), "trousers") {
		t.Errorf("not logged:\n%s", log)
	}
}

func TestRunnersShareAProcess(t *testing.T) {
	p, _ := newPool(t, nil)
	a, b := runner(t, p, "good"), runner(t, p, "twin")
	for id := uint64(1); id <= 50; id++ {
		a.Register(id, target("good"), nil)
		b.Register(id, target("twin"), sdk.Options{"act": "down", "passwd": "sesame"})
	}
	for id := uint64(1); id <= 50; id++ {
		a.Start(due(time.Second, id))
		b.Start(due(time.Second, id))
	}
	for id, v := range collect(t, a, 50) {
		if !isUp(v) {
			t.Errorf("good %d: %+v", id, v)
		}
	}
	for id, v := range collect(t, b, 50) {
		if v.Status != sdk.StatusDown || v.Reason != "twin no, said ***" {
			t.Errorf("twin %d: %+v", id, v)
		}
	}
	a.Start(due(time.Second, 99))
	if v := collect(t, a, 1)[99]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "not registered") {
		t.Errorf("%+v", v)
	}
	if n := len(p.Status()); n != 1 {
		t.Errorf("%d processes", n)
	}
	other, err := p.Runner("good", "web")
	if err != nil {
		t.Fatal(err)
	}
	other.Register(1, target("good"), nil)
	other.Start(due(time.Second, 1))
	collect(t, other, 1)
	if s := p.Status(); len(s) != 2 || s[0].PID == s[1].PID {
		t.Errorf("a pool key has a process of its own: %+v", s)
	}
}

// A death makes what was in flight Unknown; registrations outlive it.
func TestSurvivesDeath(t *testing.T) {
	for _, how := range []string{"die", "exit"} {
		t.Run(how, func(t *testing.T) {
			p, log := newPool(t, nil)
			r := runner(t, p, "good")
			r.Register(1, target("good"), nil)
			r.Register(2, target("good"), sdk.Options{"act": "wait"})
			r.Register(3, target("good"), sdk.Options{"act": how, "passwd": "sesame"})
			r.Start(due(time.Second, 1))
			collect(t, r, 1)
			before := p.Status()[0].PID
			r.Start(due(10*time.Second, 2, 3))
			got := collect(t, r, 2)
			for id := uint64(2); id <= 3; id++ {
				if v := got[id]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "it died") {
					t.Errorf("%d: %+v", id, v)
				}
			}
			if how == "die" && !strings.Contains(got[3].Reason, "panic: for good, ***") {
				t.Errorf("its last words, without secrets: %q", got[3].Reason)
			}
			until(t, r, 1, isUp)
			if s := p.Status()[0]; s.PID == before || s.Restarts != 1 || s.LastError == "" {
				t.Errorf("%+v", s)
			}
			if strings.Contains(log.String(), "sesame") {
				t.Error("a secret is in the log")
			}
		})
	}
}

// Of many checks in flight in a crash, only the one that causes it is set aside.
func TestCulpritIsSetAside(t *testing.T) {
	p, log := newPool(t, nil)
	r := runner(t, p, "good")
	var all []uint64
	for id := uint64(1); id <= 20; id++ {
		r.Register(id, target("good"), sdk.Options{"act": "wait"})
		all = append(all, id)
	}
	r.Register(21, target("good"), sdk.Options{"act": "die"})
	r.Register(22, target("good"), nil)
	r.Start(due(5*time.Second, all...))
	r.Start(due(5*time.Second, 21))
	collect(t, r, 21)
	until(t, r, 22, isUp)
	r.Start(due(5*time.Second, append([]uint64{21}, all...)...)) // again: that was it
	collect(t, r, 21)
	until(t, r, 22, isUp)
	r.Start(due(time.Second, 21))
	if v := collect(t, r, 1)[21]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "set aside") {
		t.Errorf("culprit: %+v", v)
	}
	r.Start(due(50*time.Millisecond, all[0]))
	r.Start(due(2*time.Second, all[1])) // it waits for the other, which must not be a tenth of its time
	for id, v := range collect(t, r, 2) {
		if v.Reason != "waited" {
			t.Errorf("innocent %d: %+v", id, v)
		}
	}
	if s := p.Status()[0]; s.SetAside != 1 || s.Restarts != 2 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(log.String(), "check set aside") {
		t.Error("nothing in the log")
	}
}

// What a plugin's slow start, or the queue of suspects, takes from a probe's time must not count
// against the server: to be late then means nothing.
func TestProbeThatWasHeldIsJudgedFairly(t *testing.T) {
	p, _ := newPool(t, nil)
	r := runner(t, p, "slow")
	for id, what := range []string{"up", "down", "wait"} {
		r.Register(uint64(id), target("slow"), sdk.Options{"act": what})
	}
	r.Start(due(2*time.Second, 0, 1, 2))
	got := collect(t, r, 3)
	if got[0].Status != sdk.StatusUp || got[1].Status != sdk.StatusDown {
		t.Errorf("who answered has said how it is: %+v", got)
	}
	if v := got[2]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "not ready in time") {
		t.Errorf("late with less than its time: %+v", v)
	}
	r.Start(due(50*time.Millisecond, 2))
	if v := collect(t, r, 1)[2]; v.Status != sdk.StatusDown {
		t.Errorf("late with all of its time: %+v", v)
	}
}

func TestSuspectBehindABlackHole(t *testing.T) {
	p, _ := newPool(t, nil)
	r := runner(t, p, "good")
	r.Register(1, target("good"), sdk.Options{"act": "wait"})
	r.Register(2, target("good"), sdk.Options{"act": "wait"})
	r.Register(3, target("good"), sdk.Options{"act": "die"})
	r.Register(4, target("good"), nil)
	r.Start(due(5*time.Second, 1, 2))
	r.Start(due(5*time.Second, 3))
	collect(t, r, 3)
	until(t, r, 4, isUp)
	r.Start(due(400*time.Millisecond, 1))
	r.Start(due(500*time.Millisecond, 2))
	got := collect(t, r, 2)
	if v := got[2]; v.Status != sdk.StatusUnknown {
		t.Errorf("its turn came when a fifth of its time was left: %+v", v)
	}
	if v := got[1]; v.Status != sdk.StatusDown {
		t.Errorf("who had all of its time is late: %+v", v)
	}
}

func TestHungProbeIsCutOff(t *testing.T) {
	p, _ := newPool(t, nil)
	r := runner(t, p, "good")
	r.Register(1, target("good"), sdk.Options{"act": "hang"})
	r.Register(2, target("good"), nil)
	r.Start(due(time.Second, 2))
	collect(t, r, 1)
	for range 2 {
		began := time.Now()
		r.Start(due(100*time.Millisecond, 1))
		v := collect(t, r, 1)[1]
		if took := time.Since(began); v.Status != sdk.StatusUnknown || took > 1100*time.Millisecond {
			t.Errorf("%+v after %v", v, took)
		}
		if !strings.Contains(v.Reason, "did not answer") {
			t.Errorf("a cut off check must be started again, not be busy: %+v", v)
		}
	}
	r.Start(due(time.Second, 2))
	if v := collect(t, r, 1)[2]; !isUp(v) {
		t.Errorf("others go on: %+v", v)
	}
	if s := p.Status()[0]; s.Restarts != 0 || s.CutOff != 2 {
		t.Errorf("%+v", s)
	}
}

func TestHungProcessIsReplaced(t *testing.T) {
	p, _ := newPool(t, nil)
	r := runner(t, p, "good")
	r.Register(1, target("good"), sdk.Options{"act": "stop"})
	r.Register(2, target("good"), nil)
	until(t, r, 2, isUp) // else its time is over before it flies
	r.Start(due(50*time.Millisecond, 1))
	if v := collect(t, r, 1)[1]; v.Status != sdk.StatusUnknown {
		t.Errorf("%+v", v)
	}
	until(t, r, 2, isUp)
	if s := p.Status()[0]; s.Restarts != 1 || !strings.Contains(s.LastError, "hangs") {
		t.Errorf("%+v", s)
	}
}

func TestTooManyHungProbesReplaceTheProcess(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, func(o *Options) { o.timing.maxHung = 3 })
	r := runner(t, p, "good")
	var ids []uint64
	for id := uint64(1); id <= 3; id++ {
		r.Register(id, target("good"), sdk.Options{"act": "hang"})
		ids = append(ids, id)
	}
	r.Register(9, target("good"), nil)
	until(t, r, 9, isUp) // else their time is over before they fly
	r.Start(due(50*time.Millisecond, ids...))
	collect(t, r, 3)
	until(t, r, 9, func(v sdk.Verdict) bool { return isUp(v) && p.Status()[0].Restarts == 1 })
}

// The verdict of a probe whose check was forgotten on the way is no lie: a director that is
// reloaded often must not lose its plugins over it.
func TestVerdictsOfForgottenChecksAreNoLies(t *testing.T) {
	p, _ := newPool(t, func(o *Options) { o.timing.maxStray = 3 })
	r := runner(t, p, "good")
	r.Register(100, target("good"), nil)
	until(t, r, 100, isUp)
	for id := uint64(1); id <= 10; id++ {
		r.Register(id, target("good"), sdk.Options{"act": "wait"})
		r.Start(due(5*time.Second, id))
		until(t, r, 100, isUp) // by now it waits
		r.Forget(id)
		until(t, r, 100, isUp)
	}
	if s := p.Status()[0]; s.Restarts != 0 || s.State != "running" {
		t.Errorf("%+v", s)
	}
}

func TestLiarsAreOutOfService(t *testing.T) {
	for how, says := range map[string]string{
		"stray": "nobody had asked for", "huge": "over 4 MiB", "close": "closed the stream",
	} {
		t.Run(how, func(t *testing.T) {
			p, _ := newPool(t, func(o *Options) { o.timing.first = time.Hour; o.timing.longest = time.Hour })
			r, honest := runner(t, p, "liar"), runner(t, p, "good")
			r.Register(1, target("liar"), sdk.Options{"act": how})
			r.Start(due(15*time.Second, 1))
			if v := collect(t, r, 1)[1]; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, says) {
				t.Errorf("%+v", v)
			}
			honest.Register(1, target("good"), nil)
			honest.Start(due(time.Second, 1))
			if v := collect(t, honest, 1)[1]; !isUp(v) {
				t.Errorf("the others do not notice: %+v", v)
			}
		})
	}
}

func TestLogsAreBridged(t *testing.T) {
	p, log := newPool(t, nil)
	r := runner(t, p, "good")
	r.Register(1, target("good"), sdk.Options{"act": "log", "passwd": "open sesame"})
	r.Start(due(5*time.Second, 1))
	if v := collect(t, r, 1)[1]; !isUp(v) {
		t.Fatalf("%+v", v)
	}
	text := log.String()
	for _, want := range []string{
		`level=WARN msg="the word is ***"`, "passwd=***", "n=1", "service=good", "target=127.0.0.1:80", "plugin=" + plugins,
		"msg_=m", "a_b__x=v",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("log lacks %q", want)
		}
	}
	if n := strings.Count(text, "msg=flood"); n > logBurst+logRate*5 {
		t.Errorf("%d lines of a flood", n)
	}
}

func TestGroupDiesWithItsLeader(t *testing.T) {
	p, _ := newPool(t, nil)
	r := runner(t, p, "good")
	r.Register(1, target("good"), sdk.Options{"act": "child"})
	r.Register(2, target("good"), sdk.Options{"act": "exit"})
	r.Start(due(time.Minute, 1)) // the process has to start first
	pid, err := strconv.Atoi(collect(t, r, 1)[1].Reason)
	if err != nil {
		t.Fatal(err)
	}
	r.Start(due(time.Second, 2))
	collect(t, r, 1)
	for deadline := time.Now().Add(5 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatal("the grandchild outlives its plugin")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// alive says whether the process exists and is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestPrivileges(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "yes")
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: core.Max, Max: core.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &core); err != nil {
			t.Error(err)
		}
	}()
	leak, err := syscall.Open("/etc/hostname", syscall.O_RDONLY, 0) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	p, _ := newPool(t, nil)
	r := runner(t, p, "good")
	r.Register(1, target("good"), sdk.Options{"act": "who"})
	r.Start(due(time.Second, 1))
	v := collect(t, r, 1)[1]
	if strings.Contains(v.Reason, "/etc/hostname") || !strings.Contains(v.Reason, "/dev/null") {
		t.Errorf("open files: %s", v.Reason)
	}
	who := v.Transcript
	for _, want := range []string{
		"NoNewPrivs:\t1", " drwx------\n", "LANG=C", "GOMEMLIMIT", "Umask:\t0077\n",
		"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapAmb:\t0000000000000000",
	} {
		if !strings.Contains(who, want) {
			t.Errorf("lacks %q:\n%s", want, who)
		}
	}
	for _, never := range []string{"SECRET_OF_THE_HOST"} {
		if strings.Contains(who, never) {
			t.Errorf("has %q", never)
		}
	}
	if strings.Count(v.Reason, "/dev/null") != 1 {
		t.Errorf("standard input, and nothing else, is the null device: %s", v.Reason)
	}
	limits := map[string]string{}
	for line := range strings.Lines(who) {
		if name, ok := strings.CutPrefix(line, "Max "); ok {
			limits[strings.TrimSpace(name[:22])] = strings.Join(strings.Fields(name[22:])[:2], " ")
		}
	}
	if limits["core file size"] != "0 0" || limits["file size"] != "16777216 16777216" {
		t.Errorf("limits, soft and hard: %v", limits)
	}
	if soft, hard, _ := strings.Cut(limits["open files"], " "); soft != hard {
		t.Errorf("open files: %s of %s", soft, hard)
	}
	if os.Geteuid() != 0 {
		t.Log("NOT ROOT: that plugins run as another user was not tried")
		if os.Getenv("CI") == "true" {
			t.Error("must be root in CI")
		}
		return
	}
	if strings.Contains(who, "uid 0\n") || !strings.Contains(who, "CapBnd:\t0000000000000000") || !strings.Contains(who, "Groups:\t \n") {
		t.Errorf("runs with rights:\n%s", who)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	p := New(Options{Dirs: []string{plugins}, timing: fast(), env: endAtOnce()})
	r := runner(t, p, "good")
	r.Register(1, target("good"), nil)
	r.Start(due(time.Second, 1))
	collect(t, r, 1)
	pid := p.Status()[0].PID
	run := p.runDir
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-r.Results(); ok {
		t.Error("results are not closed")
	}
	if syscall.Kill(pid, 0) == nil {
		t.Error("the plugin lives")
	}
	if _, err := os.Stat(run); err == nil {
		t.Error("the run directory is still there")
	}
	if _, err := p.Runner("good", ""); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
	r.Register(2, target("good"), nil)
	r.Start(due(time.Second, 2))
	r.Forget(2)
}

func TestCloseDoesNotWaitForAHungPlugin(t *testing.T) {
	p := New(Options{Dirs: []string{plugins}, timing: fast(), env: endAtOnce()})
	r := runner(t, p, "good")
	r.Register(1, target("good"), sdk.Options{"act": "stop"})
	if _, err := p.Describe(t.Context(), "good"); err != nil {
		t.Fatal(err)
	}
	r.Start(due(50*time.Millisecond, 1))
	collect(t, r, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_ = p.Close(ctx)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

// The kernel kills the plugins of a daemon that had no time to; the next one tidies up.
func TestNoPluginOutlivesAKilledDaemon(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(exe)
	daemon.Env = append(os.Environ(), asDaemon+"="+plugins)
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	var pid, grandchild int
	_, scanErr := fmt.Sscan(line, &pid, &grandchild)
	killErr := daemon.Process.Kill()
	_ = daemon.Wait() // "signal: killed"
	if err := errors.Join(err, scanErr, killErr); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatal("the plugin outlives its daemon")
		}
		<-time.After(5 * time.Millisecond)
	}
	run := filepath.Join(plugins, "run")
	if left, _ := os.ReadDir(run); len(left) != 1 {
		t.Fatalf("expected what the plugin has left behind: %v", left)
	}
	p, _ := newPool(t, func(o *Options) { o.RunDir = run })
	if _, err := p.Describe(t.Context(), "good"); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(run); len(left) != 1 {
		t.Errorf("stale directories: %v", left)
	}
	for deadline := time.Now().Add(5 * time.Second); alive(grandchild); {
		if time.Now().After(deadline) {
			t.Fatal("what the plugin had started outlives the next start of the daemon")
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestIdleProcessEnds(t *testing.T) {
	p, _ := newPool(t, func(o *Options) { o.timing.idle = 50 * time.Millisecond })
	if _, err := p.Describe(t.Context(), "good"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); p.Status()[0].State != "idle"; {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", p.Status())
		}
		<-time.After(5 * time.Millisecond)
	}
	r := runner(t, p, "good")
	r.Register(1, target("good"), nil)
	r.Start(due(5*time.Second, 1))
	if v := collect(t, r, 1)[1]; !isUp(v) {
		t.Errorf("it comes back when needed: %+v", v)
	}
}

func TestBackoffAndBreaker(t *testing.T) {
	p := &process{pool: &Pool{o: Options{timing: timing{}.defaults()}}}
	var got []time.Duration
	for p.failures = 1; p.failures <= 12; p.failures++ {
		got = append(got, p.pause())
	}
	want := []time.Duration{
		100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 300000,
	}
	for i := range want {
		if got[i] != want[i]*time.Millisecond {
			t.Errorf("pause %d: %v, want %v", i+1, got[i], want[i]*time.Millisecond)
		}
	}
}
