package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReferenceIsUpToDate(t *testing.T) {
	root := filepath.Join("..", "..")
	want, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s is not what the code says: go run ./scripts/reference", page)
	}
	for _, part := range []string{"required:\"true\"", "| `sdk.CodeRefused` | `l4-refused` |", "| `cancel` |",
		"| `Judge`", "### message Verdict", "| `optional uint32 weight` | 6 |", "| `Probe(ProbeRequest) returns (ProbeResponse)`",
		"| `STATUS_DOWN` | 2 |", "| `map<string, string> options` | 2 |"} {
		if !strings.Contains(want, part) {
			t.Errorf("the reference lacks %s", part)
		}
	}
}
