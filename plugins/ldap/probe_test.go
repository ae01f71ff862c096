package main

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// Servers in testdata read as many bytes as the client sends: 14 for an anonymous bind, 44 and the
// name for a search, 7 for the unbind, 31 for StartTLS.
func TestFiles(t *testing.T) { sdktest.RunFiles(t, newCheck(), "testdata/*.txtar") }

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }

// The root of a server, read: answers to bind and search.
const dialogue = `read 14
send "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
read 44
send "\x30\x09\x02\x01\x02\x64\x04\x04\x00\x30\x00\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00"
read 7
`

func TestContract(t *testing.T) {
	cert, err := sdktest.Certificate(time.Hour * 1000)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	for service, c := range map[string]struct {
		server sdktest.Server
		code   sdk.Code
	}{
		"ldap":  {sdktest.Script(dialogue, nil), sdk.CodeClosed},
		"ldaps": {sdktest.Script("tls\n"+dialogue, config), sdk.CodeTLS},
	} {
		t.Run(service, func(t *testing.T) {
			sdktest.Run(t, newCheck(), sdktest.Cases{
				"healthy": {Service: service, Server: c.server, Want: sdk.StatusUp},
				"refused": {Service: service, Want: sdk.StatusDown, Code: sdk.CodeRefused},
				"closing": {Service: service, Server: sdktest.Closing(), Want: sdk.StatusDown, Code: c.code},
			})
		})
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		service string
		o       sdk.Options
	}{
		{"ldap", sdk.Options{"tls-verify": "yes"}},
		{"ldap", sdk.Options{"request": "example.com"}},
		{"ldap", sdk.Options{"receive": "("}},
		{"ldap", sdk.Options{"database": "x"}},
		{"ldaps", sdk.Options{"starttls": "yes"}},
	} {
		if newCheck().Checker().Validate(t.Context(), c.service, c.o) == nil {
			t.Errorf("%s: %v was accepted", c.service, c.o)
		}
	}
}
