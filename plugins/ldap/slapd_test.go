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

const slapdConf = `include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile /box/slapd.pid
TLSCertificateFile /box/cert.pem
TLSCertificateKeyFile /box/key.pem
referral ldap://elsewhere.example.com/
database mdb
suffix dc=example,dc=com
rootdn cn=admin,dc=example,dc=com
rootpw sesame
directory /box/data
access to dn.base="ou=closed,dc=example,dc=com" by users read by * none
access to * by * read
`

const slapdEntries = `dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=closed,dc=example,dc=com
objectClass: organizationalUnit
ou: closed

dn: ou=away,dc=example,dc=com
objectClass: referral
objectClass: extensibleObject
ou: away
ref: ldap://away.example.com/ou=away,dc=example,dc=com
`

// startSlapd runs a real server on two ports, of IPv4 and IPv6.
func startSlapd(t *testing.T) (plain, secure netip.AddrPort) {
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
	listen := fmt.Sprintf("ldap://%s ldap://%s ldaps://%s ldaps://%s", plain, on6(plain), secure, on6(secure))
	servers.Server{
		Packages: []string{"slapd", "dash", "coreutils"},
		Prepare:  "mkdir data && slapadd -f slapd.conf -l entries.ldif",
		Command:  []string{"slapd", "-d", "0", "-f", "/box/slapd.conf", "-h", listen},
		Files: map[string]string{
			"/box/slapd.conf":   slapdConf,
			"/box/entries.ldif": slapdEntries,
			"/box/cert.pem":     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
			"/box/key.pem":      string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		},
		Listens: []netip.AddrPort{plain, secure, on6(plain), on6(secure)},
	}.Start(t)
	return plain, secure
}

func on6(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port()) }

// TestSlapd binds to a real server and reads from it.
func TestSlapd(t *testing.T) {
	plain, secure := startSlapd(t)
	const example, admin = "request=dc=example,dc=com", "login=cn=admin,dc=example,dc=com"
	const right, wrong = "passwd=sesame", "passwd=abracadabra"
	for _, c := range []struct {
		service string
		addr    netip.AddrPort
		o       []string
		want    string // and the beginning of the reason
	}{
		{"ldap", plain, nil, "up "},
		{"ldap", on6(plain), nil, "up "},
		{"ldap", plain, []string{example}, "up "},
		{"ldap", plain, []string{"request=/dc=example,dc=com", "receive=^dc=example"}, "up "},
		{"ldap", plain, []string{example, "receive=^dc=other"}, "down l7-match"},
		{"ldap", plain, []string{example, admin, right}, "up "},
		{"ldap", on6(plain), []string{example, admin, right, "starttls=yes"}, "up "},
		{"ldap", plain, []string{example, "starttls=yes"}, "up "},
		{"ldap", plain, []string{example, "starttls=yes", "tls-verify=yes"}, "down l6-tls"},
		{"ldap", plain, []string{example, admin, wrong}, "down l7-auth bind: result 49"},
		{"ldap", plain, []string{example, "login=cn=nobody,dc=example,dc=com", right}, "down l7-auth"},
		{"ldap", plain, []string{example, "login=nobody", right}, "down l7-auth"},
		{"ldap", plain, []string{"request=ou=none,dc=example,dc=com"}, "down l7-status search of \"ou=none,dc=example,dc=com\": result 32"},
		{"ldap", plain, []string{"request=ou=closed,dc=example,dc=com"}, "down l7-status"},
		{"ldap", plain, []string{"request=ou=closed,dc=example,dc=com", admin, right}, "up "},
		{"ldap", plain, []string{"request=ou=away,dc=example,dc=com"},
			`down l7-status search of "ou=away,dc=example,dc=com": result 10 (Referral), referral to "ldap://away.example.com/`},
		{"ldap", plain, []string{"request=dc=other"}, `down l7-status search of "dc=other": result 10 (Referral), referral to "ldap://elsewhere.example.com/`},
		{"ldap", plain, []string{"request==?"}, "down l7-status search of \"=?\": result 34"},
		{"ldaps", secure, []string{example}, "up "},
		{"ldaps", on6(secure), []string{example, admin, right}, "up "},
		{"ldaps", secure, []string{example, admin, wrong}, "down l7-auth"},
		{"ldaps", secure, []string{example, "receive=^dc=other"}, "down l7-match"},
		{"ldaps", secure, []string{"tls-verify=yes"}, "down l6-tls"},
		{"ldaps", plain, nil, "down l6-tls"},
		{"ldap", secure, nil, "down l7-closed"},
	} {
		const limit = 5 * time.Second
		o := sdk.Options{}
		for _, one := range c.o {
			name, value, _ := strings.Cut(one, "=")
			o[name] = value
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		begun := time.Now()
		v := newCheck().Checker().Probe(ctx, sdk.Target{Service: c.service, Addr: c.addr, Network: "tcp"}, o)
		took := time.Since(begun)
		cancel()
		got := v.Status.String() + " " + string(v.Code) + " " + v.Reason
		if !strings.HasPrefix(got, c.want) || took >= limit {
			t.Errorf("%s %s %q: %s after %v, want %s\n%s", c.service, c.addr, c.o, got, took, c.want, v.Transcript)
		}
		if passwd := o["passwd"]; passwd != "" && strings.Contains(v.Transcript+v.Reason, passwd) {
			t.Errorf("%s %q shows the password: %s\n%s", c.service, c.o, v.Reason, v.Transcript)
		}
	}
}
