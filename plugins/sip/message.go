package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// request is an OPTIONS and what tells its answers from others (RFC 3261, 17.1.3).
type request struct {
	o         options
	transport string // UDP or TCP
	from      netip.AddrPort
	branch    string
	callID    string
	tag       string
	number    int    // of CSeq
	login     string // a header field with credentials, its line end included; or empty
}

// newRequest is the first one of a dialogue over a connection.
func newRequest(o options, network string, from netip.AddrPort) *request {
	return &request{
		o: o, transport: strings.ToUpper(network), from: from, number: 1,
		branch: newBranch(), callID: rand.Text(), tag: rand.Text()[:10],
	}
}

// newBranch identifies a transaction; it begins as RFC 3261, 8.1.1.7 wants.
func newBranch() string { return "z9hG4bK" + rand.Text() }

// again is the request once more, as a new one, with credentials.
func (r request) again(login string) *request {
	r.number++
	r.branch, r.login = newBranch(), login
	return &r
}

// String is the message. Via is where answers are sent to; rport asks for the port that the
// request really came from (RFC 3581).
func (r *request) String() string {
	return fmt.Sprintf("OPTIONS %s SIP/2.0\r\n"+
		"Via: SIP/2.0/%s %s;branch=%s;rport\r\n"+
		"Max-Forwards: 70\r\n"+
		"From: <%s>;tag=%s\r\n"+
		"To: <%s>\r\n"+
		"Call-ID: %s\r\n"+
		"CSeq: %d OPTIONS\r\n"+
		"Contact: <sip:%s;transport=%s>\r\n"+
		"Accept: application/sdp\r\n"+
		"User-Agent: ldirectord\r\n"+
		"%s"+
		"Content-Length: 0\r\n\r\n",
		r.o.URI, r.transport, r.from, r.branch, r.o.Login, r.tag, r.o.Login, r.callID, r.number,
		r.from, strings.ToLower(r.transport), r.login)
}

// response is the head of an answer.
type response struct {
	status int                 // 0: it is a request, the server's own
	text   string              // of the first line, from the status on
	fields map[string][]string // by long name in lower case
}

// field is the first of a name; empty without one.
func (p *response) field(name string) string {
	if len(p.fields[name]) == 0 {
		return ""
	}
	return p.fields[name][0]
}

// answers says whether p belongs to r.
func (p *response) answers(r *request) bool {
	number, method, _ := strings.Cut(p.field("cseq"), " ")
	n, err := strconv.Atoi(number)
	via, _, _ := strings.Cut(p.field("via"), ",")
	return p.status > 0 && err == nil && n == r.number && strings.TrimSpace(method) == "OPTIONS" &&
		p.field("call-id") == r.callID && branchOf(via) == r.branch
}

func branchOf(via string) string {
	for part := range strings.SplitSeq(via, ";") {
		name, value, _ := strings.Cut(part, "=")
		if strings.EqualFold(strings.TrimSpace(name), "branch") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// long is the whole name of a header field, in lower case (RFC 3261, 7.3.3), of those that matter here.
func long(name string) string {
	switch name = strings.ToLower(name); name {
	case "v":
		return "via"
	case "i":
		return "call-id"
	case "l":
		return "content-length"
	}
	return name
}

// maxHead bounds the head of an answer, in bytes. Its lines are bounded by probe.MaxLine.
const maxHead = 32 << 10

// readHead reads a message up to its body. Its first line decides whether it is SIP at all.
func readHead(in *bufio.Reader) (*response, error) {
	var first string
	var err error
	for first == "" && err == nil { // empty lines keep connections alive (RFC 3261, 7.5)
		first, err = probe.ReadLine(in)
	}
	if err != nil {
		return nil, err
	}
	p, err := parseFirst(first)
	if err != nil {
		return nil, err
	}
	for size, last := 0, ""; ; {
		line, err := probe.ReadLine(in)
		switch {
		case err == io.EOF:
			return nil, fmt.Errorf("head of the answer: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return nil, err
		case line == "":
			return p, nil
		}
		if size += len(line); size > maxHead {
			return nil, probe.Failed(sdk.CodeProtocol, "the head of the answer has more than %d bytes", maxHead)
		}
		last = p.add(line, last)
	}
}

func parseFirst(line string) (*response, error) {
	p := &response{fields: map[string][]string{}}
	if strings.HasSuffix(line, " SIP/2.0") {
		return p, nil
	}
	version, text, _ := strings.Cut(line, " ")
	status, err := strconv.Atoi(text[:min(3, len(text))])
	if !strings.EqualFold(version, "SIP/2.0") || err != nil || status < 100 || status > 699 {
		return nil, probe.Failed(sdk.CodeProtocol, "no answer in the SIP protocol: \"%s\"", probe.Brief(line))
	}
	p.status, p.text = status, text
	return p, nil
}

// add takes a line of the head, and gives back the name of its field.
func (p *response) add(line, last string) string {
	name, value, found := strings.Cut(line, ":")
	if line[0] == ' ' || line[0] == '\t' || !found { // it goes on with the last one
		if all := p.fields[last]; len(all) > 0 {
			all[len(all)-1] = strings.TrimSpace(all[len(all)-1] + " " + strings.TrimSpace(line))
		}
		return last
	}
	name = long(strings.TrimSpace(name))
	p.fields[name] = append(p.fields[name], strings.TrimSpace(value))
	return name
}
