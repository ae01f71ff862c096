package config

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/ldirectord/ldirectord/lvs"
)

// endpoint is HOST[->HOST][:PORT] as a file writes it, checked but not looked up.
type endpoint struct {
	text  string // the whole
	at    Pos
	host  string // an address without brackets, or a name
	last  string // the end of a range, or ""
	port  string // a number or a service name; "" when there is none
	rest  string // ":PORT" as written, or ""
	v6    bool
	label string // the directive, for messages
}

// realLine is a real or fallback line, checked but not looked up.
type realLine struct {
	endpoint
	pos       Pos
	server    lvs.RealServer
	pair      *Pair
	requestAt Pos // of pair's strings
	receiveAt Pos
	broken    bool // what follows the endpoint could not be read
}

// The parts of server lines that are easiest said as patterns.
var (
	hostName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	portName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`)
	threshold = regexp.MustCompile(`(?:^|[\s,])("<[lu]:\d+>"|"[lu]:\d+"|<[lu]:\d+>|[lu]:\d+)$`)
	pairs     = []*regexp.Regexp{
		regexp.MustCompile(`(?s)^"(.*?)"\s*,\s*"(.*)"$`),
		regexp.MustCompile(`(?s)^"(.*?)"\s+"(.*)"$`),
		regexp.MustCompile(`(?s)^"(.*?)""(.*)"$`),
	}
)

// readFallback reads HOST[:PORT] [METHOD].
func readFallback(r *report, s statement, v6 bool) (realLine, bool) {
	text := cutComment(s.text)
	where, rest := field(text)
	line := realLine{pos: s.pos, server: lvs.RealServer{Weight: 1}}
	var ok bool
	if line.endpoint, ok = readEndpoint(r, s.name, where, s.at, v6); !ok {
		return line, false
	}
	if line.last != "" {
		r.refuse(s.at, s.name, where, "one server, not a range")
		return line, false
	}
	if rest == "" {
		return line, true
	}
	line.server.Method, ok = readMethod(r, s, rest, s.at.after(len(text)-len(rest)))
	return line, ok
}

// readReal reads HOST[->HOST][:PORT] METHOD [WEIGHT] ["REQUEST", "RECEIVE"] [l:N] [u:N]. It
// is ok when the first of these is, for that is looked at even on a line that is broken.
func readReal(r *report, s statement, v6 bool) (realLine, bool) {
	text := cutComment(s.text)
	where, rest := field(text)
	line := realLine{pos: s.pos, server: lvs.RealServer{Weight: 1}}
	var ok bool
	if line.endpoint, ok = readEndpoint(r, s.name, where, s.at, v6); !ok {
		return line, false
	}
	line.broken = !line.readServer(r, s, text, rest)
	return line, true
}

// readServer reads what follows the endpoint of a real line, the rest of text.
func (l *realLine) readServer(r *report, s statement, text, rest string) bool {
	method, more := field(rest)
	if i := strings.IndexByte(method, '"'); i > 0 { // gate"request","receive"
		method, more = rest[:i], rest[i:]
	}
	at := func(part string) Pos { return s.at.after(len(text) - len(part)) }
	if short, comma := strings.CutSuffix(method, ","); comma && more != "" { // "gate, 5"
		r.warn(at(rest).after(len(short)), s.name, "a comma after the forwarding method, ignored")
		method = short
	}
	var ok bool
	if l.server.Method, ok = readMethod(r, s, method, at(rest)); !ok {
		return false
	}
	if more, ok = l.readWeight(r, s, more, at(more)); !ok {
		return false
	}
	begin := at(more)
	more, ok = l.readThresholds(r, s, more, begin)
	return ok && l.readPair(r, s, more, begin)
}

func readMethod(r *report, s statement, text string, at Pos) (lvs.ForwardingMethod, bool) {
	for _, m := range []lvs.ForwardingMethod{lvs.Gate, lvs.IPIP, lvs.Masq} {
		if text == m.String() {
			return m, true
		}
	}
	want := "gate, ipip or masq"
	if text == "" {
		want = "no forwarding method, expected " + want
	}
	r.refuse(at, s.name, text, want)
	return 0, false
}

const (
	maxWeight  = math.MaxInt32 // the largest that the kernel and ipvsadm take
	goodWeight = 65535         // the largest that ipvsadm(8) speaks of
)

// readWeight reads the weight, if one stands at the start of text, and returns the rest.
func (l *realLine) readWeight(r *report, s statement, text string, at Pos) (string, bool) {
	n := digits(text)
	if n == 0 {
		return text, true
	}
	rest := text[n:]
	if rest != "" && rest[0] != '"' && strings.IndexByte(blanks, rest[0]) < 0 {
		word, _ := field(text)
		r.refuse(at, s.name, word, "a weight, a number from 0 to 65535")
		return "", false
	}
	weight, err := strconv.ParseUint(text[:n], 10, 32)
	if err != nil || weight > maxWeight {
		r.refuse(at, s.name, text[:n], "a weight from 0 to 65535")
		return "", false
	}
	if weight > goodWeight {
		r.warn(at, s.name, "weight %d is above 65535, the largest that ipvsadm(8) speaks of; the kernel takes it", weight)
	}
	l.server.Weight = uint32(weight)
	return strings.TrimLeft(rest, blanks), true
}

// readThresholds takes l:N and u:N from the end of text and returns what stands before.
func (l *realLine) readThresholds(r *report, s statement, text string, at Pos) (string, bool) {
	seen := map[byte]bool{}
	for {
		m := threshold.FindStringSubmatchIndex(text)
		if m == nil {
			break
		}
		word := strings.Trim(text[m[2]:m[3]], `"<>`)
		n, err := strconv.ParseUint(word[2:], 10, 32)
		if err != nil {
			r.refuse(at.after(m[2]), s.name, word, "a number of connections below 4294967296")
			return "", false
		}
		if !seen[word[0]] { // the last one counts
			seen[word[0]] = true
			if word[0] == 'l' {
				l.server.Lower = uint32(n)
			} else {
				l.server.Upper = uint32(n)
			}
		}
		text = strings.TrimRight(text[:m[2]], blanks+",")
	}
	if l.server.Lower > l.server.Upper {
		r.refuse(at, s.name, fmt.Sprintf("l:%d u:%d", l.server.Lower, l.server.Upper),
			"an upper threshold (u:N) that is not below the lower one: the kernel refuses others")
		return "", false
	}
	return text, true
}

// readPair reads "REQUEST", "RECEIVE", which must be all of text. The strings may have
// quotes themselves; the first quote, comma, quote divides them.
func (l *realLine) readPair(r *report, s statement, text string, at Pos) bool {
	if text == "" {
		return true
	}
	for _, pair := range pairs {
		if m := pair.FindStringSubmatchIndex(text); m != nil {
			l.pair = &Pair{Request: text[m[2]:m[3]], Receive: text[m[4]:m[5]]}
			l.requestAt, l.receiveAt = at.after(m[2]), at.after(m[4])
			return true
		}
	}
	r.refuse(at, s.name, text, `[WEIGHT] ["REQUEST", "RECEIVE"] [l:LOWER] [u:UPPER]`)
	return false
}

// readEndpoint takes HOST[->HOST][:PORT] apart. IPv6 addresses stand in brackets.
func readEndpoint(r *report, directive, text string, at Pos, v6 bool) (endpoint, bool) {
	e := endpoint{text: text, at: at, v6: v6, label: directive}
	if text == "" {
		r.refuse(at, directive, "", "no value, expected "+e.form())
		return e, false
	}
	first, second, ranged := strings.Cut(text, "->")
	tail := first
	if ranged {
		tail = second
	}
	host, rest := splitPort(tail)
	e.rest = rest
	if ranged {
		e.host, e.last = strings.TrimSuffix(strings.TrimPrefix(first, "["), "]"), host
		if !e.goodHost(r, e.last) {
			return e, false
		}
	} else {
		e.host = host
	}
	if !e.goodHost(r, e.host) || !e.readPort(r) {
		return e, false
	}
	e.host, e.last = e.plain(r, e.host), e.plain(r, e.last)
	return e, true
}

// splitPort cuts HOST:PORT before the colon, and takes brackets off the host.
func splitPort(text string) (host, rest string) {
	if end := strings.IndexByte(text, ']'); strings.HasPrefix(text, "[") && end > 0 {
		return text[1:end], text[end+1:]
	}
	if colon := strings.IndexByte(text, ':'); colon >= 0 {
		return text[:colon], text[colon:]
	}
	return text, ""
}

// form says what an endpoint of e's family looks like.
func (e endpoint) form() string {
	if e.v6 {
		return "[ADDRESS]:PORT or HOST:PORT, an IPv6 address in brackets"
	}
	return "ADDRESS:PORT or HOST:PORT"
}

// goodHost tells whether host is an address of e's family or may be a name.
func (e endpoint) goodHost(r *report, host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		switch {
		case addr.Is4() == e.v6:
			r.refuse(e.at, e.label, e.text, e.form()+", of the section's own address family")
		case addr.Zone() != "" || addr.Is4In6():
			r.refuse(e.at, e.label, e.text, "an IPv6 address without zone or mapped IPv4 address, which the kernel cannot balance")
		default:
			return true
		}
		return false
	}
	if _, ok := inetAton(host); ok && !e.v6 {
		return true
	}
	if !hostName.MatchString(host) || strings.Trim(host, "0123456789.-") == "" {
		r.refuse(e.at, e.label, e.text, e.form()+rangeMeant(host))
		return false
	}
	return true
}

// rangeMeant is a hint for two addresses with a hyphen between, which is no name of any host.
func rangeMeant(host string) string {
	first, last, _ := strings.Cut(host, "-")
	if _, err := netip.ParseAddr(first); err != nil {
		return ""
	}
	if _, err := netip.ParseAddr(last); err != nil {
		return ""
	}
	return " (did you mean the range " + strconv.Quote(first+"->"+last) + "?)"
}

// readPort checks what follows the host. ADDRESS::PORT, which the example
// configuration of the Perl ldirectord has, counts as ADDRESS:PORT in IPv4.
func (e *endpoint) readPort(r *report) bool {
	if e.rest == "" {
		return true
	}
	e.port = strings.TrimPrefix(e.rest, ":")
	at := e.at.after(len(e.text) - len(e.port))
	if trimmed := strings.TrimPrefix(e.port, ":"); trimmed != e.port && !e.v6 {
		r.warn(at, e.label, "two colons before the port, taken as one")
		e.port = trimmed
	}
	if !portName.MatchString(e.port) || e.rest[0] != ':' {
		r.refuse(at, e.label, e.text, e.form())
		return false
	}
	if digits(e.port) == len(e.port) {
		if _, err := strconv.ParseUint(e.port, 10, 16); err != nil {
			r.refuse(at, e.label, e.port, "a port from 0 to 65535")
			return false
		}
	}
	return true
}
