package script

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/builtin"
	"github.com/ldirectord/ldirectord/sdk"
)

// TestThousandPrograms starts a thousand checks at once: no more run than may, all have a
// verdict of their own, and the descriptors in use stay few.
func TestThousandPrograms(t *testing.T) {
	const checks, places = 1000, 64
	c := &externalChecker{launcher: newLauncher()}
	e := &External{builtin.Runner(c, builtin.Options{Max: places}), c}
	path := write(t, "check", "#!/bin/sh\nexit $(($4 % 2))\n")
	due := make([]sdk.Due, checks)
	for i := range due {
		id := uint64(i + 1)
		target := target()
		target.Addr = netip.AddrPortFrom(target.Addr.Addr(), uint16(id))
		e.Register(id, target, command(path))
		due[i] = sdk.Due{ID: id, Remaining: 50 * time.Second}
	}
	before := descriptors(t)
	e.Start(due)
	most, seen := 0, map[uint64]bool{}
	for len(seen) < checks {
		for _, r := range <-e.Results() {
			want := sdk.StatusUp
			if r.ID%2 == 1 {
				want = sdk.StatusDown
			}
			if r.Verdict.Status != want {
				t.Errorf("check %d: %+v", r.ID, r.Verdict)
			}
			seen[r.ID] = true
		}
		most = max(most, descriptors(t)-before)
	}
	if most > 4*places+16 {
		t.Errorf("%d descriptors for %d programs", most, places)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if left := descriptors(t) - before; left > 0 {
		t.Errorf("%d descriptors are left open", left)
	}
}

// TestCloseEndsPrograms closes the runner while programs run that do not listen.
func TestCloseEndsPrograms(t *testing.T) {
	t.Parallel()
	e := NewExternal()
	path := write(t, "check", stubborn)
	e.Register(1, target(), command(path))
	e.Start([]sdk.Due{{ID: 1, Remaining: time.Minute}})
	pids := filepath.Join(filepath.Dir(path), "pids")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(pids); err == nil && len(text) > 0 && len(pidsOf(t, pids)) == 5 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the script does not begin")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
	for _, pid := range pidsOf(t, pids) {
		if alive(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/" + strconv.Itoa(os.Getpid()) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}
