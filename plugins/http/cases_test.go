package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/ldirectord/ldirectord/sdk"
)

// loopback are the addresses that every case is played on.
func loopback() []string { return []string{"127.0.0.1:0", "[::1]:0"} }

// A case is a txtar file in testdata: options (with service, deadline, the server's tls, and family = 4 for what needs localhost),
// server (a script), and what is wanted: verdict (status, code, then patterns of which each is
// found in the reason), request (all of them, in order) and sni (names asked for).
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		for _, address := range loopback() {
			t.Run(name+"/"+strings.TrimSuffix(address, ":0"), func(t *testing.T) {
				t.Parallel()
				playCase(t, address, archive, inProcess)
			})
		}
		t.Run(name+"/plugin", func(t *testing.T) {
			t.Parallel()
			playCase(t, loopback()[0], archive, throughPlugin)
		})
	}
}

// prober runs the check once.
type prober func(t *testing.T, deadline time.Duration, target sdk.Target, o sdk.Options) sdk.Verdict

func inProcess(t *testing.T, deadline time.Duration, target sdk.Target, o sdk.Options) sdk.Verdict {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	return newCheck().Checker().Probe(ctx, target, o)
}

func playCase(t *testing.T, address string, archive *txtar.Archive, probe prober) {
	part := map[string]string{}
	for _, f := range archive.Files {
		part[f.Name] = string(f.Data)
	}
	settings := parseSettings(part["options"])
	take := func(name, otherwise string) string {
		v, ok := settings[name]
		delete(settings, name)
		if !ok {
			return otherwise
		}
		return v
	}
	if take("family", "") == "4" && address[0] == '[' {
		return // localhost is not everywhere an IPv6 name
	}
	deadline, err := time.ParseDuration(take("deadline", "10s"))
	if err != nil {
		t.Fatal(err)
	}
	service := take("service", "http")
	var config *tls.Config
	if kind := take("tls", ""); kind != "" || strings.Contains(part["server"], "tls") {
		config = tlsConfig(t, kind)
	}
	srv := serveScript(t, address, parseScript(part["server"]), config)
	options := sdk.Options{}
	for name, value := range settings {
		options[name] = srv.fill(value)
		if value == "{ca}" {
			options[name] = writeCA(t, config)
		}
	}
	begun := time.Now()
	v := probe(t, deadline, targetOf(t, service, srv.addr()), options)
	if took := time.Since(begun); took > deadline+2*time.Second {
		t.Errorf("took %v with a deadline of %v", took, deadline)
	}
	wantVerdict(t, v, srv.fill(part["verdict"]))
	requests, names := srv.seen()
	if want, ok := part["request"]; ok {
		if got := strings.Join(requests, ""); strings.TrimSpace(got) != strings.TrimSpace(srv.fill(want)) {
			t.Errorf("requests:\n%s\nwant:\n%s", got, srv.fill(want))
		}
	}
	if want, ok := part["sni"]; ok && strings.Join(names, "\n") != strings.TrimSpace(want) {
		t.Errorf("SNI %q, want %q", names, want)
	}
}

func parseSettings(text string) map[string]string {
	settings := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, "="); ok {
			settings[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return settings
}

func writeCA(t *testing.T, config *tls.Config) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: config.Certificates[0].Certificate[0]}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func targetOf(t *testing.T, service, addr string) sdk.Target {
	t.Helper()
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return sdk.Target{Service: service, Addr: ap, Network: "tcp"}
}

// wantVerdict compares with "STATUS [CODE]", then lines that are patterns for the reason; without
// any, an Up has no reason.
func wantVerdict(t *testing.T, v sdk.Verdict, want string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(want), "\n")
	status, code, _ := strings.Cut(lines[0], " ")
	if v.Status.String() != status || string(v.Code) != code {
		t.Errorf("verdict %s %s (%s), want %s\n%s", v.Status, v.Code, v.Reason, lines[0], v.Transcript)
	}
	for _, line := range lines[1:] {
		if !regexp.MustCompile(line).MatchString(v.Reason) {
			t.Errorf("reason %q does not match %q", v.Reason, line)
		}
	}
	if len(lines) == 1 && v.Status == sdk.StatusUp && v.Reason != "" {
		t.Errorf("reason %q, want none", v.Reason)
	}
	if v.Status != sdk.StatusUp && v.Reason == "" {
		t.Error("no reason")
	}
	if n := len(v.Phases); n == 0 || v.Phases[n-1].Name != "total" {
		t.Errorf("phases %v do not end in total", v.Phases)
	}
}

// refusedAddr is an address that nobody listens at.
func refusedAddr(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
