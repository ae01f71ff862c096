package e2e

import (
	"bufio"
	"fmt"
	"net"
	"strings"

	"github.com/miekg/dns"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// fakeDatagrams answers all datagrams; from is the client's address.
func fakeDatagrams(address string, answers func(packet, from string) []string) (*fake, error) {
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
			for _, answer := range answers(string(buffer[:n]), from.String()) {
				_, _ = p.WriteTo([]byte(answer), from)
			}
		}
	}()
	return &fake{close: func() { p.Close() }}, nil
}

// sipAnswers are answers with these statuses to a request (RFC 3261, 8.2.6.2). One of 401 has a challenge, and
// a request with credentials gets 200, whatever they are. One of "stray" is 200 to another request.
func sipAnswers(request string, statuses []string, said *record) []string {
	head, login := "", false
	for line := range strings.Lines(request) {
		said.line(strings.TrimSpace(line))
		switch name, _, _ := strings.Cut(line, ":"); strings.ToLower(name) {
		case "via", "from", "to", "call-id", "cseq":
			head += line
		case "authorization":
			login = true
		}
	}
	var answers []string
	for _, status := range statuses {
		challenge := ""
		head := head
		switch {
		case status == "stray":
			status, head = "200", strings.NewReplacer("Call-ID: ", "Call-ID: x", "CSeq: ", "CSeq: 9").Replace(head)
		case status == "401" && login:
			status = "200"
		case status == "401":
			challenge = "WWW-Authenticate: Digest realm=\"test\", nonce=\"abc\"\r\n"
		}
		answers = append(answers, "SIP/2.0 "+status+" OK\r\n"+head+challenge+"Content-Length: 0\r\n\r\n")
	}
	return answers
}

// lossy loses the first packet of each client.
func lossy(answers func(packet string) []string) func(packet, from string) []string {
	known := map[string]bool{}
	return func(packet, from string) []string {
		if !known[from] {
			known[from] = true
			return nil
		}
		return answers(packet)
	}
}

// sipStream answers the requests of a connection.
func sipStream(c net.Conn, statuses []string, said *record) {
	request := ""
	for in := bufio.NewScanner(c); in.Scan(); {
		request += in.Text() + "\r\n"
		if strings.TrimSpace(in.Text()) != "" {
			continue
		}
		for _, answer := range sipAnswers(request, statuses, said) {
			if _, err := fmt.Fprint(c, answer); err != nil {
				return
			}
		}
		request = ""
	}
}

// fakeDNS answers from the records of a zone. A name that is not there does not exist.
func fakeDNS(kind, address, zone string) (*fake, error) {
	var records []dns.RR
	for line := range strings.Lines(zone) {
		rr, err := dns.NewRR(line)
		if err != nil {
			return nil, err
		}
		records = append(records, rr)
	}
	s := &dns.Server{Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Rcode = dns.RcodeNameError
		for _, rr := range records {
			if !strings.EqualFold(rr.Header().Name, q.Question[0].Name) {
				continue
			}
			m.Rcode = dns.RcodeSuccess
			if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m)
	})}
	var err error
	stop := func() { s.PacketConn.Close() }
	if kind == "dns-tcp" {
		s.Listener, err = net.Listen("tcp", address)
		stop = func() { s.Listener.Close() }
	} else {
		s.PacketConn, err = net.ListenPacket("udp", address)
	}
	if err != nil {
		return nil, err
	}
	go func() { _ = s.ActivateAndServe() }() // ends with close
	return &fake{close: stop}, nil
}

func fakeRadius(address, secret, user, password string, signed bool) (*fake, error) {
	p, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	s := &radius.PacketServer{
		SecretSource: radius.StaticSecretSource([]byte(secret)),
		Handler: radius.HandlerFunc(func(w radius.ResponseWriter, r *radius.Request) {
			if _, err := rfc2869.MessageAuthenticator_Lookup(r.Packet); err != nil && signed {
				return
			}
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
