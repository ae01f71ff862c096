package sdk

import (
	"context"
	"net"
	"net/netip"
)

// Target is what one probe looks at. It is comparable.
type Target struct {
	// Service is the configured service (ldirectord(8), "service"), such as
	// "https": one check may serve several.
	Service string
	// Addr is where to look: the real server's address and the check's port.
	Addr netip.AddrPort
	// Network is "tcp" or "udp": the section's protocol, or what the service
	// wants in a firewall-mark section. Never empty.
	Network string
	// Virtual is the virtual service's address and port; invalid for a firewall mark.
	// Set only for kinds that need it (scripts): other checks are shared
	// between virtual services.
	Virtual netip.AddrPort
	// FWMark is the virtual service's firewall mark, 0 when it has none; set as Virtual is.
	FWMark uint32
}

// Dial connects to the target over its network, within ctx. It binds no local
// address, so that the kernel may reuse ports for different destinations.
func (t Target) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, t.Network, t.Addr.String())
}
