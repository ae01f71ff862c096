package main

import (
	"io"
	"net/http"
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// The rules of every check, for each of the three services.
func TestContract(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "OK "+r.Host+"\n") })
	for service, healthy := range map[string]sdktest.Case{
		"http":       {Server: sdktest.HTTP(page), Options: sdk.Options{"receive": "^OK"}},
		"https":      {Server: sdktest.HTTPS(page), Options: sdk.Options{"virtualhost": "www.example.com", "receive": `^OK www\.example\.com$`}},
		"http_proxy": {Server: sdktest.HTTP(page), Options: sdk.Options{"request": "http://elsewhere.example.com/", "receive": `^OK elsewhere`}},
	} {
		t.Run(service, func(t *testing.T) {
			healthy.Service, healthy.Want = service, sdk.StatusUp
			code := sdk.CodeClosed
			if service == "https" {
				code = sdk.CodeTLS
			}
			sdktest.Run(t, newCheck(), sdktest.Cases{
				"healthy": healthy,
				"refused": {Service: service, Options: healthy.Options, Want: sdk.StatusDown, Code: sdk.CodeRefused},
				"closing": {Service: service, Options: healthy.Options, Server: sdktest.Closing(), Want: sdk.StatusDown, Code: code},
			})
		})
	}
}
