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

const dovecotConf = `protocols = pop3
listen = 127.0.0.1, ::1
base_dir = /box/base
state_dir = /box/state
log_path = /box/dovecot.log
mail_location = maildir:/box/mail
first_valid_uid = 1
auth_mechanisms = plain %[3]s
auth_failure_delay = 0
disable_plaintext_auth = no
ssl = yes
ssl_cert = </box/cert.pem
ssl_key = </box/key.pem
passdb {
	driver = passwd-file
	args = scheme=PLAIN /box/users
}
userdb {
	driver = static
	args = uid=900 gid=900 home=/box/mail
}

service pop3-login {
	chroot =
	inet_listener pop3 {
		port = %[1]d
	}
	inet_listener pop3s {
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

// startDovecot runs a real server that offers these ways to log in beside USER.
func startDovecot(t *testing.T, ways string) (plain, secure netip.AddrPort) {
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
		Packages: []string{"dovecot-pop3d"},
		Users:    []string{"dovecot", "dovenull"},
		Command:  []string{"dovecot", "-F", "-c", "/box/dovecot.conf"},
		Files: map[string]string{
			"/box/dovecot.conf": fmt.Sprintf(dovecotConf, plain.Port(), secure.Port(), ways),
			"/box/users":        "alice:{PLAIN}sesame\n",
			"/box/cert.pem":     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
			"/box/key.pem":      string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		},
		Listens: []netip.AddrPort{plain, secure, on6(plain), on6(secure)},
	}.Start(t)
	return plain, secure
}

func on6(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port()) }

// TestDovecot logs in on a real server in every way.
func TestDovecot(t *testing.T) {
	for _, ways := range []string{"", "apop", "cram-md5"} {
		t.Run(ways, func(t *testing.T) {
			plain, secure := startDovecot(t, ways)
			right := sdk.Options{"login": "alice", "passwd": "sesame"}
			for _, c := range []struct {
				service string
				addr    netip.AddrPort
				o       sdk.Options
				want    string
			}{
				{"pop", plain, nil, "up "},
				{"pop", on6(plain), right, "up "},
				{"pop", plain, right, "up "},
				{"pop", plain, sdk.Options{"login": "alice", "passwd": "sesame", "starttls": "yes"}, "up "},
				{"pop", plain, sdk.Options{"login": "alice", "passwd": "sesame", "auth": "user"}, "up "},
				{"pop", plain, sdk.Options{"login": "alice", "passwd": "wrong"}, "down l7-auth"},
				{"pops", secure, nil, "up "},
				{"pops", secure, right, "up "},
				{"pops", on6(secure), right, "up "},
				{"pops", secure, sdk.Options{"login": "alice", "passwd": "wrong"}, "down l7-auth"},
				{"pops", secure, sdk.Options{"tls-verify": "yes"}, "down l6-tls"},
				{"pops", plain, nil, "down l6-tls"},
			} {
				ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
				v := newCheck().Checker().Probe(ctx, sdk.Target{Service: c.service, Addr: c.addr, Network: "tcp"}, c.o)
				cancel()
				if got := v.Status.String() + " " + string(v.Code); got != c.want {
					t.Errorf("%s %s %v: %s (%s), want %s\n%s", c.service, c.addr, c.o, got, v.Reason, c.want, v.Transcript)
				}
			}
		})
	}
}
