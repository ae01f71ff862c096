package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMemory: a process that wants too much memory ends, and takes nobody's.
func TestMemory(t *testing.T) {
	if os.Getenv("LDIRECTORD_TEST_MEMORY") != "" {
		if err := boundMemory(); err != nil {
			t.Fatal(err)
		}
		t.Logf("allocated %d bytes", len(make([]byte, maxMemory)))
		return
	}
	again := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v")
	again.Env = append(os.Environ(), "LDIRECTORD_TEST_MEMORY=yes")
	said, err := again.CombinedOutput()
	// The race detector has words of its own.
	ended := strings.Contains(string(said), "out of memory") || strings.Contains(string(said), "failed to allocate")
	if err == nil || !ended || strings.Contains(string(said), "allocated") {
		t.Errorf("%v\n%s", err, said)
	}
}
