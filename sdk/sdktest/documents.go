package sdktest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
)

// example is the configuration in a README.
var example = regexp.MustCompile("(?s)```conf\n(.*?)```")

// Documents compares what is written about a check with what it says of itself. The README has a
// heading with the check's name, a table with a row "| `NAME` | `DEFAULT` |" for each
// option, an example in a block ```conf with a section for each service, all valid, and a
// section "What Down means". The file services lists the services, one a line.
func Documents[O any](t *testing.T, check sdk.Check[O], readme, services string) {
	t.Helper()
	c := check.Checker()
	info, err := c.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, readme)
	if !strings.HasPrefix(text, "# "+info.Name+":") || !strings.Contains(text, "\n## What Down means\n") {
		t.Errorf("%s: no heading with the name %s, or none that says what Down means", readme, info.Name)
	}
	for _, o := range info.Options {
		row := "| `" + o.Name + "` | `" + o.Default + "` |"
		if o.Default == "" {
			row = "| `" + o.Name + "` | |"
		}
		if !strings.Contains(text, row) {
			t.Errorf("%s: no row %q in the table of options", readme, row)
		}
	}
	block := example.FindStringSubmatch(text)
	if block == nil {
		t.Fatalf("%s: no example", readme)
	}
	parts := strings.Split("\n"+block[1], "\nvirtual")[1:]
	var shown, names []string
	for _, part := range parts {
		shown = append(shown, tryExample(t, c, info, part))
	}
	for _, s := range info.Services {
		names = append(names, s.Name)
	}
	slices.Sort(shown)
	if slices.Compare(slices.Sorted(slices.Values(names)), shown) != 0 {
		t.Errorf("%s: an example of %q, and the check serves %q", readme, shown, names)
	}
	if got := strings.Fields(read(t, services)); !slices.Equal(got, names) {
		t.Errorf("%s has %q, the check serves %q", services, got, names)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tryExample validates a section of the example and gives back its service.
func tryExample(t *testing.T, c sdk.Checker, info sdk.Info, section string) string {
	t.Helper()
	options := sdk.Options{}
	all := settings(section)
	known := func(name string) bool {
		return slices.ContainsFunc(info.Options, func(o sdk.Option) bool { return o.Name == name })
	}
	for name, value := range all {
		own, isOwn := strings.CutPrefix(name, "option.")
		switch {
		case isOwn || known(name):
			options[own] = strings.Trim(value, `"`)
		case !slices.Contains([]string{"", "service", "real", "protocol", "checktype", "checkport"}, name):
			t.Errorf("example: directive %q is not the check's", name)
		}
	}
	if err := c.Validate(t.Context(), all["service"], options); err != nil {
		t.Errorf("example%s: %v", section, err)
	}
	return all["service"]
}
