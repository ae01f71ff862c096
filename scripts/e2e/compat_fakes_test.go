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
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// fake is a server that says what it is told, for services whose real servers would take long to start here.
type fake struct{ close func() }

// fakeServer (fake KIND ADDRESS [ARG...]) starts a server in each world, fake stop ADDRESS ends it.
//
//	lines, tls-lines FILE    a conversation in lines: "< GREETING", then "PART > ANSWER" for each
//	                         line with PART in it; \n separates lines, @ is its first word, ! at the end closes
//	https FILE               the file, whatever the path is; "refused" unless the Host is that of the certificate
//	echo                     over udp, every datagram
//	sip CODE                 over udp, the final answer to everything
//	dns NAME ADDRESS         over udp, one A record
//	radius SECRET USER PASS  over udp, one user
//	ldap DN                  one entry
//	smtp                     takes all mails, what clients say goes to the file mails of the world
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
	var f *fake
	var err error
	switch kind {
	case "lines", "tls-lines":
		f, err = fakeLines(address, ts.ReadFile(rest[0]), kind == "tls-lines", ts.Getenv("WORK"))
	case "https":
		f, err = fakeWeb(address, ts.ReadFile(rest[0]), ts.Getenv("WORK"))
	case "echo", "sip":
		f, err = fakeDatagrams(address, append(rest, "")[0])
	case "dns":
		f, err = fakeDNS(address, rest[0], rest[1])
	case "radius":
		f, err = fakeRadius(address, rest[0], rest[1], rest[2])
	case "ldap":
		f, err = serveTCP(address, nil, func(c net.Conn) { ldapEntry(c, rest[0]) })
	case "smtp":
		f, err = serveTCP(address, nil, func(c net.Conn) { believeMail(c, filepath.Join(w.dir, "mails")) })
	default:
		ts.Fatalf("fake %s: no such kind", kind)
	}
	ts.Check(err)
	w.fakes[address] = f
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
	go func() { // ends with close
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
	return &fake{close: func() { l.Close() }}, nil
}

func fakeLines(address, script string, secure bool, work string) (*fake, error) {
	var config *tls.Config
	if secure {
		var err error
		if config, err = trusted(work); err != nil {
			return nil, err
		}
	}
	return serveTCP(address, config, func(c net.Conn) {
		greeting, answers := "", [][2]string{}
		for line := range strings.Lines(script) {
			part, answer, ok := strings.Cut(strings.TrimSpace(line), " > ")
			if ok {
				answers = append(answers, [2]string{strings.ToLower(part), answer})
			} else if g, ok := strings.CutPrefix(part, "< "); ok {
				greeting = g
			}
		}
		if !say(c, greeting, "") {
			return
		}
		in := bufio.NewScanner(c)
		for in.Scan() {
			for _, a := range answers {
				if !strings.Contains(strings.ToLower(in.Text()), a[0]) {
					continue
				}
				if !say(c, a[1], strings.SplitN(in.Text(), " ", 2)[0]) {
					return
				}
				break
			}
		}
	})
}

// say writes lines, and says whether more are to come.
func say(c net.Conn, text, tag string) bool {
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
		template.IPAddresses = append(template.IPAddresses, net.IPv4(10, 1, 0, last))
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

// fakeDatagrams answers all datagrams with themselves, or as a SIP server with a status.
func fakeDatagrams(address, status string) (*fake, error) {
	p, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	go func() { // ends with close
		for buffer := make([]byte, 4096); ; {
			n, from, err := p.ReadFrom(buffer)
			if err != nil {
				return
			}
			answer := string(buffer[:n])
			if status != "" {
				head := "SIP/2.0 " + status + " OK\r\n"
				for line := range strings.Lines(answer) {
					switch name, _, _ := strings.Cut(line, ":"); strings.ToLower(name) {
					case "via", "from", "to", "call-id", "cseq":
						head += line
					}
				}
				answer = head + "Content-Length: 0\r\n\r\n"
			}
			_, _ = p.WriteTo([]byte(answer), from)
		}
	}()
	return &fake{close: func() { p.Close() }}, nil
}

func fakeDNS(address, name, ip string) (*fake, error) {
	p, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	s := &dns.Server{PacketConn: p, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if strings.EqualFold(q.Question[0].Name, name+".") && q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: net.ParseIP(ip).To4(),
			})
		} else {
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = s.ActivateAndServe() }() // ends with close
	return &fake{close: func() { p.Close() }}, nil
}

func fakeRadius(address, secret, user, password string) (*fake, error) {
	p, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	s := &radius.PacketServer{
		SecretSource: radius.StaticSecretSource([]byte(secret)),
		Handler: radius.HandlerFunc(func(w radius.ResponseWriter, r *radius.Request) {
			code := radius.CodeAccessReject
			if rfc2865.UserName_GetString(r.Packet) == user && rfc2865.UserPassword_GetString(r.Packet) == password {
				code = radius.CodeAccessAccept
			}
			_ = w.Write(r.Response(code))
		}),
	}
	go func() { _ = s.Serve(p) }() // ends with close
	return &fake{close: func() { p.Close() }}, nil
}

// ldapEntry answers each message of an LDAP client: a bind succeeds, a search finds one entry without
// attributes. Messages and names are short, so that every length is one byte (X.690, 8.1.3.4).
func ldapEntry(c net.Conn, dn string) {
	done := func(id, tag byte) []byte {
		return []byte{0x30, 12, 0x02, 1, id, tag, 7, 0x0a, 1, 0, 0x04, 0, 0x04, 0}
	}
	for head := make([]byte, 2); ; {
		if _, err := io.ReadFull(c, head); err != nil || head[1] > 127 {
			return
		}
		message := make([]byte, head[1])
		if _, err := io.ReadFull(c, message); err != nil || len(message) < 4 {
			return
		}
		id := message[2]
		var answer []byte
		switch message[3] {
		case 0x60: // bind
			answer = done(id, 0x61)
		case 0x63: // search
			n := byte(len(dn))
			answer = append([]byte{0x30, n + 9, 0x02, 1, id, 0x64, n + 4, 0x04, n}, dn...)
			answer = append(answer, 0x30, 0)
			answer = append(answer, done(id, 0x65)...)
		default: // unbind
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// believeMail is an SMTP server that believes everything.
func believeMail(c net.Conn, file string) {
	out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil || !say(c, "220 sink", "") {
		return
	}
	defer out.Close()
	inside := false
	for in := bufio.NewScanner(c); in.Scan(); {
		fmt.Fprintln(out, in.Text())
		word, _, _ := strings.Cut(strings.ToUpper(in.Text()), " ")
		answer := "250 yes"
		switch {
		case inside && in.Text() == ".":
			inside = false
		case inside:
			continue
		case word == "DATA":
			inside, answer = true, "354 go on"
		case word == "QUIT":
			answer = "221 bye!"
		}
		if !say(c, answer, "") {
			return
		}
	}
}
