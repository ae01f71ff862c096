package main

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

func TestFiles(t *testing.T) { sdktest.RunFiles(t, newCheck(), "testdata/*.txtar") }

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }

func TestContract(t *testing.T) {
	cert, err := sdktest.Certificate(time.Hour * 1000)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	const dialogue = "send \"* OK ready\\r\\n\"\nline\nsend \"* BYE bye\\r\\n\"\n"
	for service, c := range map[string]struct {
		server sdktest.Server
		code   sdk.Code
	}{
		"imap":  {sdktest.Script(dialogue, nil), sdk.CodeClosed},
		"imaps": {sdktest.Script("tls\n"+dialogue, config), sdk.CodeTLS},
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
		{"imap", sdk.Options{"tls-verify": "yes"}},
		{"imap", sdk.Options{"login": "alice\r\na1 NOOP"}},
		{"imap", sdk.Options{"login": "alice", "passwd": "ses\name"}},
		{"imap", sdk.Options{"receive": "x"}},
		{"imaps", sdk.Options{"starttls": "yes"}},
	} {
		if newCheck().Checker().Validate(t.Context(), c.service, c.o) == nil {
			t.Errorf("%s: %v was accepted", c.service, c.o)
		}
	}
}

// FuzzParse: whatever a server says is understood, or not, without much ado.
func FuzzParse(f *testing.F) {
	for _, line := range []string{"* OK [CAPABILITY IMAP4rev1] hi", "a1 NO [X (y {1}", "* CAPABILITY {1}", "+", "* LIST (\\X) \"/\" {4000000000}",
		"* {}", "* {+}", "NIL", "* NIL", "* OK", "* ((((", "* 1 EXISTS", "", " ", "* [", "* OK [", "* OK []"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		line, _, _ = strings.Cut(line, "\n")
		if resp, err := parse(line); (resp == nil) != (err != nil) {
			t.Errorf("%v, %v", resp, err)
		}
	})
}
