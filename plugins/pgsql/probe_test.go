package main

import (
	"net/netip"
	"testing"

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
		"healthy": {Options: o, Server: speaks(in, result), Want: sdk.StatusUp},
		"refused": {Options: o, Want: sdk.StatusDown, Code: sdk.CodeRefused},
		"closing": {Options: o, Server: sdktest.Closing(), Want: sdk.StatusDown, Code: sdk.CodeClosed},
	})
}

func TestOptions(t *testing.T) {
	for _, o := range []sdk.Options{
		{"login": "alice"},
		{"request": "SELECT 1"},
		{"login": "alice", "request": "SELECT 1", "tls-verify": "yes"},
		{"login": "alice", "request": "SELECT 1", "tls-verify": "yes", "starttls": "no"},
		{"login": "alice", "request": "SELECT 1", "starttls": "perhaps"},
	} {
		if newCheck().Checker().Validate(t.Context(), "pgsql", o) == nil {
			t.Errorf("%v was accepted", o)
		}
	}
	if err := newCheck().Checker().Validate(t.Context(), "pgsql", sdk.Options{"login": "a", "request": "b", "starttls": "true"}); err != nil {
		t.Error(err)
	}
}

// pgconn would connect once more to cancel a query whose answer it did not read to its end.
func TestOneConnection(t *testing.T) {
	s := session{target: sdk.Target{Addr: netip.MustParseAddrPort("192.0.2.1:5432")}}
	c, err := s.config(newStream(nil))
	if err != nil {
		t.Fatal(err)
	}
	_, first := c.DialFunc(t.Context(), "tcp", "")
	if _, second := c.DialFunc(t.Context(), "tcp", ""); first != nil || second == nil {
		t.Errorf("first: %v, second: %v", first, second)
	}
}
