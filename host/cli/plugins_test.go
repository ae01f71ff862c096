package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPlugins(t *testing.T) {
	smtp := Plugin{
		Service: "smtp", Path: "/opt/ldirectord-check-smtp", Real: "/opt/ldirectord-check-smtp", Version: "1.2", Summary: "greets\x1b[31m", IPv6: true,
		Services: []Service{{"smtp", 25, "tcp"}, {"lmtp", 0, "tcp"}, {"submission", 587, "tcp"}},
		Options: []PluginOption{
			{Name: "role", Type: "string", Help: "what it is", Required: true},
			{Name: "passwd", Type: "string", Help: "to log in with", Secret: true},
			{Name: "depth", Type: "int", Default: "1", Help: "lines to read"},
		},
	}
	lmtp := smtp
	lmtp.Service, lmtp.Path = "lmtp", "/opt/ldirectord-check-lmtp"
	r := PluginReport{Directories: []string{"/opt", "/usr"}, Plugins: []Plugin{
		smtp, lmtp,
		{Service: "old", Path: "/opt/ldirectord-check-old", Real: "/opt/ldirectord-check-old", Services: []Service{{"old", 9, "udp"}}},
		{Service: "mine", Path: "/opt/ldirectord-check-mine", Error: "/opt is writable by others (mode 0777)\n"},
		{Service: "smtp", Path: "/usr/ldirectord-check-smtp", Shadowed: "/opt/ldirectord-check-smtp"},
		{Service: "mine", Path: "/usr/ldirectord-check-mine", Shadowed: "/opt/ldirectord-check-mine", Error: "it is not executable"},
	}}
	for name, options := range map[string]bool{"plugins.txt": false, "plugins-options.txt": true} {
		var got bytes.Buffer
		if err := r.Text(&got, options); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("got:\n%s\nwant (%s):\n%s", got.String(), path, want)
		}
	}
	var got bytes.Buffer
	if err := r.JSON(&got); err != nil {
		t.Fatal(err)
	}
	var back PluginReport
	if err := json.Unmarshal(got.Bytes(), &back); err != nil || len(back.Plugins) != len(r.Plugins) || !back.Plugins[0].Options[1].Secret {
		t.Errorf("%v: %s", err, got.String())
	}
}

func TestNoPlugins(t *testing.T) {
	var got bytes.Buffer
	r := PluginReport{Directories: []string{"/opt", "/usr"}}
	if err := r.Text(&got, true); err != nil || got.String() != "no plugins in /opt, /usr\n" {
		t.Errorf("%v: %q", err, got.String())
	}
	got.Reset()
	if err := r.JSON(&got); err != nil || !strings.Contains(got.String(), `"plugins": []`) {
		t.Errorf("%v: %s", err, got.String())
	}
}
