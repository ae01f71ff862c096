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
		// One piece may be had: the kernel does not count what takes the place of an address range that the
		// Go runtime has reserved. What is asked for after that is refused.
		var much [][]byte
		for range 4 * maxMemory / (8 << 20) {
			piece := make([]byte, 8<<20)
			for i := 0; i < len(piece); i += 4096 {
				piece[i] = 1
			}
			much = append(much, piece)
		}
		t.Logf("it got %d pieces", len(much))
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
