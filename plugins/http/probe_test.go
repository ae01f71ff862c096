package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

func TestRefused(t *testing.T) {
	for _, address := range loopback() {
		for _, service := range []string{"http", "https", "http_proxy"} {
			target := targetOf(t, service, refusedAddr(t, address))
			v := inProcess(t, time.Second, target, sdk.Options{"request": wholeFor(service)})
			wantVerdict(t, v, "down l4-refused\n^connect to .*: connection refused$")
		}
	}
}

// wholeFor is a request that service accepts and that does not leave the target.
func wholeFor(service string) string {
	if service == "http_proxy" {
		return "http://www.example.com/"
	}
	return "/"
}

// blackHole is an address that drops what is sent to it: the listener's queue is full.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	for {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
}

func TestBlackHole(t *testing.T) {
	addr := blackHole(t)
	for _, service := range []string{"http", "https"} {
		begun := time.Now()
		v := inProcess(t, 300*time.Millisecond, targetOf(t, service, addr), nil)
		wantVerdict(t, v, "down l4-timeout\n^no connection to 127.* before the deadline$")
		if took := time.Since(begun); took > 600*time.Millisecond {
			t.Errorf("took %v", took)
		}
	}
}

// A cancelled probe says nothing of the server, and ends at once.
func TestCancel(t *testing.T) {
	for name, text := range map[string]string{
		"mute": "hold", "in the head": "request\nsend \"HTTP/1.1 200 OK\"\nhold",
		"in the body": "request\nsend \"HTTP/1.1 200 OK\\r\\n\\r\\n\"\nhold",
	} {
		srv := serveScript(t, "127.0.0.1:0", parseScript(text), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		time.AfterFunc(50*time.Millisecond, cancel)
		begun := time.Now()
		v := newCheck().Checker().Probe(ctx, targetOf(t, "http", srv.addr()), nil)
		wantVerdict(t, v, "unknown fault\n^cancelled$")
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// Probes share buffers: none may see another's.
func TestConcurrent(t *testing.T) {
	check := newCheck().Checker()
	var all sync.WaitGroup
	for _, word := range []string{"alpha", "beta", "gamma", "delta"} {
		srv := serveScript(t, "127.0.0.1:0", parseScript(
			"request\nsend \"HTTP/1.1 200 OK\\r\\n\\r\\n\"\nrepeat 3000 \""+word+" \""), nil)
		for range 8 {
			all.Go(func() {
				v := check.Probe(t.Context(), targetOf(t, "http", srv.addr()), sdk.Options{"receive": "^(" + word + " ){3000}$"})
				if v.Status != sdk.StatusUp {
					t.Errorf("%s: %+v", word, v)
				}
			})
		}
	}
	all.Wait()
}

func TestTranscript(t *testing.T) {
	srv := serveScript(t, "127.0.0.1:0", parseScript(
		`request
		send "HTTP/1.1 500 Oops\r\nX: \x1b[31m\r\n\r\nstack trace"`), nil)
	v := inProcess(t, time.Second, targetOf(t, "http", srv.addr()), sdk.Options{"request": "http://u:secret@" + srv.addr() + "/"})
	for _, want := range []string{"> GET / HTTP/1.1\n", "> Authorization: Basic ***\n", "< HTTP/1.1 500 Oops\n", `< X: \x1b[31m`} {
		if !strings.Contains(v.Transcript, want) {
			t.Errorf("transcript lacks %q:\n%s", want, v.Transcript)
		}
	}
}

func TestValidate(t *testing.T) {
	check := newCheck().Checker()
	for _, c := range []struct {
		service string
		o       sdk.Options
		option  string // at fault; empty: none
		offset  int
		want    string
	}{
		{"http", nil, "", 0, ""},
		{"http", sdk.Options{"request": "", "receive": "", "virtualhost": ""}, "", 0, ""},
		{"http", sdk.Options{"request": "redirect?to=ftp://x/", "httpmethod": "hEaD"}, "", 0, ""},
		{"http_proxy", sdk.Options{"request": "https://www.example.com"}, "", 0, ""},
		{"http_proxy", nil, "", 0, ""},
		{"http_proxy", sdk.Options{"request": "/index.html"}, "", 0, ""},
		{"http", sdk.Options{"request": "ftp://www.example.com/"}, "request", 0, "neither http nor https"},
		{"http", sdk.Options{"request": "http://www.example.com:99999/"}, "request", 0, "no port"},
		{"http", sdk.Options{"request": "http://[::g]/"}, "request", 0, "no address"},
		{"http", sdk.Options{"request": "http:///x"}, "request", 0, "no host"},
		{"http", sdk.Options{"receive": "abc(def"}, "receive", 3, ""},
		{"http", sdk.Options{"httpmethod": "POST"}, "httpmethod", 0, "neither GET nor HEAD"},
		{"http", sdk.Options{"virtualhost": "a b"}, "virtualhost", 0, "not a host name"},
		{"http", sdk.Options{"virtualhost": "a\r\nX: y"}, "virtualhost", 0, "not a host name"},
		{"http", sdk.Options{"max-body": "0"}, "max-body", 0, "between"},
		{"http", sdk.Options{"redirects": "-1"}, "redirects", 0, "between"},
		{"https", sdk.Options{"tls-min": "0.9"}, "tls-min", 0, "none of"},
		{"https", sdk.Options{"tls-ca": "/does/not/exist"}, "tls-ca", 0, "no such file"},
		{"https", sdk.Options{"tls-verify": "maybe"}, "tls-verify", 0, "neither yes nor no"},
		{"http", sdk.Options{"requset": "/"}, "requset", 0, "request"},
	} {
		err := check.Validate(t.Context(), c.service, c.o)
		wrong, _ := errors.AsType[*sdk.OptionError](err)
		switch {
		case c.option == "" && err != nil:
			t.Errorf("%s %v: %v", c.service, c.o, err)
		case c.option == "":
		case wrong == nil:
			t.Errorf("%s %v: error %v, want one of option %s", c.service, c.o, err, c.option)
		case wrong.Option != c.option || wrong.Offset != c.offset || !strings.Contains(wrong.Want, c.want):
			t.Errorf("%s %v: %+v, want option %s, offset %d, %q", c.service, c.o, *wrong, c.option, c.offset, c.want)
		}
	}
}

func TestAuthority(t *testing.T) {
	for in, want := range map[string]string{
		"http://a":              "a",
		"http://a:80":           "a",
		"https://a:80/x":        "a:80",
		"https://a:443/x":       "a",
		"http://[fe80::1%eth0]": "[fe80::1]",
		"http://[::1]:81/":      "[::1]:81",
	} {
		l, err := parseLocation(in)
		if err != nil || l.authority() != want {
			t.Errorf("%s: %q, %v; want %q", in, l.authority(), err, want)
		}
	}
}

// The examples of RFC 3986, 5.4, as far as they are about http.
func TestFollow(t *testing.T) {
	base, err := parseLocation("http://a/b/c/d;p?q")
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{
		"g": "http://a/b/c/g", "./g": "http://a/b/c/g", "g/": "http://a/b/c/g/", "/g": "http://a/g", "//g": "http://g/",
		"?y": "http://a/b/c/d;p?y", "g?y": "http://a/b/c/g?y", "#s": "http://a/b/c/d;p?q", "g#s": "http://a/b/c/g",
		"": "http://a/b/c/d;p?q", ".": "http://a/b/c/", "..": "http://a/b/", "../g": "http://a/b/g", "../../g": "http://a/g",
		"../../../g": "http://a/g", "/./g": "http://a/g", "/../g": "http://a/g", "g.": "http://a/b/c/g.", "..g": "http://a/b/c/..g",
		"./g/.": "http://a/b/c/g/", "g/../h": "http://a/b/c/h", "g?y/../x": "http://a/b/c/g?y/../x", "HTTPS://h:8/i": "https://h:8/i",
	} {
		got, err := base.follow(to)
		if err != nil || got.String() != want {
			t.Errorf("%q leads to %s, %v; want %s", to, got, err, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 100 \r\n\r\nHTTP/1.1 302 x\nLocation: /\n\n", "220 x", "\x15\x03\x01", "HTT", "\r\n",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, answer []byte, limit int) {
		limit = 1 + limit&0xffff
		var d reader
		d.reset(&pieces{answer}, nil)
		r, err := d.head()
		if err != nil {
			return
		}
		if r.status < 100 || r.status > 999 || r.length < -1 {
			t.Errorf("%+v", r)
		}
		d.foreign()
		if err := d.readBody(&r, limit, limit); err != nil {
			t.Errorf("a body that ends is no error: %v", err)
		}
		if d.total > limit || len(d.body) > limit {
			t.Errorf("%d bytes, limit %d", d.total, limit)
		}
	})
}

// pieces gives its bytes away by sevens.
type pieces struct{ left []byte }

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(to, p.left[:min(7, len(p.left))])
	p.left = p.left[n:]
	return n, nil
}
