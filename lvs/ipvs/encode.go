package ipvs

import (
	"encoding/binary"
	"syscall"

	"github.com/ldirectord/ldirectord/lvs"
)

// request is a netlink message but for its sequence number.
type request struct {
	kind  uint16 // the generic netlink family
	flags uint16
	body  []byte // generic header and attributes
}

// appendTo appends the whole message.
func (r request) appendTo(b []byte, seq uint32) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(messageHeader+len(r.body)))
	b = binary.NativeEndian.AppendUint16(b, r.kind)
	b = binary.NativeEndian.AppendUint16(b, syscall.NLM_F_REQUEST|r.flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // the kernel knows the sender
	return append(b, r.body...)
}

// command starts the body of a request.
func command(cmd uint8) []byte { return []byte{cmd, 1, 0, 0} }

// encodeEdit returns the body that makes cmd with the values of e. e must be valid.
func encodeEdit(cmd uint8, e lvs.Edit) []byte {
	b := nest(command(cmd), attrService, func(b []byte) []byte {
		b = appendServiceKey(b, e.Key)
		if cmd == cmdNewService || cmd == cmdSetService {
			b = appendService(b, e.Key.Family, e.Service)
		}
		return b
	})
	switch cmd {
	case cmdNewDest, cmdSetDest, cmdDelDest:
		b = nest(b, attrDest, func(b []byte) []byte {
			b = appendServerKey(b, e.At)
			if cmd != cmdDelDest {
				b = appendServer(b, e.Server)
			}
			return b
		})
	}
	return b
}

// encodeKey returns the body of a command about a whole virtual service.
func encodeKey(cmd uint8, k lvs.ServiceKey) []byte {
	return encodeEdit(cmd, lvs.Edit{Key: k})
}

func appendServiceKey(b []byte, k lvs.ServiceKey) []byte {
	b = appendU16(b, svcFamily, afOf(k.Family))
	if k.Protocol == lvs.FWM {
		return appendU32(b, svcMark, k.Mark)
	}
	b = appendU16(b, svcProtocol, protocolOf(k.Protocol))
	b = appendAttr(b, svcAddr, k.Addr.Addr().AsSlice())
	return appendPort(b, svcPort, k.Addr.Port())
}

func appendService(b []byte, f lvs.Family, v lvs.VirtualService) []byte {
	b = appendText(b, svcScheduler, v.Scheduler)
	if v.PEName != "" {
		b = appendText(b, svcPEName, v.PEName)
	}
	flags := binary.NativeEndian.AppendUint32(nil, flagsOf(v))
	b = appendAttr(b, svcFlags, binary.NativeEndian.AppendUint32(flags, ^uint32(0)))
	b = appendU32(b, svcTimeout, v.Persistence)
	return appendU32(b, svcNetmask, netmaskOf(f, v))
}

func appendServerKey(b []byte, at lvs.ServerKey) []byte {
	b = appendU16(b, destFamily, afOf(lvs.FamilyOf(at.Addr())))
	b = appendAttr(b, destAddr, at.Addr().AsSlice())
	return appendPort(b, destPort, at.Port())
}

func appendServer(b []byte, r lvs.RealServer) []byte {
	b = appendU32(b, destMethod, methodOf(r.Method))
	b = appendU32(b, destWeight, r.Weight)
	b = appendU32(b, destUpper, r.Upper)
	return appendU32(b, destLower, r.Lower)
}

func afOf(f lvs.Family) uint16 {
	if f == lvs.IPv6 {
		return syscall.AF_INET6
	}
	return syscall.AF_INET
}

func protocolOf(p lvs.Protocol) uint16 {
	if p == lvs.UDP {
		return syscall.IPPROTO_UDP
	}
	return syscall.IPPROTO_TCP
}

func methodOf(m lvs.ForwardingMethod) uint32 {
	switch m {
	case lvs.Masq:
		return methodMasq
	case lvs.IPIP:
		return methodTunnel
	default:
		return methodRoute
	}
}

func flagsOf(v lvs.VirtualService) uint32 {
	flags := uint32(v.Flags) << schedFlagShift
	if v.Persistence > 0 {
		flags |= flagPersistent
	}
	if v.OnePacket {
		flags |= flagOnePacket
	}
	return flags
}

// netmaskOf returns the granularity of persistence in the kernel's form: in IPv4 the bytes of
// the netmask in network order, in IPv6 the prefix length.
func netmaskOf(f lvs.Family, v lvs.VirtualService) uint32 {
	bits := v.Normal(f).PrefixLen
	if f == lvs.IPv6 {
		return uint32(bits)
	}
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-bits))
	return binary.NativeEndian.Uint32(mask)
}

// plain tells whether moby/ipvs can encode e: it never sends a real server's address family.
func plain(e lvs.Edit) bool {
	return e.Op == lvs.EnsureService || e.Op == lvs.RemoveService || lvs.FamilyOf(e.At.Addr()) == e.Key.Family
}
