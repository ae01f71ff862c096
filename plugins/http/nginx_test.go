package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk"
)

// startNginx runs Debian's nginx without privileges on loopback ports; it ends with the test.
func startNginx(t *testing.T) (plain, secure, old string) {
	t.Helper()
	out, err := exec.Command(filepath.Join("..", "..", "scripts", "private-root"), "nginx-light").Output()
	if err != nil {
		lack := fmt.Sprintf("NOT TESTED against a real nginx: it cannot be unpacked: %v", err)
		if os.Getenv("CI") == "true" {
			t.Fatal(lack)
		}
		t.Skip(lack)
	}
	run := filepath.Join(strings.TrimSpace(string(out)), "exec")
	dir := t.TempDir()
	free := func() string { return servers.Addr(t, "127.0.0.1").String() }
	plain, secure, old = free(), free(), free()
	cert := certificate(t, 100*24*time.Hour, true)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"cert.pem":   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		"key.pem":    pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"page.html":  []byte("<html>default page</html>\n"),
		"big.txt":    []byte(strings.Repeat("0123456789abcde\n", 20_000) + "the end\n"),
		"nginx.conf": fmt.Appendf(nil, nginxConf, dir, plain, secure, old),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(run, "nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 500 {
		if c, err := net.Dial("tcp", secure); err == nil {
			c.Close()
			return plain, secure, old
		}
		if cmd.Process.Signal(syscall.Signal(0)) != nil {
			break
		}
		waitABit(t)
	}
	log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
	t.Fatalf("nginx does not listen: %s", log)
	return "", "", ""
}

// waitABit lets a process that cannot be waited for get on.
func waitABit(t *testing.T) {
	select {
	case <-time.After(10 * time.Millisecond):
	case <-t.Context().Done():
	}
}

const nginxConf = `
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
	default_type text/html;
	root %s;
	server {
		listen %[2]s default_server;
		location = / { try_files /page.html =404; }
		location = /moved { return 301 /; }
		location = /moved-away { return 302 http://%[2]s/page.html; }
		location = /to-https { return 307 https://%[3]s/; }
		location = /loop { return 302 /loop; }
		location = /down { return 503 "closed for repairs\n"; }
		location = /empty { return 204; }
		location = /agent { return 200 "$request_method $http_user_agent $http_accept_encoding $http_connection\n"; }
	}
	server { listen %[2]s; server_name www.example.com; location / { return 200 "example $host\n"; } }
	ssl_certificate cert.pem;
	ssl_certificate_key key.pem;
	server {
		listen %[4]s ssl default_server; ssl_protocols TLSv1; ssl_ciphers "AES128-SHA@SECLEVEL=0";
		location = / { return 200 "old $ssl_protocol $ssl_cipher\n"; }
	}
	server {
		listen %[3]s ssl default_server; ssl_protocols TLSv1.2 TLSv1.3;
		location = / { return 200 "secure $ssl_server_name $ssl_protocol\n"; }
		location = /moved { return 301 http://%[2]s/; }
	}
}
`

func TestNginx(t *testing.T) {
	plain, secure, old := startNginx(t)
	for _, c := range []struct {
		service, request string
		o                sdk.Options
		want             string
	}{
		{"http", "/", sdk.Options{"receive": "^<html>default page</html>$"}, "up"},
		{"http", "page.html", sdk.Options{"receive": "nothing like it"}, "down l7-match"},
		{"http", "/none", nil, "down l7-status\n^404 Not Found$"},
		{"http", "/down", nil, "down l7-status\n^503 Service"},
		{"http", "/empty", nil, "up"},
		{"http", "/big.txt", sdk.Options{"receive": `the end\Z`}, "up"},
		{"http", "/big.txt", sdk.Options{"receive": `the end`, "max-body": "1000"}, "down l7-match\nonly the first 1000"},
		{"http", "/moved", sdk.Options{"receive": "default"}, "up"},
		{"http", "/moved-away", sdk.Options{"receive": "default"}, "up"},
		{"http", "/to-https", sdk.Options{"receive": "secure"}, "up"},
		{"http", "/loop", nil, "down l7-status\n^302 .* after 7 redirects"},
		{"http", "/", sdk.Options{"httpmethod": "HEAD"}, "up"},
		{"http", "/agent", sdk.Options{"receive": "^GET ldirectord  close$"}, "up"},
		{"http", "/", sdk.Options{"virtualhost": "www.example.com", "receive": "^example www.example.com$"}, "up"},
		{"http", "http://" + plain + "/down", nil, "down l7-status"},
		{"https", "/", sdk.Options{"receive": `^secure  TLSv1\.3$`}, "up"},
		{"https", "/", sdk.Options{"virtualhost": "www.example.com", "receive": "^secure www.example.com "}, "up"},
		{"https", "/", sdk.Options{"tls-verify": "yes"}, "down l6-tls"},
		{"https", "/moved", sdk.Options{"receive": "default"}, "up"},
		{"https", "https://" + old, sdk.Options{"receive": `^old TLSv1 AES128-SHA$`}, "up"},
		{"https", "https://" + old, sdk.Options{"tls-min": "1.1"}, "down l6-tls"},
	} {
		target := targetOf(t, c.service, map[string]string{"http": plain, "https": secure}[c.service])
		o := sdk.Options{"request": c.request}
		for name, value := range c.o {
			o[name] = value
		}
		for name, probe := range map[string]prober{"in process": inProcess, "plugin": throughPlugin} {
			t.Run(c.service+" "+c.request+" "+name, func(t *testing.T) {
				wantVerdict(t, probe(t, 5*time.Second, target, o), c.want)
			})
		}
	}
	// The wrong protocol on either port.
	wantVerdict(t, inProcess(t, 5*time.Second, targetOf(t, "http", secure), nil), "down l7-status\n^400 Bad Request$")
	wantVerdict(t, inProcess(t, 5*time.Second, targetOf(t, "https", plain), nil), "down l6-tls\n^TLS handshake: first record")
}
