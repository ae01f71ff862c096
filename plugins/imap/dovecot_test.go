package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

const dovecotConf = `protocols = imap
listen = 127.0.0.1, ::1
base_dir = /box/base
state_dir = /box/state
log_path = /box/dovecot.log
mail_location = maildir:/box/mail
first_valid_uid = 1
auth_mechanisms = plain
auth_username_chars =
auth_failure_delay = 0
ssl = yes
ssl_cert = </box/cert.pem
ssl_key = </box/key.pem
disable_plaintext_auth = no
passdb {
	driver = passwd-file
	args = scheme=PLAIN /box/users
}
userdb {
	driver = static
	args = uid=900 gid=900 home=/box/mail
}

service imap-login {
	chroot =
	inet_listener imap {
		port = %[1]d
	}
	inet_listener imaps {
		port = %[2]d
		ssl = yes
	}
}
service anvil {
	chroot =
	# who guessed wrong waits longer and longer
	unix_listener anvil-auth-penalty {
		mode = 0
	}
}
service stats {
	chroot =
}
`

// startDovecot runs a real server on two ports, of IPv4 and IPv6.
func startDovecot(t *testing.T) (plain, secure netip.AddrPort) {
	t.Helper()
	plain, secure = servers.Addr(t, "127.0.0.1"), servers.Addr(t, "127.0.0.1")
	pair, err := sdktest.Certificate(100 * 24 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	servers.Server{
		Packages: []string{"dovecot-imapd"},
		Users:    []string{"dovecot", "dovenull"},
		Command:  []string{"dovecot", "-F", "-c", "/box/dovecot.conf"},
		Files: map[string]string{
			"/box/dovecot.conf": fmt.Sprintf(dovecotConf, plain.Port(), secure.Port()),
			"/box/users":        "alice:{PLAIN}sesame\nzoë:{PLAIN}say \"père\"\n",
			"/box/cert.pem":     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
			"/box/key.pem":      string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		},
		Listens: []netip.AddrPort{plain, secure, on6(plain), on6(secure)},
	}.Start(t)
	return plain, secure
}

func on6(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port()) }

// TestDovecot greets a real server and logs in.
func TestDovecot(t *testing.T) {
	plain, secure := startDovecot(t)
	as := func(login, passwd string, more ...string) sdk.Options {
		o := sdk.Options{"login": login, "passwd": passwd}
		for _, name := range more {
			o[name] = "yes"
		}
		return o
	}
	for _, c := range []struct {
		service string
		addr    netip.AddrPort
		o       sdk.Options
		want    string
	}{
		{"imap", plain, nil, "up "},
		{"imap", on6(plain), as("alice", "sesame"), "up "},
		{"imap", plain, as("alice", "sesame"), "up "},
		{"imap", plain, as("zoë", `say "père"`), "up "},
		{"imap", plain, as("alice", "sesame", "starttls"), "up "},
		{"imap", on6(plain), as("alice", "sesame", "starttls"), "up "},
		{"imap", plain, as("alice", "sesame", "starttls", "tls-verify"), "down l6-tls"},
		{"imap", plain, as("alice", "wrong"), "down l7-auth"},
		{"imap", plain, as("alice", ""), "down l7-auth"},
		{"imap", plain, as("alice", "wrong", "starttls"), "down l7-auth"},
		{"imaps", secure, nil, "up "},
		{"imaps", on6(secure), as("alice", "sesame"), "up "},
		{"imaps", secure, as("alice", "sesame"), "up "},
		{"imaps", secure, as("zoë", "wrong"), "down l7-auth"},
		{"imaps", secure, sdk.Options{"tls-verify": "yes"}, "down l6-tls"},
		{"imaps", plain, nil, "down l6-tls"},
	} {
		const limit = 8 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		begun := time.Now()
		v := newCheck().Checker().Probe(ctx, sdk.Target{Service: c.service, Addr: c.addr, Network: "tcp"}, c.o)
		took := time.Since(begun)
		cancel()
		if got := v.Status.String() + " " + string(v.Code); got != c.want || took >= limit {
			t.Errorf("%s %s %v: %s after %v (%s), want %s\n%s", c.service, c.addr, c.o, got, took, v.Reason, c.want, v.Transcript)
		}
		if passwd := c.o["passwd"]; passwd != "" && strings.Contains(v.Transcript+v.Reason, passwd) {
			t.Errorf("%s %v shows the password: %s\n%s", c.service, c.o, v.Reason, v.Transcript)
		}
	}
}
