package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
)

// The README's example is valid, and its table names every option with its default.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	check := newCheck().Checker()
	info, err := check.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, o := range info.Options {
		known[o.Name] = true
		row := "| `" + o.Name + "` | `" + o.Default + "` |"
		if o.Default == "" {
			row = "| `" + o.Name + "` | |"
		}
		if !strings.Contains(string(readme), row) {
			t.Errorf("no row %q in the table of options", row)
		}
	}
	example := regexp.MustCompile("(?s)```conf\n(.*?)```").FindSubmatch(readme)
	if example == nil {
		t.Fatal("no example")
	}
	sections := strings.Split(string(example[1]), "\nvirtual")[1:]
	if len(sections) != len(info.Services) {
		t.Errorf("%d sections for %d services", len(sections), len(info.Services))
	}
	for _, section := range sections {
		options := sdk.Options{}
		for name, value := range parseSettings(section) {
			own, isOwn := strings.CutPrefix(name, "option.")
			value = strings.Trim(value, `"`)
			switch {
			case isOwn || known[name]:
				options[own] = value
			case name != "service" && name != "real" && name != "":
				t.Errorf("directive %q is not the check's", name)
			}
		}
		if err := check.Validate(t.Context(), parseSettings(section)["service"], options); err != nil {
			t.Errorf("example%s: %v", section, err)
		}
	}
}
