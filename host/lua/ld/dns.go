package ld

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/miekg/dns"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// record is one of an answer, as recordings have it.
type record struct {
	Name   string            `json:"name"`
	Type   string            `json:"type"`
	TTL    uint32            `json:"ttl"`
	Data   string            `json:"data"`
	Fields map[string]string `json:"fields,omitempty"` // numbers are those that numeric names
}

// numeric are the fields of records that scripts get as numbers.
var numeric = []string{"serial", "refresh", "retry", "expire", "minimum", "preference", "priority", "weight", "port"}

// reply is the answer to a question.
type reply struct {
	Authoritative bool     `json:"authoritative"`
	Records       []record `json:"records"`
}

// firstWait is how long to wait for an answer before the question is sent again; the time doubles.
const firstWait = time.Second

// largestPacket is what a server is told to send at most (RFC 6891).
const largestPacket = 1232

// dns is ld.dns(name, type [, server]).
func (a *api) dns(L *lua.LState) int {
	name, kindName, server := L.CheckString(1), strings.ToUpper(L.CheckString(2)), L.OptString(3, "")
	kind, ok := dns.StringToType[kindName]
	if !ok {
		L.ArgError(2, "type of records expected, such as A or SOA")
	}
	r := a.run()
	results, err := r.tape.do("dns", []string{name, kindName, server}, func() ([]string, error) {
		answer, err := r.resolve(dns.Fqdn(name), kind, server)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(answer)
		return []string{string(text)}, err
	})
	a.check(L, err)
	var answer reply
	a.check(L, json.Unmarshal([]byte(first(results)), &answer))
	a.state.Charge(L, 4*len(first(results)))
	t := L.NewTable()
	for _, rr := range answer.Records {
		t.Append(rr.table(L))
	}
	t.RawSetString("authoritative", lua.LBool(answer.Authoritative))
	L.Push(t)
	return 1
}

func (rr record) table(L *lua.LState) *lua.LTable {
	t := L.NewTable()
	t.RawSetString("name", lua.LString(rr.Name))
	t.RawSetString("type", lua.LString(rr.Type))
	t.RawSetString("ttl", lua.LNumber(rr.TTL))
	t.RawSetString("data", lua.LString(rr.Data))
	for key, text := range rr.Fields {
		t.RawSetString(key, lua.LString(text))
	}
	for _, key := range numeric {
		if n, err := strconv.ParseFloat(rr.Fields[key], 64); err == nil {
			t.RawSetString(key, lua.LNumber(n))
		}
	}
	return t
}

// resolve asks server, or those of resolv.conf(5) when there is none.
func (r *run) resolve(name string, kind uint16, server string) (*reply, error) {
	if server != "" {
		addr, err := serverAddress(server)
		if err != nil {
			return nil, err
		}
		return r.question(name, kind, addr)
	}
	system, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil, limited("name servers of this machine: %v", err)
	}
	last := error(limited("no name server in /etc/resolv.conf"))
	for _, one := range system.Servers {
		addr, err := serverAddress(net.JoinHostPort(one, system.Port))
		if err != nil {
			last = err
			continue
		}
		answer, err := r.question(name, kind, addr)
		if err == nil || probe.Judge(err).Code == sdk.CodeStatus {
			return answer, err
		}
		// Name servers of ours that do not answer say nothing of the real server.
		last = limited("name server %s: %s", addr, probe.Judge(err).Reason)
	}
	return nil, last
}

// serverAddress reads ADDRESS or ADDRESS:PORT.
func serverAddress(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(addr, 53), nil
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, limited("server: ADDRESS or ADDRESS:PORT expected, not \"%s\"", probe.Brief(text))
	}
	return addr, nil
}

// question asks one server, over UDP and, when the answer does not fit, over TCP.
func (r *run) question(name string, kind uint16, server netip.AddrPort) (*reply, error) {
	q := new(dns.Msg).SetQuestion(name, kind)
	q.SetEdns0(largestPacket, false)
	answer, err := r.exchange(q, server, "udp")
	if err == nil && answer.Truncated {
		answer, err = r.exchange(q, server, "tcp")
	}
	if err != nil {
		return nil, err
	}
	if answer.Rcode != dns.RcodeSuccess {
		return nil, failed(sdk.CodeStatus, "%s for %s", dns.RcodeToString[answer.Rcode], probe.Brief(name))
	}
	out := &reply{Authoritative: answer.Authoritative, Records: []record{}}
	for _, rr := range answer.Answer {
		out.Records = append(out.Records, readRecord(rr))
	}
	return out, nil
}

// exchange sends a question until it is answered: packets get lost.
func (r *run) exchange(q *dns.Msg, server netip.AddrPort, network string) (*dns.Msg, error) {
	live := &run{call: r.call, streams: r.streams, open: r.open}
	s, err := live.connect(dialing{network: network, host: server.Addr().String(), port: int(server.Port())})
	if err != nil {
		return nil, err
	}
	defer s.close()
	conn := &dns.Conn{Conn: s.conn, UDPSize: largestPacket}
	if network == "tcp" {
		if err := conn.WriteMsg(q); err != nil {
			return nil, err
		}
		return answered(conn, q)
	}
	packets := &dns.Conn{Conn: datagrams{s.conn}, UDPSize: largestPacket}
	for wait := firstWait; ; wait *= 2 {
		if err := packets.WriteMsg(q); err != nil {
			return nil, err
		}
		if err := s.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		answer, err := answered(packets, q)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || r.call.Ctx.Err() != nil {
			return answer, err
		}
	}
}

// datagrams tells miekg/dns that messages have no length in front, which it finds out by the type
// of the connection.
type datagrams struct{ net.Conn }

// ReadFrom makes it a net.PacketConn.
func (d datagrams) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := d.Read(p)
	return n, d.RemoteAddr(), err
}

// WriteTo makes it a net.PacketConn.
func (d datagrams) WriteTo(p []byte, _ net.Addr) (int, error) { return d.Write(p) }

// answered reads messages until one answers q; one with another number is somebody else's.
func answered(conn *dns.Conn, q *dns.Msg) (*dns.Msg, error) {
	for {
		answer, err := conn.ReadMsg()
		if wrong, ok := errors.AsType[*dns.Error](err); ok {
			return nil, failed(sdk.CodeProtocol, "no answer in the DNS protocol: %v", wrong)
		}
		if err != nil {
			return nil, err
		}
		if answer.Id == q.Id && answer.Response {
			return answer, nil
		}
	}
}

// readRecord takes a record apart.
func readRecord(rr dns.RR) record {
	h := rr.Header()
	out := record{Name: h.Name, Type: dns.TypeToString[h.Rrtype], TTL: h.Ttl, Data: strings.TrimPrefix(rr.String(), h.String())}
	number := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
	switch rr := rr.(type) {
	case *dns.SOA:
		out.Fields = map[string]string{"mname": rr.Ns, "rname": rr.Mbox, "serial": number(rr.Serial), "refresh": number(rr.Refresh),
			"retry": number(rr.Retry), "expire": number(rr.Expire), "minimum": number(rr.Minttl)}
	case *dns.MX:
		out.Fields = map[string]string{"preference": number(uint32(rr.Preference)), "host": rr.Mx}
	case *dns.SRV:
		out.Fields = map[string]string{"priority": number(uint32(rr.Priority)), "weight": number(uint32(rr.Weight)),
			"port": number(uint32(rr.Port)), "host": rr.Target}
	case *dns.TXT:
		out.Fields = map[string]string{"text": strings.Join(rr.Txt, "")}
	}
	return out
}
