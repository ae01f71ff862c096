package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestServicesFile compares the file from which the build makes links with what the check says.
func TestServicesFile(t *testing.T) {
	text, err := os.ReadFile("services")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, s := range newCheck().Services {
		want = append(want, s.Name)
	}
	if got := strings.Fields(string(text)); !slices.Equal(got, want) {
		t.Errorf("the file has %q, the check serves %q", got, want)
	}
}
