package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
)

// TestServicesPageIsCurrent builds every plugin and asks it, so that no option changes unseen.
func TestServicesPageIsCurrent(t *testing.T) {
	root := filepath.Join("..", "..")
	want, err := generate(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Errorf("%s is not what the checks say of themselves: run go run ./scripts/services%s", page, firstDifference(string(have), want))
	}
	for _, part := range []string{
		"| `https` | 443 | tcp | yes | [http](#http) |\n", "| `dns` | 53 | udp |", "\n## smtp\n", "| `passwd` | string |  | secret | password of login |",
		"| `option.tls-verify` | bool | `no` |", "\n### connect\n", "\n### ping\n", "\n### external-perl\n", "\n### external-lua\n",
	} {
		if !strings.Contains(want, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

// firstDifference shows where two texts part.
func firstDifference(have, want string) string {
	h, w := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range w {
		if i >= len(h) || h[i] != w[i] {
			return "\nfrom line " + h[min(i, len(h)-1)] + "\nwhich is " + w[i]
		}
	}
	return ""
}

func TestWrite(t *testing.T) {
	d := described{folder: "banner", Info: sdk.Info{
		Name: "banner", Summary: "reads a greeting", IPv6: false,
		Services: []sdk.Service{{Name: "greeting", Network: "udp"}, {Name: "banner", Port: 25, Network: "tcp"}},
		Options: []sdk.Option{
			{Name: "receive", Type: "pattern", Default: "a|b", Help: "what\nhas to come", Required: true},
			{Name: "token", Type: "string", Secret: true, Help: "<none>"},
		},
	}}
	got := write([]described{d}, []described{{Info: sdk.Info{Name: "bare", Summary: "a check"}}})
	for _, part := range []string{
		"| `banner` | 25 | tcp | no | [banner](#banner) |\n| `greeting` | - | udp | no | [banner](#banner) |\n",
		"\nReads a greeting. Services: `greeting`, `banner`. [More](../plugins/banner/README.md).\n",
		"| `receive` | pattern | `a\\|b` | required | what has to come |\n",
		"| `option.token` | string |  | secret | &lt;none> |\n",
		"### bare\n\nA check.\n\nIt describes no options.\n",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
}

func TestSameServices(t *testing.T) {
	info := sdk.Info{Services: []sdk.Service{{Name: "pops"}, {Name: "pop"}}}
	if err := sameServices(info, []string{"pop", "pops"}); err != nil {
		t.Error(err)
	}
	if sameServices(info, []string{"pop"}) == nil {
		t.Error("a service without a link passes")
	}
}
