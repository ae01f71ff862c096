package main

import (
	"testing"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFiles(t *testing.T) { sdktest.RunFiles(t, newCheck(), "testdata/*.txtar") }

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }

func TestContract(t *testing.T) {
	o := sdk.Options{"login": "alice", "request": "SELECT 1"}
	sdktest.Run(t, newCheck(), sdktest.Cases{
		"healthy": {Options: o, Server: speaks(hello(native), ok(2), result("1")), Want: sdk.StatusUp},
		"refused": {Options: o, Want: sdk.StatusDown, Code: sdk.CodeRefused},
		"closing": {Options: o, Server: sdktest.Closing(), Want: sdk.StatusDown, Code: sdk.CodeClosed},
	})
}

func TestOptions(t *testing.T) {
	for _, o := range []sdk.Options{
		{"login": "alice"},
		{"request": "SELECT 1"},
		{"login": "alice", "request": "SELECT 1", "tls-verify": "yes"},
		{"login": "alice", "request": "SELECT 1", "starttls": "prefer"},
	} {
		if newCheck().Checker().Validate(t.Context(), "mysql", o) == nil {
			t.Errorf("%v was accepted", o)
		}
	}
}

// The driver would log to standard error, which is the director's log, what the verdict says.
func TestDriverIsSilent(t *testing.T) {
	s := session{o: options{Login: "alice"}}
	if _, silent := s.config(&guard{}).Logger.(*mysql.NopLogger); !silent {
		t.Error("it has another logger than none")
	}
}
