package plugin

import (
	"bytes"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A plugin's threads may be woken up late: see timerSlack.
func TestTimerSlackIsInherited(t *testing.T) {
	s := newSpawner()
	defer s.close()
	var out bytes.Buffer
	cmd := exec.Command("cat", "/proc/self/timerslack_ns")
	cmd.Stdout = &out
	if err := s.start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(out.String()), strconv.FormatInt(timerSlack.Nanoseconds(), 10); got != want {
		t.Errorf("slack %s ns, want %s", got, want)
	}
}
