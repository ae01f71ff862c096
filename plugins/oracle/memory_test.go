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
		much := make([]byte, 2*maxMemory+len(os.Args)) // the compiler does not know the size: it must not leave this out
		much[len(much)-1] = 1
		t.Logf("it got %d bytes", len(much))
		return
	}
	again := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v")
	again.Env = append(os.Environ(), "LDIRECTORD_TEST_MEMORY=yes")
	said, err := again.CombinedOutput()
	// How it ends depends on who asks for memory first: the heap, the collector, the race detector.
	if err == nil || strings.Contains(string(said), "it got ") || strings.Contains(string(said), "--- FAIL") {
		t.Errorf("%v\n%s", err, said)
	}
}
