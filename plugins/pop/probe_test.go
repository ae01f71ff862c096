package main

import (
	"crypto/tls"
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
	const dialogue = "send \"+OK ready\\r\\n\"\nline\nsend \"+OK bye\\r\\n\"\n"
	for service, c := range map[string]struct {
		server sdktest.Server
		code   sdk.Code
	}{
		"pop":  {sdktest.Script(dialogue, nil), sdk.CodeClosed},
		"pops": {sdktest.Script("tls\n"+dialogue, config), sdk.CodeTLS},
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
	for service, o := range map[string]sdk.Options{"pop": {"tls-verify": "yes"}, "pops": {"starttls": "yes"}} {
		if newCheck().Checker().Validate(t.Context(), service, o) == nil {
			t.Errorf("%s: %v was accepted", service, o)
		}
	}
	if newCheck().Checker().Validate(t.Context(), "pop", sdk.Options{"auth": "guess"}) == nil {
		t.Error("auth = guess was accepted")
	}
}
