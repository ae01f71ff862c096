package main

import (
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

func TestFiles(t *testing.T) { sdktest.RunFiles(t, newCheck(), "testdata/*.txtar") }

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }

func TestContract(t *testing.T) {
	for _, service := range []string{"smtp", "submission"} {
		t.Run(service, func(t *testing.T) {
			sdktest.Run(t, newCheck(), sdktest.Cases{
				"healthy": {Service: service, Server: sdktest.Lines("220 ready", "250 hello", "221 bye"), Want: sdk.StatusUp},
				"refused": {Service: service, Want: sdk.StatusDown, Code: sdk.CodeRefused},
				"closing": {Service: service, Server: sdktest.Closing(), Want: sdk.StatusDown, Code: sdk.CodeClosed},
			})
		})
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []sdk.Options{{"helo": "two words"}, {"helo": "a\r\nb"}, {"tls-verify": "yes"}, {"starttls": "yes", "tls-min": "0.9"},
		{"starttls": "yes", "tls-ca": "/nowhere"}, {"receive": "x"}} {
		if newCheck().Checker().Validate(t.Context(), "smtp", o) == nil {
			t.Errorf("%v was accepted", o)
		}
	}
}
