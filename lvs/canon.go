package lvs

import (
	"maps"
	"net/netip"
)

// Canon returns the key under which a real server of the virtual service k stands in the
// table. Servers reached by Gate or IPIP get packets whose port nobody rewrites, so in a
// tcp or udp service they stand under the virtual service's port, whatever at says; the
// kernel would accept another port, but it would never work, so ipvsadm(8) has the same
// rule. Masq servers keep their own port, and one without a port (0) has the virtual
// service's. The servers of a firewall mark keep theirs, 0 included: "as the packet came".
func Canon(k ServiceKey, at netip.AddrPort, m ForwardingMethod) ServerKey {
	if k.Protocol != FWM && (m != Masq || at.Port() == 0) {
		at = netip.AddrPortFrom(at.Addr(), k.Addr.Port())
	}
	return ServerKey(at)
}

// Bits returns the length of an address: 32 or 128, and 0 for the zero value.
func (f Family) Bits() uint8 {
	switch f {
	case IPv4:
		return 32
	case IPv6:
		return 128
	default:
		return 0
	}
}

// Normal returns v as the kernel keeps it for a virtual service of family f, so that equal
// services are equal values: PrefixLen is all bits when there is no persistence, and when
// it is 0 in IPv6, where the kernel knows no 0. (In IPv4, 0 is the netmask 0.0.0.0.)
func (v VirtualService) Normal(f Family) VirtualService {
	if v.Persistence == 0 || (f == IPv6 && v.PrefixLen == 0) {
		v.PrefixLen = f.Bits()
	}
	return v
}

// Normal returns a copy of t that shares nothing with it and has all virtual services
// normal.
func (t Table) Normal() Table {
	out := t.Clone()
	for k, s := range out {
		s.VirtualService = s.VirtualService.Normal(k.Family)
		out[k] = s
	}
	return out
}

// Equal tells whether the kernel would keep t and o alike.
func (t Table) Equal(o Table) bool {
	return maps.EqualFunc(t.Normal(), o.Normal(), func(a, b Service) bool {
		return a.VirtualService == b.VirtualService && maps.Equal(a.Servers, b.Servers)
	})
}
