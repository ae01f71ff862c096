package config

import (
	"context"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ldirectord/ldirectord/lvs"
)

// maxPersistence is the longest persistence that ipvsadm(8) accepts: 31 days.
const maxPersistence = 31 * 86400

// persistence fills in Persistence and PrefixLen.
func (b *builder) persistence(sec *section, s *Service) bool {
	width := 32
	if sec.v6 {
		width = 128
	}
	s.Virtual.PrefixLen = uint8(width)
	short := true
	if p, ok := sec.set["persistent"]; ok {
		switch {
		case s.Virtual.Persistence > maxPersistence:
			b.refuse(p.at, "persistent", strconv.FormatInt(p.value.(int64), 10), fmt.Sprintf("at most %d seconds, 31 days", maxPersistence))
			short = false
		case s.Virtual.Persistence == 0:
			b.warn(p.at, "persistent", "0 seconds, so the virtual service is not persistent")
		}
	}
	mask, ok := sec.set["netmask"]
	if !ok {
		return short
	}
	s.Origins["netmask"] = mask.pos
	length, ok := prefixLen(mask.value.(string), sec.v6)
	if !ok {
		want := "a netmask such as 255.255.255.0, its ones before its zeros"
		if sec.v6 {
			want = "a prefix length from 1 to 128"
		}
		b.refuse(mask.at, "netmask", mask.value.(string), want)
		return false
	}
	if s.Virtual.Persistence > 0 {
		s.Virtual.PrefixLen = length
	} else if !sec.bad["persistent"] {
		b.warn(mask.pos, "netmask", "has no effect without persistent")
	}
	return short
}

// prefixLen reads a netmask: dotted quads for IPv4, a length for IPv6.
func prefixLen(text string, v6 bool) (uint8, bool) {
	if v6 {
		n, err := strconv.ParseUint(text, 10, 8)
		return uint8(n), err == nil && n >= 1 && n <= 128
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return 0, false
	}
	q := a.As4()
	mask := uint32(q[0])<<24 | uint32(q[1])<<16 | uint32(q[2])<<8 | uint32(q[3])
	ones := bits.LeadingZeros32(^mask)
	return uint8(ones), mask<<ones == 0
}

// isScheduler tells whether name is a scheduler of the Linux kernel (net/netfilter/ipvs).
func isScheduler(name string) bool {
	switch name {
	case "rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "twos":
		return true
	}
	return false
}

// String returns the configuration's word; Combined, which is a number there, is "N".
func (c CheckType) String() string {
	switch c {
	case Negotiate:
		return "negotiate"
	case Connect:
		return "connect"
	case Ping:
		return "ping"
	case External:
		return "external"
	case ExternalPerl:
		return "external-perl"
	case ExternalLua:
		return "external-lua"
	case Off:
		return "off"
	case On:
		return "on"
	case Combined:
		return "N"
	default:
		return "checktype(" + strconv.Itoa(int(c)) + ")"
	}
}

// checkType fills in CheckType and ConnectsPer. The connect check of udp is a ping.
func (b *builder) checkType(sec *section, s *Service) bool {
	p, ok := sec.set["checktype"]
	if !ok {
		return !sec.bad["checktype"]
	}
	s.Origins["checktype"] = p.pos
	text := p.value.(string)
	var words []string
	for c := Negotiate; c < Combined; c++ {
		if text == c.String() {
			s.CheckType = c
			return true
		}
		words = append(words, c.String())
	}
	unsigned := strings.TrimLeft(text, "+-") // the Perl ldirectord takes -3 for 3
	n := digits(unsigned)
	if n == 0 {
		b.refuse(p.at, "checktype", text, listed(append(words, "a number"))+didYouMean(text, words))
		return false
	}
	if n < len(text) {
		b.warn(p.at, "checktype", "only %s counts of %s", unsigned[:n], quoteShort(text))
	}
	count, err := strconv.Atoi(unsigned[:n])
	switch {
	case err != nil || count > maxNumber:
		b.warn(p.at, "checktype", "%s is too large, taken as %d", unsigned[:n], maxNumber)
		count = maxNumber
	case count == 0:
		b.warn(p.at, "checktype", "0 connect checks between negotiate checks, the same as negotiate")
		return true
	}
	s.CheckType, s.ConnectsPer = Combined, count
	return true
}

// realServers fills in Servers and warns of lines that share one entry of the table.
func (b *builder) realServers(ctx context.Context, sec *section, s *Service) {
	seen := map[lvs.ServerKey]Pos{}
	for _, line := range sec.servers {
		addrs, fits := b.expand(line)
		port, ok := b.names.port(ctx, b.report, line.endpoint, s.network(sec))
		if !ok || !fits || !sec.keyed || line.broken {
			continue
		}
		if line.port == "" && s.Key.Protocol != lvs.FWM {
			port = s.Key.Addr.Port()
		}
		warned := false
		for _, addr := range addrs {
			server := b.server(sec, s, line, netip.AddrPortFrom(addr, port))
			if first, twice := seen[server.Key]; twice && addr.IsValid() && !warned {
				b.warn(line.pos, line.label, "%s stands in the table already, through line %d: one entry with the weight of the last line, "+
					"up while every one of their checks is up", server.Key, first.Line)
				warned = true
			}
			seen[server.Key] = line.pos
			s.Servers = append(s.Servers, server)
		}
		b.needPort(sec, s, line)
	}
}

// expand returns the addresses of a real line: of its range, or its one. A name
// without address yields one address that is not valid.
func (b *builder) expand(line realLine) ([]netip.Addr, bool) {
	first := b.names.addr(b.report, line.endpoint, line.host)
	addrs := []netip.Addr{first}
	if line.last != "" {
		last := b.names.addr(b.report, line.endpoint, line.last)
		switch {
		case !first.IsValid() || !last.IsValid():
			addrs[0] = netip.Addr{}
		case last.Less(first):
			b.refuse(line.at, line.label, line.text, fmt.Sprintf("a range whose end is not below its start; %s comes before %s", last, first))
			return nil, false
		default:
			for a := first; a != last && len(addrs) <= b.maxRange; {
				a = a.Next()
				addrs = append(addrs, a)
			}
		}
	}
	b.servers += len(addrs)
	if len(addrs) > b.maxRange {
		b.refuse(line.at, line.label, line.text, fmt.Sprintf("a range of at most %d addresses", b.maxRange))
		return nil, false
	}
	if b.servers > b.maxServers {
		if b.servers-len(addrs) <= b.maxServers { // said once
			b.refuse(line.at, line.label, line.text, fmt.Sprintf("at most %d real servers in all", b.maxServers))
		}
		return nil, false
	}
	return addrs, true
}

// server makes one real server of its line.
func (b *builder) server(sec *section, s *Service, line realLine, at netip.AddrPort) Server {
	name := line.text
	if line.last != "" && at.Addr().IsValid() {
		name = at.Addr().String()
		if line.v6 {
			name = "[" + name + "]"
		}
		name += line.rest
	}
	server := Server{Pos: line.pos, Name: name, Addr: at, Server: line.server, Pair: line.pair,
		Key:        lvs.Canon(s.Key, at, line.server.Method),
		Unresolved: !at.Addr().IsValid(),
	}
	port := at.Port()
	if s.CheckPort != 0 {
		port = s.CheckPort
	} else if port == 0 {
		port = b.defaultPort(s)
	}
	server.CheckAddr = netip.AddrPortFrom(at.Addr(), port)
	server.CheckNetwork = s.network(sec)
	if s.Key.Protocol == lvs.FWM && s.negotiates() {
		if info := b.lookup(s.CheckService).info; info.Network != "" {
			server.CheckNetwork = info.Network
		}
	}
	return server
}

// needPort reports a real line whose check has no port to look at.
func (b *builder) needPort(sec *section, s *Service, line realLine) {
	last := len(s.Servers) - 1
	if last < 0 || s.Servers[last].CheckAddr.Port() != 0 || !sec.typed || !sec.served || sec.bad["checkport"] {
		return
	}
	if s.negotiates() && b.lookup(s.CheckService).err != nil {
		return // reported already, and no port is known without it
	}
	if s.CheckType == Connect || s.negotiates() {
		b.refuse(line.at, line.label, line.text,
			"checkport = N in the section, or ADDRESS:PORT: "+s.portless()+" has no port of its own")
	}
}

// portless names a check for which nothing says where to look.
func (s *Service) portless() string {
	if s.CheckType == Connect {
		return "a connect check"
	}
	return "the check of service " + s.CheckService
}

// checkWord is what the file says or means after checktype.
func (s *Service) checkWord() string {
	if s.CheckType == Combined {
		return strconv.Itoa(s.ConnectsPer)
	}
	return s.CheckType.String()
}
