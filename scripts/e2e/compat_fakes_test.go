package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// fake is a server that says what it is told, for services whose real servers would take long to start here.
type fake struct{ close func() }

// fakeServer (fake KIND ADDRESS [ARG...]) starts a server in each world, fake stop ADDRESS ends it. What clients of
// lines, ftp and sip say goes to the file said of the world, line by line, behind the server's address.
//
//	lines FILE               a conversation in lines: "< GREETING", then "PART > ANSWER" for each
//	                         line with PART in it; \n separates lines, @ is its first word, ! at the end closes,
//	                         ~ at the beginning comes 3 seconds late
//	https FILE               the file, whatever the path is; "refused" unless the Host is that of the certificate
//	echo                     over udp, every datagram
//	sip, sip-tcp STATUS...   over udp or tcp, these answers to everything; sip-lossy loses each client's first packet
//	dns, dns-tcp FILE        over udp or tcp, the records of a zone, "NAME. TTL IN TYPE DATA" in each line
//	radius SECRET USER PASS [signed]  over udp, one user; signed has no answer for requests that are not
//	ldap DN                  one entry
//	ftp LOGIN FILE [PATH]    the file, under its own name or at PATH; LOGIN is NAME:PASSWORD, with * for any
//	smtp                     takes all mails, what clients say goes to the file mails of the world
//
// Before lines and ldap, tls- is TLS with a certificate that both programs know, strange- with one that nobody does.
func fakeServer(ts *testscript.TestScript, neg bool, args []string) {
	w := *ts.Value("world").(**world)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fake KIND ADDRESS [ARG...]")
	}
	kind, address, rest := args[0], args[1], args[2:]
	if kind == "stop" {
		w.fakes[address].close()
		delete(w.fakes, address)
		return
	}
	kind, config, err := tlsOf(kind, ts.Getenv("WORK"))
	ts.Check(err)
	said := &record{file: filepath.Join(w.dir, "said"), address: address}
	var f *fake
	switch kind {
	case "lines":
		answers := answersOf(ts.ReadFile(rest[0]))
		f, err = serveTCP(address, config, func(c net.Conn) { converse(c, answers, said) })
	case "https":
		f, err = fakeWeb(address, ts.ReadFile(rest[0]), ts.Getenv("WORK"))
	case "echo":
		f, err = fakeDatagrams(address, func(packet, _ string) []string { return []string{packet} })
	case "sip":
		f, err = fakeDatagrams(address, func(packet, _ string) []string { return sipAnswers(packet, rest, said) })
	case "sip-lossy":
		f, err = fakeDatagrams(address, lossy(func(packet string) []string { return sipAnswers(packet, rest, said) }))
	case "sip-tcp":
		f, err = serveTCP(address, nil, func(c net.Conn) { sipStream(c, rest, said) })
	case "dns", "dns-tcp":
		f, err = fakeDNS(kind, address, ts.ReadFile(rest[0]))
	case "radius":
		f, err = fakeRadius(address, rest[0], rest[1], rest[2], len(rest) > 3)
	case "ldap":
		f, err = serveTCP(address, config, func(c net.Conn) { ldapEntry(c, rest[0]) })
	case "ftp":
		files := &ftpServer{rest[0], path.Join("/", rest[len(rest)-1]), ts.ReadFile(rest[1]), w.netns, said}
		f, err = serveTCP(address, nil, files.serve)
	case "smtp":
		f, err = serveTCP(address, nil, func(c net.Conn) { believeMail(c, filepath.Join(w.dir, "mails")) })
	default:
		ts.Fatalf("fake %s: no such kind", kind)
	}
	ts.Check(err)
	w.fakes[address] = f
}

// tlsOf takes the layer off a kind; the configuration is nil without one.
func tlsOf(kind, work string) (string, *tls.Config, error) {
	if plain, ok := strings.CutPrefix(kind, "tls-"); ok {
		config, err := trusted(work)
		return plain, config, err
	}
	if plain, ok := strings.CutPrefix(kind, "strange-"); ok {
		cert, err := selfSigned()
		return plain, &tls.Config{Certificates: []tls.Certificate{cert}}, err
	}
	return kind, nil, nil
}

// record is where what clients say is kept.
type record struct{ file, address string }

// line adds one. A scenario that cannot keep it finds out by what is missing.
func (r *record) line(text string) {
	f, err := os.OpenFile(r.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s %s\n", r.address, strings.TrimRight(text, "\r"))
}

// serveTCP has each connection served until it is done.
func serveTCP(address string, config *tls.Config, serve func(net.Conn)) (*fake, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() { // ends with close
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with its connection, at the deadline at last
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				serve(c)
			}()
		}
	}()
	stop := func() {
		l.Close()
		<-done // or else the address would still be taken
	}
	return &fake{close: stop}, nil
}

// answersOf reads a conversation: the greeting is the answer to nothing.
func answersOf(script string) [][2]string {
	answers := [][2]string{{}}
	for line := range strings.Lines(script) {
		part, answer, ok := strings.Cut(strings.TrimSpace(line), " > ")
		if ok {
			answers = append(answers, [2]string{strings.ToLower(part), answer})
		} else if greeting, ok := strings.CutPrefix(part, "< "); ok {
			answers[0][1] = greeting
		}
	}
	return answers
}

func converse(c net.Conn, answers [][2]string, said *record) {
	if !say(c, answers[0][1], "") {
		return
	}
	for in := bufio.NewScanner(c); in.Scan(); {
		said.line(in.Text())
		for _, a := range answers[1:] {
			if !strings.Contains(strings.ToLower(in.Text()), a[0]) {
				continue
			}
			if !say(c, a[1], strings.SplitN(in.Text(), " ", 2)[0]) {
				return
			}
			break
		}
	}
}

// lateness is that of answers that come late.
const lateness = 3 * time.Second

// say writes lines, and says whether more are to come.
func say(c net.Conn, text, tag string) bool {
	text, late := strings.CutPrefix(text, "~")
	if late {
		time.Sleep(lateness)
	}
	text, last := strings.CutSuffix(text, "!")
	if text != "" {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "@", tag), `\n`, "\r\n") + "\r\n"
		if _, err := io.WriteString(c, text); err != nil {
			return false
		}
	}
	return !last
}

// authorityFile is the certificate of the scenario's TLS servers, which the programs trust.
func authorityFile(work string) string { return filepath.Join(work, "authority.pem") }

// certificateName is what the certificate is for, beside some addresses.
const certificateName = "www.example.test"

// trusted makes a certificate, and leaves it where both programs find it.
func trusted(work string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: certificateName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		DNSNames: []string{certificateName}, IsCA: true, BasicConstraintsValid: true,
	}
	for last := byte(11); last < 20; last++ {
		template.IPAddresses = append(template.IPAddresses, net.IPv4(10, 1, 0, last), net.ParseIP(fmt.Sprintf("2001:db8::%d", last)))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(authorityFile(work), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := pem.Encode(f, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

func fakeWeb(address, page, work string) (*fake, error) {
	config, err := trusted(work)
	if err != nil {
		return nil, err
	}
	return serveTCP(address, config, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		text := page
		if r.Host != certificateName {
			text = "refused\n"
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
	})
}
