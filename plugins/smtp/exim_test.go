package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

const eximConf = `primary_hostname = mail.example.com
daemon_smtp_ports = %[1]d : %[2]d
local_interfaces = <; 127.0.0.1 ; ::1
spool_directory = /box/spool
log_file_path = /box/%%slog.log
tls_advertise_hosts = ${if eq{$received_port}{%[2]d}{}{*}}
tls_certificate = /box/cert.pem
tls_privatekey = /box/key.pem
helo_accept_junk_hosts =
host_lookup =
acl_smtp_connect = ${if eq{$received_port}{%[2]d}{closed}{open}}
begin acl
open:
	accept
closed:
	deny message = closed for repairs
begin routers
begin transports
`

// pemOf is a fresh certificate and its key.
func pemOf(t *testing.T) (cert, key string) {
	t.Helper()
	pair, err := sdktest.Certificate(100 * 24 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestExim greets a real mail server.
func TestExim(t *testing.T) {
	open, closed := servers.Addr(t, "127.0.0.1"), servers.Addr(t, "127.0.0.1")
	open6 := netip.AddrPortFrom(netip.IPv6Loopback(), open.Port())
	cert, key := pemOf(t)
	servers.Server{
		Packages: []string{"exim4-daemon-light"},
		Users:    []string{"Debian-exim"},
		Command:  []string{"exim4", "-C", "/box/exim.conf", "-bdf"},
		Files: map[string]string{"/box/exim.conf": fmt.Sprintf(eximConf, open.Port(), closed.Port()),
			"/box/cert.pem": cert, "/box/key.pem": key},
		Listens: []netip.AddrPort{open, open6, closed},
	}.Start(t)
	for _, c := range []struct {
		addr netip.AddrPort
		o    sdk.Options
		want string
	}{
		{open, nil, "up "},
		{open6, nil, "up "},
		{open, sdk.Options{"helo": "director.example.com"}, "up "},
		{open, sdk.Options{"starttls": "yes"}, "up "},
		{open6, sdk.Options{"starttls": "yes"}, "up "},
		{open, sdk.Options{"starttls": "yes", "tls-verify": "yes"}, "down l6-tls"},
		{closed, nil, "down l7-status"},
	} {
		for _, service := range []string{"smtp", "submission"} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			v := newCheck().Checker().Probe(ctx, sdk.Target{Service: service, Addr: c.addr, Network: "tcp"}, c.o)
			cancel()
			if got := v.Status.String() + " " + string(v.Code); got != c.want {
				t.Errorf("%s %s %v: %s (%s), want %s\n%s", service, c.addr, c.o, got, v.Reason, c.want, v.Transcript)
			}
		}
	}
}
