package lvs

import (
	"cmp"
	"net/netip"
)

// Compare orders keys by protocol, family, address with port, and mark; it is the order
// of plans, deviations and lists.
func (k ServiceKey) Compare(o ServiceKey) int {
	return cmp.Or(
		cmp.Compare(k.Protocol, o.Protocol),
		cmp.Compare(k.Family, o.Family),
		k.Addr.Compare(o.Addr),
		cmp.Compare(k.Mark, o.Mark),
	)
}

// Compare orders keys by address, then port.
func (k ServerKey) Compare(o ServerKey) int {
	return netip.AddrPort(k).Compare(netip.AddrPort(o))
}

// compare orders edits the way a plan makes them: by operation, then virtual service,
// then real server. The operations are numbered for it.
func (e Edit) compare(o Edit) int {
	return cmp.Or(
		cmp.Compare(e.Op, o.Op),
		e.Key.Compare(o.Key),
		e.At.Compare(o.At),
	)
}
