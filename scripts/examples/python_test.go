package examples

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// installPython puts the example into a plugin directory as its README says, with Debian's own
// Python and grpc.
func installPython(t *testing.T) (dir string) {
	t.Helper()
	root := privateRoot(t, "openssl", "protobuf-compiler", "python3", "python3-grpcio", "python3-protobuf")
	dir = pluginDir(t)
	// The programs of the private root need its libraries.
	for _, name := range []string{"openssl", "protoc"} {
		write(t, filepath.Join(dir, "bin", name), fmt.Sprintf("#!/bin/sh\nexec %s/exec %s \"$@\"\n", root, name), 0o755)
	}
	run(t, "", "env", "PATH="+dir+"/bin:"+os.Getenv("PATH"),
		"make", "-C", filepath.Join(repository(t), "docs/examples/python"), "install", "PLUGINDIR="+dir+"/installed")
	write(t, filepath.Join(dir, "ldirectord-check-health"), fmt.Sprintf("#!/bin/sh\n"+
		"export PATH=%s/bin:$PATH PYTHONDONTWRITEBYTECODE=1\n"+
		"exec %s/exec python3 %[1]s/installed/ldirectord-check-health \"$@\"\n", dir, root), 0o755)
	return dir
}

// page is a server whose health page has that status and text.
func page(status int, text string) sdktest.Server {
	return sdktest.HTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer wrong" {
			status, text = http.StatusUnauthorized, ""
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.ReplaceAll(text, "PATH", r.URL.Path))
	}))
}

var pythonCases = []checkCase{
	{"healthy", nil, page(200, `{"status": "ok"}`), "up", ""},
	{"sick", nil, page(200, `{"status": "on fire"}`), "down l7-match", "status is 'on fire', want 'ok'"},
	{"another member and page", sdk.Options{"path": "/live", "field": "at", "want": "/live"}, page(200, `{"at": "PATH"}`), "up", ""},
	{"unavailable", nil, page(503, ""), "down l7-status", "answered '503 Service Unavailable'"},
	{"no JSON", nil, page(200, "OK"), "down l7-match", "not a JSON object"},
	{"a list", nil, page(200, `["ok"]`), "down l7-match", "not a JSON object"},
	{"too much", nil, page(200, strings.Repeat(" ", 70<<10)), "down l7-protocol", "longer than 65536 bytes"},
	{"token refused", sdk.Options{"token": "wrong"}, page(200, ""), "down l7-status", "401"},
	{"secret in the reason", sdk.Options{"token": "fire"}, page(200, `{"status": "on fire"}`), "down l7-match", "on ***"},
	{"another protocol", nil, sdktest.Lines("220 mail.example.com ESMTP"), "down l7-protocol", "not an HTTP server: '220 mail"},
	{"closing", nil, sdktest.Closing(), "down l7-closed", ""},
	{"silent", nil, sdktest.Silent(), "down l7-timeout", "deadline"},
	{"refused", nil, nil, "down l4-refused", "Connection refused"},
}

func TestPython(t *testing.T) {
	dir := installPython(t)
	t.Run("by hand", func(t *testing.T) {
		text := fails(t, "", filepath.Join(dir, "ldirectord-check-health"))
		if !strings.Contains(text, "not a program to be run by hand") {
			t.Errorf("says %s", text)
		}
	})
	t.Run("rules", func(t *testing.T) {
		keepsRules(t, filepath.Join(dir, "ldirectord-check-health"), sdktest.Sample{
			Service: sdk.Service{Name: "health", Network: "tcp"}, Server: page(200, `{"status": "ok"}`)})
	})
	h := newHost(t, dir, "health")
	t.Run("options", func(t *testing.T) {
		err := h.pool.Validate(t.Context(), "health", sdk.Options{"path": "/h\u00e9 alth", "token": "ok"})
		var wrong *sdk.OptionError
		if !errors.As(err, &wrong) || wrong.Option != "path" || wrong.Offset != 2 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("README", func(t *testing.T) {
		o := sdk.Options{}
		readme := read(t, filepath.Join(repository(t), "docs/examples/python/README.md"))
		for _, m := range regexp.MustCompile(`(?m)^    option\.(\w+) = (.*)$`).FindAllStringSubmatch(readme, -1) {
			o[m[1]] = m[2]
		}
		if err := h.pool.Validate(t.Context(), "health", o); err != nil || len(o) < 3 {
			t.Errorf("its example, %v: %v", o, err)
		}
	})
	for _, c := range pythonCases {
		t.Run(c.name, func(t *testing.T) { c.run(t, h) })
	}
}
