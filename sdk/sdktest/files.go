package sdktest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/internal/wire"
)

// lateness is how much later than its deadline a verdict may come: the second that a director waits.
const lateness = time.Second

// prompt is how soon a verdict has to be there that does not wait for the deadline.
const prompt = 5 * time.Second

// RunFiles tries cases that are written as files in txtar form, one for each file that pattern
// matches (see path/filepath.Match), over IPv4 and IPv6 in process, and once over the stream
// that the director uses. The sections of a file:
//
//	options   lines NAME = VALUE: the check's options; {ca} is a file with the server's certificate;
//	          and service, deadline (10s), and days, how long the certificate is still valid (100)
//	server    a Script; or one of the words refused, black-hole
//	sent      what the client has to send, if given; line ends are LF
//	verdict   "STATUS [CODE]", then patterns of which each is found in the reason; without any,
//	          an Up has no reason
//
// A verdict whose code ends in -timeout has to come at the deadline, not before and not much later;
// all others without waiting for it.
func RunFiles[O any](t *testing.T, check sdk.Check[O], pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files: %v", pattern, len(files), err)
	}
	inside := check.Checker()
	conn, end, err := wire.Loopback(inside)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		part := sections(string(text))
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		for way, host := range map[string]netip.Addr{"ipv4": v4(), "ipv6": netip.IPv6Loopback(), "stream": v4()} {
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				c := inside
				if way == "stream" {
					c = Streamed(conn)
				}
				playFile(t, c, host, part)
			})
		}
	}
}

// sections are those of a txtar archive, by name.
func sections(text string) map[string]string {
	marker := regexp.MustCompile(`(?m)^-- (\S+) --\n`)
	part := map[string]string{}
	at := marker.FindAllStringSubmatchIndex(text, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		part[text[m[2]:m[3]]] = text[m[1]:end]
	}
	return part
}

// fileCase is a file, read.
type fileCase struct {
	sample   Sample
	deadline time.Duration
	config   *tls.Config // nil: the server needs none
}

// readFile takes the settings that are not the check's out of the options.
func readFile(info sdk.Info, part map[string]string) (f fileCase, err error) {
	options := settings(part["options"])
	take := func(name, otherwise string) string {
		v, ok := options[name]
		delete(options, name)
		if !ok {
			return otherwise
		}
		return v
	}
	if f.deadline, err = time.ParseDuration(take("deadline", "10s")); err != nil {
		return f, err
	}
	days, err := strconv.Atoi(take("days", "100"))
	if err != nil {
		return f, fmt.Errorf("days: %w", err)
	}
	f.sample = Case{Service: take("service", ""), Options: options}.sample(info)
	if !handshake.MatchString(part["server"]) {
		return f, nil
	}
	cert, err := Certificate(time.Duration(days)*24*time.Hour + time.Hour)
	f.config = &tls.Config{Certificates: []tls.Certificate{cert}}
	return f, err
}

// handshake is the step of a script that needs a certificate.
var handshake = regexp.MustCompile(`(?m)^tls$`)

func playFile(t *testing.T, c sdk.Checker, host netip.Addr, part map[string]string) {
	info, err := c.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := readFile(info, part)
	if err != nil {
		t.Fatal(err)
	}
	server, said, err := serverOf(part["server"], f.sample, f.config)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := server(host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	options := f.sample.Options
	for name, value := range options {
		options[name] = fill(value, addr.String())
		if value == "{ca}" {
			options[name] = writeCA(t, f.config)
		}
	}
	if err := c.Validate(t.Context(), f.sample.Service.Name, options); err != nil {
		t.Fatalf("options: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), f.deadline)
	defer cancel()
	begun := time.Now()
	v := c.Probe(ctx, targetAt(f.sample, addr), options)
	wantTime(t, v, time.Since(begun), f.deadline)
	wantFile(t, v, fill(part["verdict"], addr.String()))
	if want, ok := part["sent"]; ok {
		stop() // all that was sent has been read then
		if got := strings.ReplaceAll(said(), "\r\n", "\n"); got != fill(want, addr.String()) {
			t.Errorf("the client sent:\n%s\nwant:\n%s", got, want)
		}
	}
}

func targetAt(s Sample, addr netip.AddrPort) sdk.Target {
	return sdk.Target{Service: s.Service.Name, Addr: addr, Network: s.Service.Network}
}

func serverOf(text string, s Sample, config *tls.Config) (Server, func() string, error) {
	nothing := func() string { return "" }
	switch strings.TrimSpace(text) {
	case "refused":
		return closedPort(s.Service.Network), nothing, nil
	case "black-hole":
		return BlackHole(), nothing, nil
	}
	one, err := newScript(text, config)
	if err != nil {
		return nil, nil, err
	}
	return one.server(), one.received, nil
}

func settings(text string) sdk.Options {
	all := sdk.Options{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, "="); ok {
			all[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return all
}

func wantTime(t *testing.T, v sdk.Verdict, took, deadline time.Duration) {
	t.Helper()
	late := strings.HasSuffix(string(v.Code), "-timeout")
	switch {
	case late && took < deadline-50*time.Millisecond:
		t.Errorf("%s after %v, before the deadline of %v", v.Code, took, deadline)
	case took > deadline+lateness:
		t.Errorf("took %v with a deadline of %v", took, deadline)
	case !late && took > prompt:
		t.Errorf("took %v for a verdict that waits for nothing", took)
	}
}

func wantFile(t *testing.T, v sdk.Verdict, want string) {
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
	if n := len(v.Phases); n == 0 || v.Phases[n-1].Name != "total" {
		t.Errorf("phases %v do not end in total", v.Phases)
	}
	if err := sound(v); err != nil {
		t.Error(err)
	}
}

func writeCA(t *testing.T, config *tls.Config) string {
	t.Helper()
	if config == nil {
		t.Fatal("{ca} without a step tls")
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: config.Certificates[0].Certificate[0]}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Certificate makes one that nobody trusts, signed by itself, for localhost, www.example.com
// and the loopback addresses. It is valid for so long from now; a negative time is one that expired.
func Certificate(lasts time.Duration) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "localhost"},
		NotBefore:             now.Add(-1000 * 24 * time.Hour),
		NotAfter:              now.Add(lasts),
		DNSNames:              []string{"localhost", "www.example.com"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
