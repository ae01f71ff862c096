package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is what a server does with its connections, in order; further ones get the last.
//
//	request            read up to the empty line that ends a request
//	send "TEXT"        write TEXT, a Go string; {addr}, {host} and {port} are the server's own
//	repeat N "TEXT"    the same N times
//	drip 50ms "TEXT"   the same, a byte at a time
//	tls                do a TLS handshake
//	hold               say nothing more until the client is gone
//	cut                close the connection below TLS
//	reset              close with a reset
//	close              close: also the end of every script
type script [][]string

func parseScript(text string) script {
	var s script
	for part := range strings.SplitSeq(text, "---\n") {
		var steps []string
		for line := range strings.Lines(part) {
			if line = strings.TrimSpace(line); line != "" {
				steps = append(steps, line)
			}
		}
		s = append(s, steps)
	}
	return s
}

// server plays a script on a loopback address.
type server struct {
	t        *testing.T
	listener net.Listener
	script   script
	tls      *tls.Config
	wait     sync.WaitGroup

	mu       sync.Mutex // guards what follows
	open     map[net.Conn]bool
	requests []string
	names    []string // asked for by SNI
}

// serveScript starts a server that ends with the test.
func serveScript(t *testing.T, address string, s script, config *tls.Config) *server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	srv := &server{t: t, listener: l, script: s, tls: config, open: map[net.Conn]bool{}}
	if config != nil {
		srv.tls = config.Clone()
		srv.tls.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			srv.mu.Lock()
			defer srv.mu.Unlock()
			srv.names = append(srv.names, hello.ServerName)
			return nil, nil
		}
	}
	srv.wait.Go(srv.accept)
	t.Cleanup(func() {
		l.Close()
		srv.mu.Lock()
		for c := range srv.open {
			c.Close()
		}
		srv.mu.Unlock()
		srv.wait.Wait()
	})
	return srv
}

func (s *server) accept() {
	for i := 0; ; i++ {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[c] = true
		s.mu.Unlock()
		s.wait.Go(func() {
			defer c.Close()
			s.play(c, s.script[min(i, len(s.script)-1)])
		})
	}
}

func (s *server) play(c net.Conn, steps []string) {
	raw := c
	in := bufio.NewReader(c)
	for _, step := range steps {
		verb, rest, _ := strings.Cut(step, " ")
		switch verb {
		case "tls":
			conn := tls.Server(&joined{raw, in}, s.tls)
			if conn.Handshake() != nil {
				return
			}
			c, in = conn, bufio.NewReader(conn)
		case "request":
			if !s.read(in) {
				return
			}
		case "send":
			io.WriteString(c, s.text(rest))
		case "repeat":
			count, text, _ := strings.Cut(rest, " ")
			n, _ := strconv.Atoi(count)
			p := []byte(s.text(text))
			for range n {
				if _, err := c.Write(p); err != nil {
					return
				}
			}
		case "drip":
			pause, text, _ := strings.Cut(rest, " ")
			every, _ := time.ParseDuration(pause)
			tick := time.NewTicker(every)
			for _, b := range []byte(s.text(text)) {
				<-tick.C
				if _, err := c.Write([]byte{b}); err != nil {
					break
				}
			}
			tick.Stop()
		case "hold":
			io.Copy(io.Discard, in)
		case "cut":
			raw.Close()
		case "reset":
			raw.(*net.TCPConn).SetLinger(0)
			raw.Close()
		case "close":
			c.Close()
		default:
			s.t.Errorf("script: unknown step %q", step)
		}
	}
}

// joined reads what a buffered reader may already hold.
type joined struct {
	net.Conn
	in *bufio.Reader
}

func (j *joined) Read(p []byte) (int, error) { return j.in.Read(p) }

func (s *server) read(in *bufio.Reader) bool {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return false
		}
		if line == "\r\n" {
			s.mu.Lock()
			s.requests = append(s.requests, strings.ReplaceAll(b.String(), "\r\n", "\n"))
			s.mu.Unlock()
			return true
		}
	}
}

func (s *server) addr() string { return s.listener.Addr().String() }

// text unquotes a Go string and fills in the server's address.
func (s *server) text(quoted string) string {
	plain, err := strconv.Unquote(quoted)
	if err != nil {
		s.t.Errorf("script: %s: %v", quoted, err)
	}
	return s.fill(plain)
}

func (s *server) fill(text string) string {
	host, port, _ := net.SplitHostPort(s.addr())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return strings.NewReplacer("{addr}", s.addr(), "{host}", host, "{port}", port).Replace(text)
}

// seen are the requests and the names asked for so far.
func (s *server) seen() (requests, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...), append([]string(nil), s.names...)
}

// tlsConfig is a server's side by the name that a case gives it.
func tlsConfig(t *testing.T, kind string) *tls.Config {
	t.Helper()
	day := 24 * time.Hour
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t, 100*day, false)}}
	switch kind {
	case "", "modern":
	case "expired":
		config.Certificates = []tls.Certificate{certificate(t, -3*day, false)}
	case "expiring":
		config.Certificates = []tls.Certificate{certificate(t, 5*day+time.Hour, false)}
	case "1.0":
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	case "1.1":
		config.MinVersion, config.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	case "rsa-key-exchange":
		config.Certificates = []tls.Certificate{certificate(t, 100*day, true)}
		config.MaxVersion = tls.VersionTLS12
		config.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
	case "rc4":
		config.Certificates = []tls.Certificate{certificate(t, 100*day, true)}
		config.MaxVersion = tls.VersionTLS12
		config.CipherSuites = []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
	case "post-quantum":
		config.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768}
		config.MinVersion = tls.VersionTLS13
	default:
		t.Fatalf("unknown kind of TLS %q", kind)
	}
	return config
}

// certificate makes a self-signed one for localhost and 127.0.0.1.
func certificate(t testing.TB, lasts time.Duration, useRSA bool) tls.Certificate {
	t.Helper()
	var key any
	var public any
	if useRSA {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, &k.PublicKey
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, &k.PublicKey
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "localhost"},
		NotBefore:             time.Now().Add(-1000 * time.Hour),
		NotAfter:              time.Now().Add(lasts),
		DNSNames:              []string{"localhost", "www.example.com"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(fmt.Errorf("certificate: %w", err))
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
