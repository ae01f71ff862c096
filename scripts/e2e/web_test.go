package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// farm are a story's web servers, by address.
type farm struct {
	servers map[string]*server
}

// server is a web server whose answers a story can change.
type server struct {
	listener net.Listener
	http     *http.Server
	mu       sync.Mutex // guards status, body and hang
	status   int
	body     string
	hang     bool
	requests int
}

// web start|start-tls ADDRESS..., web stop ADDRESS..., web answer ADDRESS STATUS BODY, web hang ADDRESS.
// A server answers 200 and "Test Page of ADDRESS".
func web(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: web start|start-tls|stop|answer|hang ADDRESS ...")
	}
	f := farmOf(ts)
	switch args[0] {
	case "start", "start-tls":
		for _, a := range args[1:] {
			ts.Check(f.start(a, args[0] == "start-tls"))
		}
	case "stop":
		for _, a := range args[1:] {
			f.server(ts, a).close()
			delete(f.servers, a)
		}
	case "answer":
		var status int
		if _, err := fmt.Sscan(args[2], &status); err != nil {
			ts.Fatalf("status %q: %v", args[2], err)
		}
		f.server(ts, args[1]).set(status, strings.Join(args[3:], " "), false)
	case "hang":
		f.server(ts, args[1]).set(200, "", true)
	default:
		ts.Fatalf("web %s: no such command", args[0])
	}
}

// farmOf is the story's farm, or that of the world in which its command happens now.
func farmOf(ts *testscript.TestScript) *farm { return *ts.Value("farm").(**farm) }

func (f *farm) server(ts *testscript.TestScript, address string) *server {
	s := f.servers[address]
	if s == nil {
		ts.Fatalf("no web server at %s", address)
	}
	return s
}

func (f *farm) start(address string, secure bool) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if secure {
		cert, err := selfSigned()
		if err != nil {
			return err
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	s := &server{listener: l, status: 200, body: "Test Page of " + address + "\n"}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: nil}
	s.http.SetKeepAlivesEnabled(false)
	go func() { _ = s.http.Serve(l) }() // ends with close
	f.servers[address] = s
	return nil
}

func (s *server) set(status int, body string, hang bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body, s.hang = status, body, hang
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, body, hang := s.status, s.body, s.hang
	s.requests++
	s.mu.Unlock()
	if hang {
		<-r.Context().Done()
		return
	}
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

func (s *server) close() { s.http.Close() }

func (f *farm) close() {
	for _, s := range f.servers {
		s.close()
	}
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// get URL TEXT sends a request through the virtual service, until the answer contains TEXT; ! get
// URL waits until there is no answer.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 && !(neg && len(args) == 1) {
		ts.Fatalf("usage: get URL TEXT, or ! get URL")
	}
	wait(ts, false, func() (bool, string) {
		body, err := fetch(args[0])
		if err != nil {
			return neg, err.Error()
		}
		return !neg && strings.Contains(body, args[1]), fmt.Sprintf("answer %q", body)
	})
}

// fetch sends one request on a connection of its own. It dials on the caller's thread, which
// is in the story's network namespace; http.Client would dial on another.
func fetch(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	conn, err := net.DialTimeout("tcp", u.Host, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", u.RequestURI(), u.Host)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
