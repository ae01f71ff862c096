package systemd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unit is the one that docs/systemd.md shows.
func unit(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/systemd.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```ini\n")
	text, _, ended := strings.Cut(rest, "```\n")
	if !found || !ended {
		t.Fatal("docs/systemd.md shows no unit")
	}
	return text
}

// TestUnit has systemd-analyze read the unit: every directive is known and its value can be used. That the daemon can work with
// what it leaves, no systemd is there to show: TestStories was run with the same capabilities.
func TestUnit(t *testing.T) {
	if !inside(t) {
		return
	}
	write(t, program, "#!/bin/sh\n")
	text := strings.ReplaceAll(unit(t), "/usr/sbin/ldirectord", program)
	if strings.Count(text, program) < 2 {
		t.Fatalf("the unit does not run the program:\n%s", text)
	}
	t.Setenv("SYSTEMD_UNIT_PATH", "/run/systemd/system:"+filepath.Join(os.Getenv(insideVariable), "usr/lib/systemd/system"))
	if problems := verify(t, text); len(problems) > 0 {
		t.Errorf("systemd-analyze: %q", problems)
	}
	for _, broken := range []string{"Type=notify", "WatchdogSec=", "ProtectSystem="} {
		if len(verify(t, strings.Replace(text, broken, broken+"nonsense ", 1))) == 0 {
			t.Errorf("systemd-analyze has nothing against %snonsense", broken)
		}
	}
}

// verify returns what systemd-analyze has against the unit, the words on other units left out.
func verify(t *testing.T, text string) []string {
	t.Helper()
	const path = "/run/systemd/system/ldirectord@.service"
	write(t, path, text)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := tool("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "ldirectord@web.cf.service").CombinedOutput()
	problems := slices.Collect(strings.Lines(string(out)))
	if err != nil {
		problems = append(problems, err.Error())
	}
	return slices.DeleteFunc(problems, func(p string) bool {
		return !strings.Contains(p, "ldirectord") && !strings.Contains(p, "exit status")
	})
}
