package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/host/control"
)

func probeReports() map[string]ProbeReport {
	weight := 7
	return map[string]ProbeReport{
		"probe-down.txt": {
			Virtual: "10.0.0.1:80", Protocol: "tcp", Real: "10.0.0.11:80", Note: "checktype = 3: this is the negotiate check",
			Kind: "http", Address: "10.0.0.11:8080", Network: "tcp", Timeout: 30, Lines: []string{"web.cf:4", "web.cf:9"},
			Status: "down", Code: "l7-status", Reason: "500 \x1b[31mOops\n", Weight: &weight,
			Phases:     []control.Phase{{Name: "connect", Seconds: 0.000123456}, {Name: "first\tbyte", Seconds: 0.0123456}, {Name: "total", Seconds: 1.23456}},
			Transcript: []string{"> GET / HTTP/1.1", "< \x1b[2J\u009b\u202eHTTP/1.1 500", "< " + strings.Repeat("x", 2000)},
		},
		"probe-unchecked.txt": {Virtual: "5", Protocol: "fwm", IPv6: true, Real: "[2001:db8::11]:0", Status: Unchecked, Note: "nothing is checked: checktype = on"},
		"probe-ping.txt": {
			Virtual: "10.0.0.1:53", Protocol: "udp", Real: "10.0.0.11:53", Kind: "ping", Address: "10.0.0.11", Timeout: 1.5,
			Lines: []string{"dns.cf:2"}, Status: "up", Phases: []control.Phase{{Name: "echo", Seconds: 0.0004}},
		},
	}
}

func TestProbeText(t *testing.T) {
	for name, r := range probeReports() {
		var got bytes.Buffer
		if err := r.Text(&got); err != nil {
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
}

func TestProbeJSON(t *testing.T) {
	var out bytes.Buffer
	if err := probeReports()["probe-down.txt"].JSON(&out); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\u009b\u202e") {
		t.Errorf("not fit for a terminal: %q", out.String())
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"virtual": "10.0.0.1:80", "protocol": "tcp", "real": "10.0.0.11:80", "kind": "http", "address": "10.0.0.11:8080", "network": "tcp",
		"timeout": 30.0, "status": "down", "code": "l7-status", "reason": `500 \x1b[31mOops\n`, "weight": 7.0,
	} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
	if phases := got["phases"].([]any); len(phases) != 3 || phases[2].(map[string]any)["seconds"] != 1.23456 {
		t.Errorf("phases: %v", phases)
	}
}

func TestProbeTranscriptIsBounded(t *testing.T) {
	r := ProbeReport{Transcript: strings.Split(strings.Repeat("\n", 64<<10), "\n")}.Safe()
	if n := len(r.Transcript); n != maxTranscript+1 || r.Transcript[n-1] != "* 65137 lines more" {
		t.Errorf("%d lines, the last %q", n, r.Transcript[n-1])
	}
}
