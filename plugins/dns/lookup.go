package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// lookup is one probe under way.
type lookup struct {
	ctx    context.Context
	target sdk.Target
	tr     *probe.Trace
}

// run asks for one type of records after the other, until one satisfies receive.
func (l *lookup) run(o options) sdk.Verdict {
	if o.Request.name == "" {
		return sdk.Down("request is not set, so there is no name to ask for")
	}
	var seen []string
	for _, kind := range o.Request.types {
		answer, err := l.ask(o.Request.name, kind)
		if err != nil {
			return probe.Judge(err)
		}
		if answer.Rcode != dns.RcodeSuccess {
			return sdk.DownWith(sdk.CodeStatus, "%s for %s", rcode(answer.Rcode), o.Request.name)
		}
		for _, text := range texts(answer.Answer) {
			found, v := o.Receive.Matches(l.ctx, []byte(text))
			if v != nil {
				return *v
			}
			if found {
				return sdk.Up()
			}
			seen = append(seen, text)
		}
	}
	if len(seen) == 0 {
		return sdk.DownWith(sdk.CodeStatus, "%s has no %s record", o.Request.name, kinds(o.Request.types))
	}
	return sdk.DownWith(sdk.CodeMatch, "receive does not match %s", probe.Brief(strings.Join(seen, ", ")))
}

func rcode(code int) string {
	if s := dns.RcodeToString[code]; s != "" {
		return s
	}
	return fmt.Sprintf("error %d", code)
}

func kinds(types []uint16) string {
	var names []string
	for _, t := range types {
		names = append(names, dns.TypeToString[t])
	}
	return strings.Join(names, " or ")
}

// texts are the addresses and names of an answer. Records in it that lead there (CNAME) are none.
func texts(answer []dns.RR) []string {
	var all []string
	for _, rr := range answer {
		switch rr := rr.(type) {
		case *dns.A:
			all = append(all, ip(rr.A))
		case *dns.AAAA:
			all = append(all, ip(rr.AAAA))
		case *dns.PTR:
			all = append(all, strings.TrimSuffix(rr.Ptr, "."))
		}
	}
	return all
}

func ip(b net.IP) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

// ask has one question answered, over the target's network; what does not fit into a packet
// is asked for again over TCP (RFC 1035, 4.2).
func (l *lookup) ask(name string, kind uint16) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(name, kind)
	query, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("question: %w", err)
	}
	l.tr.Note("asks for %s %s", name, dns.TypeToString[kind])
	var raw []byte
	if l.target.Network == "udp" {
		raw, err = l.overUDP(query)
	} else {
		raw, err = l.overTCP(query)
	}
	if err == nil && l.target.Network == "udp" && truncated(raw) {
		l.tr.Note("the answer is truncated: once more over tcp")
		raw, err = l.overTCP(query)
	}
	if err != nil {
		return nil, err
	}
	l.tr.Phase("answer")
	answer := new(dns.Msg)
	if err := answer.Unpack(raw); err != nil {
		return nil, probe.Failed(sdk.CodeProtocol, "answer of %d bytes: %v", len(raw), err)
	}
	if len(answer.Question) != 1 || !strings.EqualFold(answer.Question[0].Name, name) || answer.Question[0].Qtype != kind {
		if answer.Rcode == dns.RcodeSuccess || len(answer.Question) > 0 { // errors may leave it out
			return nil, probe.Failed(sdk.CodeProtocol, "an answer to another question")
		}
	}
	l.tr.Note("%s, %d records: %s", rcode(answer.Rcode), len(answer.Answer), probe.Brief(strings.Join(texts(answer.Answer), ", ")))
	return answer, nil
}

// headerSize is that of every message (RFC 1035, 4.1.1).
const headerSize = 12

// answers says whether raw begins like the answer to query.
func answers(raw, query []byte) bool {
	return len(raw) >= headerSize && raw[0] == query[0] && raw[1] == query[1] && raw[2]&0x80 != 0
}

func truncated(raw []byte) bool { return raw[2]&0x02 != 0 }

// largestPacket is how much of a packet is read. Without EDNS nobody may send more than 512.
const largestPacket = 4096

// firstWait is how long to wait for an answer before the question is sent again; the time doubles.
const firstWait = time.Second

// overUDP sends a question until an answer comes: packets get lost.
func (l *lookup) overUDP(query []byte) ([]byte, error) {
	conn, err := probe.Dial(l.ctx, l.target, l.tr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	buf := make([]byte, largestPacket)
	for wait := firstWait; ; wait *= 2 {
		if _, err := conn.Write(query); err != nil {
			return nil, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		n, err := readAnswer(conn, buf, query)
		if err == nil {
			return buf[:n], nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || l.ctx.Err() != nil {
			return nil, err
		}
		l.tr.Note("no answer after %v: asks again", wait)
	}
}

// readAnswer reads packets until one answers query. One with another number is somebody else's
// and left; one that cannot be an answer at all comes from another protocol.
func readAnswer(conn net.Conn, buf, query []byte) (int, error) {
	for {
		n, err := conn.Read(buf)
		switch {
		case err != nil:
			return 0, err
		case answers(buf[:n], query):
			return n, nil
		case n < headerSize || buf[2]&0x80 == 0:
			return 0, notDNS(buf[:n])
		}
	}
}

func notDNS(begin []byte) error {
	return probe.Failed(sdk.CodeProtocol, "no answer in the DNS protocol: it begins with \"%s\"", probe.Brief(string(begin)))
}

// overTCP asks once over TCP, where messages have their length in front (RFC 1035, 4.2.2).
func (l *lookup) overTCP(query []byte) ([]byte, error) {
	t := l.target
	t.Network = "tcp"
	conn, err := probe.Dial(l.ctx, t, l.tr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(query)), uint16(len(query)))
	if _, err := conn.Write(append(framed, query...)); err != nil {
		return nil, err
	}
	head := make([]byte, 2+headerSize)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(head))
	if !answers(head[2:], query) || size < headerSize {
		return nil, notDNS(head)
	}
	raw := make([]byte, size)
	copy(raw, head[2:])
	_, err = io.ReadFull(conn, raw[headerSize:])
	if err == io.EOF && size > headerSize {
		err = io.ErrUnexpectedEOF
	}
	return raw, err
}
