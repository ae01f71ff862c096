package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/cli"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest/rules"
)

// probeFile writes a configuration, AT being a server that greets and SHUT a port that refuses.
func probeFile(t *testing.T, text string) string {
	t.Helper()
	at, stop, err := rules.Lines("220 ready")(rules.Localhost())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut.Close()
	path := filepath.Join(t.TempDir(), "probe.cf")
	text = strings.NewReplacer("AT", at.String(), "SHUT", shut.Addr().String()).Replace(text)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// leaky is a directory with a plugin of service banner that puts its passwd into its transcript.
func leaky(t *testing.T) string {
	t.Helper()
	dir := pluginFolder(t, "bad-secrets")
	if err := os.Symlink("ldirectord-check-bad-secrets", filepath.Join(dir, "ldirectord-check-banner")); err != nil {
		t.Fatal(err)
	}
	return dir
}

const probed = `plugindir = DIR
negotiatetimeout = 3
checktimeout = 2
quiescent = no
virtual = 192.0.2.1:80
	real = AT masq
	real = SHUT masq
	service = banner
	option.role = any
	passwd = "pin"
virtual = 192.0.2.2:80
	real = SHUT masq
	service = banner
	checktype = 4
	option.role = any
virtual = 192.0.2.3:80
	real = AT masq
	checktype = on
virtual = 192.0.2.4:80
	real = AT masq
	service = none
virtual = 192.0.2.5:80
	real = AT masq
	checktype = connect
`

func TestProbe(t *testing.T) {
	file := probeFile(t, strings.Replace(probed, "DIR", leaky(t), 1))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	at, shut := strings.Fields(lines[5])[2], strings.Fields(lines[6])[2]
	for name, test := range map[string]struct {
		args string
		code int
		want cli.ProbeReport
	}{
		"up":           {"192.0.2.1:80 " + at, exitOK, cli.ProbeReport{Kind: "banner", Timeout: 3, Status: "up"}},
		"down":         {"192.0.2.1:80 " + shut, exitDown, cli.ProbeReport{Kind: "banner", Timeout: 3, Status: "down", Code: "l4-refused"}},
		"N":            {"192.0.2.2:80 " + shut, exitDown, cli.ProbeReport{Kind: "banner", Timeout: 3, Status: "down", Code: "l4-refused", Note: "checktype = 4: this is the negotiate check"}},
		"N connecting": {"--connect 192.0.2.2:80 " + shut, exitDown, cli.ProbeReport{Kind: "connect", Timeout: 2, Status: "down", Code: "l4-refused", Note: "checktype = 4: this is the connect check"}},
		"on":           {"192.0.2.3:80 " + at, exitUnknown, cli.ProbeReport{Status: "unchecked", Note: "nothing is checked: checktype = on"}},
		"none":         {"192.0.2.4:80 " + at, exitUnknown, cli.ProbeReport{Status: "unchecked", Note: "nothing is checked: service = none"}},
		"connect":      {"192.0.2.5:80 " + at, exitOK, cli.ProbeReport{Kind: "connect", Timeout: 2, Status: "up"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := command(append([]string{file, "probe", "--json"}, strings.Fields(test.args)...)...)
			var got cli.ProbeReport
			if err := json.Unmarshal([]byte(out), &got); err != nil || errs != "" {
				t.Fatalf("%v: %s%s", err, out, errs)
			}
			want := test.want
			if code != test.code || got.Kind != want.Kind || got.Timeout != want.Timeout || got.Status != want.Status || got.Code != want.Code {
				t.Errorf("code %d: %s", code, out)
			}
			if want.Note == "" && got.Note != "" || !strings.HasPrefix(got.Note, want.Note) {
				t.Errorf("note %q, want %q", got.Note, want.Note)
			}
			if strings.Contains(out, "pin") || got.Status == "up" && got.Kind == "banner" && strings.Join(got.Transcript, "") != "PASS ***" {
				t.Errorf("transcript: %s", out)
			}
			if want.Kind != "" && (len(got.Lines) != 1 || !strings.HasPrefix(got.Lines[0], file+":")) {
				t.Errorf("lines %q", got.Lines)
			}
		})
	}
}

func TestProbeText(t *testing.T) {
	file := probeFile(t, strings.Replace(probed, "DIR", leaky(t), 1))
	code, out, errs := command(file, "probe", "192.0.2.2:80", "127.0.0.1")
	if code != exitDown || errs != "" || !strings.HasPrefix(out, "verdict ") || !strings.Contains(out, "\ncode         l4-refused\n") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
}

func TestProbeRefuses(t *testing.T) {
	file := probeFile(t, strings.Replace(probed, "DIR", t.TempDir(), 1)) // no plugin there
	for name, test := range map[string]struct {
		args, says string
		code       int
	}{
		"too few words": {file + " probe 192.0.2.1:80", "usage: ", exitUsage},
		"unknown flag":  {file + " probe --nothing 192.0.2.1:80 x", "unknown flag", exitUsage},
		"no file":       {"nowhere.cf probe 192.0.2.1:80 x", "nowhere.cf", exitConfig},
		"broken file":   {file + " probe 192.0.2.1:80 x", "ldirectord-check-banner", exitConfig},
	} {
		if code, out, errs := command(strings.Fields(test.args)...); code != test.code || out != "" || !strings.Contains(errs, test.says) {
			t.Errorf("%s: code %d: %s%s", name, code, out, errs)
		}
	}
}

const places = `quiescent = no
virtual = localhost:http
	real = localhost:8080 masq
	real = 10.0.0.11->10.0.0.12:80 masq
	checktype = connect
virtual = 10.0.0.1:53
	real = 10.0.0.11 gate
	real = 10.0.0.12:54 gate
	real = 10.0.0.12:55 gate
	fallback = 10.0.0.9:53
	protocol = tcp
	checktype = connect
virtual = 10.0.0.1:53
	protocol = udp
	real = 10.0.0.11:53 masq
	checktype = on
virtual = 5
	real = 10.0.0.11 gate
	checktype = ping
virtual6 = 5
	real6 = [2001:db8::11] gate
	checktype = ping
virtual6 = [2001:db8::1]:80
	real6 = [2001:db8::11]:8080 masq
	real6 = [2001:db8::11]:8081 masq
	checktype = connect
`

func TestFindProbe(t *testing.T) {
	loader := config.Loader{OpenCatalog: func(string, string) config.Catalog { return anyService{} }}
	cfg, err := loader.Parse(t.Context(), "p.cf", []byte(places))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		virtual, real string
		want          string // where the check looks, or the note without one
		err           string
	}{
		{virtual: "localhost:http", real: "localhost:8080", want: "127.0.0.1:8080"},
		{virtual: "LOCALHOST:80", real: "127.0.0.1:8080", want: "127.0.0.1:8080"},
		{virtual: "127.0.0.1:80", real: "localhost", want: "127.0.0.1:8080"},
		{virtual: "tcp:127.0.0.1:80", real: "10.0.0.12:80", want: "10.0.0.12:80"},
		{virtual: "tcp:10.0.0.1:53", real: "10.0.0.11:53", want: "10.0.0.11:53"},
		{virtual: "tcp:10.0.0.1:53", real: "10.0.0.11", want: "10.0.0.11:53"},
		{virtual: "tcp:10.0.0.1:53", real: "10.0.0.12:55", want: "10.0.0.12:55"},
		{virtual: "tcp:10.0.0.1:53", real: "10.0.0.12:53", err: "has several checks: choose one with --line 8 or 9"},
		{virtual: "tcp:10.0.0.1:53", real: "10.0.0.9:53", want: "it is the fallback server: nothing checks it"},
		{virtual: "10.0.0.1:53", real: "10.0.0.11", err: `"10.0.0.1:53" may be tcp:10.0.0.1:53, udp:10.0.0.1:53`},
		{virtual: "udp:10.0.0.1:53", real: "10.0.0.11:53", want: "nothing is checked: checktype = on"},
		{virtual: "5", real: "10.0.0.11", err: `"5" may be fwm:5, fwm6:5`},
		{virtual: "fwm:5", real: "10.0.0.11", want: "10.0.0.11:0"},
		{virtual: "fwm6:5", real: "2001:DB8:0::11", want: "[2001:db8::11]:0"},
		{virtual: "[2001:db8:0:0::1]:80", real: "[2001:DB8::11]:8081", want: "[2001:db8::11]:8081"},
		{virtual: "[2001:db8::1]", real: "[2001:db8::11]", err: `may be [2001:db8::11]:8080, [2001:db8::11]:8081`},
		{virtual: "10.0.0.2:53", real: "10.0.0.11", err: `no virtual service "10.0.0.2:53" (did you mean "10.0.0.1:53"?); there is tcp:127.0.0.1:80, tcp:10.0.0.1:53, udp`},
		{virtual: "fwm:5", real: "10.0.0.12:80", err: `no real server "10.0.0.12:80" of fwm:5 (did you mean`},
		{virtual: "", real: "", err: `no virtual service ""; there is`},
	} {
		f, err := findProbe(cfg, probeOrder{virtual: test.virtual, real: test.real})
		if test.err != "" || err != nil {
			if err == nil || test.err == "" || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s %s: got error %v, want %q", test.virtual, test.real, err, test.err)
			}
			continue
		}
		got := f.note
		if f.check != nil {
			got = f.check.Target.Addr.String()
		}
		if got != test.want {
			t.Errorf("%s %s: got %s, want %s", test.virtual, test.real, got, test.want)
		}
	}
	for line, want := range map[int]string{8: "10.0.0.12:54", 9: "10.0.0.12:55", 7: ""} {
		f, err := findProbe(cfg, probeOrder{virtual: "tcp:10.0.0.1:53", real: "10.0.0.12:53", line: line})
		if (err != nil) != (want == "") || err == nil && f.check.Target.Addr.String() != want {
			t.Errorf("line %d: got %+v, %v, want %s", line, f.check, err, want)
		}
	}
	if _, err := findProbe(cfg, probeOrder{virtual: "fwm:5", real: "10.0.0.11", connect: true}); err == nil || !strings.Contains(err.Error(), "checktype = N alone") {
		t.Errorf("--connect without a number: got %v", err)
	}
}

func TestFindProbeUnresolved(t *testing.T) {
	const text = "quiescent = no\nvirtual = 10.0.0.1:80\n\treal = nowhere.invalid:80 masq\n\tchecktype = connect\nvirtual = gone.invalid:80\n\treal = 10.0.0.11:80 masq\n\tchecktype = connect\n"
	loader := config.Loader{OpenCatalog: func(string, string) config.Catalog { return anyService{} }, Resolver: nobody{}}
	cfg, err := loader.Parse(t.Context(), "p.cf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for words, want := range map[[2]string]string{
		{"10.0.0.1:80", "nowhere.invalid:80"}: "its name does not resolve",
		{"gone.invalid:80", "10.0.0.11:80"}:   "the name of the virtual service does not resolve",
	} {
		f, err := findProbe(cfg, probeOrder{virtual: words[0], real: words[1]})
		if err != nil || f.check != nil || f.note != want {
			t.Errorf("%v: got %+v, %v", words, f, err)
		}
	}
}

func TestProbeRedacts(t *testing.T) {
	f := probeFound{
		check:   &state.Check{Options: sdk.Options{"passwd": "pin", "secret": "pin-code", "request": "http://me:word@web/"}},
		secrets: map[string]bool{"passwd": true, "secret": true, "login": true},
	}
	given := sdk.Verdict{
		Reason: "pin-code refused", Code: "l7-pin", Transcript: "PASS pin\ncGlu\nGET http://me:word@web/",
		Phases: []sdk.Phase{{Name: "with pin", Took: 1}},
	}
	got := f.redact(given)
	if got.Reason != "*** refused" || got.Code != "l7-***" || got.Transcript != "PASS ***\n***\nGET http://***@web/" || got.Phases[0].Name != "with ***" {
		t.Errorf("got %+v", got)
	}
	if given.Phases[0].Name != "with pin" {
		t.Error("the verdict given was changed")
	}
}

// nobody knows no host.
type nobody struct{}

func (nobody) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (nobody) LookupPort(ctx context.Context, network, service string) (int, error) {
	return net.DefaultResolver.LookupPort(ctx, network, service)
}

// TestProbeInterrupted presses ctrl-C as soon as the server has its connection.
func TestProbeInterrupted(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	file := probeFile(t, strings.NewReplacer("DIR", leaky(t), "negotiatetimeout = 3", "negotiatetimeout = 60", "SHUT", mute.Addr().String()).Replace(probed))
	closed := make(chan struct{})
	go func() { // waited for below
		defer close(closed)
		conn, err := mute.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, conn) // until the plugin lets go
	}()
	begun := time.Now()
	code, out, _ := command(file, "probe", "192.0.2.1:80", mute.Addr().String())
	if code != exitUnknown || !strings.Contains(out, "the probe was ended: interrupt") || time.Since(begun) > 20*time.Second {
		t.Errorf("code %d after %v: %s", code, time.Since(begun), out)
	}
	<-closed
}
