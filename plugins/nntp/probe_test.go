package main

import (
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

func TestFiles(t *testing.T) { sdktest.RunFiles(t, newCheck(), "testdata/*.txtar") }

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }

func TestContract(t *testing.T) {
	sdktest.Run(t, newCheck(), sdktest.Cases{
		"healthy": {Server: sdktest.Lines("200 ready"), Want: sdk.StatusUp},
		"refused": {Want: sdk.StatusDown, Code: sdk.CodeRefused},
		"closing": {Server: sdktest.Closing(), Want: sdk.StatusDown, Code: sdk.CodeClosed},
	})
}
