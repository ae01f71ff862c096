package lvs

import (
	"fmt"
	"net/netip"
	"strconv"
)

// Protocol is what a virtual service balances.
type Protocol uint8

// The protocols of ldirectord(8), "protocol". The zero value is none of them.
const (
	TCP Protocol = iota + 1
	UDP
	FWM // a firewall mark, any protocol
)

// String returns "tcp", "udp" or "fwm".
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case FWM:
		return "fwm"
	default:
		return "protocol(" + strconv.Itoa(int(p)) + ")"
	}
}

// Family is an IP address family.
type Family uint8

// The families. The zero value is neither.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf returns the family of a; an IPv4 address mapped into IPv6 counts as IPv6.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// ServiceKey names one virtual service in the kernel. It is comparable. Either Addr
// is valid, or Protocol is FWM and Mark and Family are set.
type ServiceKey struct {
	Protocol Protocol
	Addr     netip.AddrPort // invalid for a firewall mark
	Mark     uint32         // 0 unless Protocol is FWM
	Family   Family         // of Addr, or of the mark
}

// ServiceAt returns the key of a tcp or udp virtual service.
func ServiceAt(p Protocol, a netip.AddrPort) ServiceKey {
	return ServiceKey{Protocol: p, Addr: a, Family: FamilyOf(a.Addr())}
}

// ServiceMark returns the key of a firewall-mark virtual service.
func ServiceMark(mark uint32, f Family) ServiceKey {
	return ServiceKey{Protocol: FWM, Mark: mark, Family: f}
}

// String writes the key the way the log of an ldirectord names a virtual service:
// "tcp:10.0.0.1:80", "tcp:[2001:db8::1]:80", "fwm:5", "fwm6:5".
func (k ServiceKey) String() string {
	if k.Protocol == FWM {
		if k.Family == IPv6 {
			return fmt.Sprintf("fwm6:%d", k.Mark)
		}
		return fmt.Sprintf("fwm:%d", k.Mark)
	}
	return k.Protocol.String() + ":" + k.Addr.String()
}

// ServerKey names one real server within a virtual service: its address and port
// in the table (after Canon). It is comparable.
type ServerKey netip.AddrPort

// String returns "10.0.0.1:80" or "[2001:db8::1]:80".
func (k ServerKey) String() string { return netip.AddrPort(k).String() }

// Addr returns the real server's address.
func (k ServerKey) Addr() netip.Addr { return netip.AddrPort(k).Addr() }

// Port returns the real server's port; 0 is legal for firewall marks.
func (k ServerKey) Port() uint16 { return netip.AddrPort(k).Port() }

// ForwardingMethod is how packets reach a real server.
type ForwardingMethod uint8

// The forwarding methods (ipvsadm(8), -g -i -m). The zero value is Gate, as in the manual.
const (
	Gate ForwardingMethod = iota // direct routing
	IPIP                         // tunnelling
	Masq                         // network address translation
)

// String returns the configuration's word: "gate", "ipip" or "masq".
func (m ForwardingMethod) String() string {
	switch m {
	case Gate:
		return "gate"
	case IPIP:
		return "ipip"
	case Masq:
		return "masq"
	default:
		return "method(" + strconv.Itoa(int(m)) + ")"
	}
}

// SchedFlags are the three bits that a scheduler may give a meaning (ipvsadm(8), -b).
type SchedFlags uint8

// The scheduler flags. sh and mh call the first two fallback and port.
const (
	SchedFlag1 SchedFlags = 1 << iota
	SchedFlag2
	SchedFlag3
)

// VirtualService is what the kernel keeps of a virtual service, its real servers
// apart. It is comparable.
type VirtualService struct {
	Scheduler string     // kernel name, such as "wrr"
	Flags     SchedFlags // 0: none
	// Persistence in seconds; 0: not persistent.
	Persistence uint32
	// PrefixLen is the granularity of persistence, 0 to 32 or 1 to 128 bits. It
	// counts only with Persistence; the kernel's default is all bits.
	PrefixLen uint8
	OnePacket bool // one-packet scheduling
	// PEName is the persistence engine ("sip"), "" for none. No directive sets it; it is
	// read so that editing an adopted service can see it.
	PEName string
}

// RealServer is what the kernel keeps of a real server. It is comparable.
type RealServer struct {
	Method ForwardingMethod
	Weight uint32 // 0: quiescent
	Upper  uint32 // no new connections above; 0: no limit
	Lower  uint32 // new connections again below; 0: no limit
}

// Service is a virtual service with its real servers.
type Service struct {
	VirtualService
	Servers map[ServerKey]RealServer
}

// Table is the content of IPVS, or a part of it.
type Table map[ServiceKey]Service

// Clone returns a copy that shares nothing with t.
func (t Table) Clone() Table {
	out := make(Table, len(t))
	for k, s := range t {
		servers := make(map[ServerKey]RealServer, len(s.Servers))
		for sk, r := range s.Servers {
			servers[sk] = r
		}
		s.Servers = servers
		out[k] = s
	}
	return out
}
