package ipvs

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"syscall"

	"github.com/ldirectord/ldirectord/lvs"
)

// nested returns the attributes of the nesting kind in an answer of the kernel.
func nested(payload []byte, kind int) (*fields, error) {
	if len(payload) < genericHeader {
		return nil, errMalformed
	}
	outer, err := parseFields(payload[genericHeader:])
	if err != nil {
		return nil, err
	}
	if outer.value[kind] == nil {
		return nil, errMalformed
	}
	return parseFields(outer.value[kind])
}

// decodeService reads one answer of a dump of virtual services. known is false for those of
// a protocol that lvs has no name for (SCTP).
func decodeService(payload []byte) (k lvs.ServiceKey, v lvs.VirtualService, known bool, err error) {
	f, err := nested(payload, attrService)
	if err != nil {
		return k, v, false, err
	}
	family, ok := familyOf(f.u16(svcFamily))
	if !ok {
		return k, v, false, errMalformed
	}
	if mark := f.u32(svcMark); mark != 0 {
		k, known = lvs.ServiceMark(mark, family), true
	} else {
		a := address(f, svcAddr, family)
		k = lvs.ServiceKey{Addr: netip.AddrPortFrom(a, f.port(svcPort)), Family: family}
		switch f.u16(svcProtocol) {
		case syscall.IPPROTO_TCP:
			k.Protocol, known = lvs.TCP, true
		case syscall.IPPROTO_UDP:
			k.Protocol, known = lvs.UDP, true
		}
	}
	flags := f.u32(svcFlags)
	v.Scheduler = f.text(svcScheduler)
	v.PEName = f.text(svcPEName)
	v.Flags = lvs.SchedFlags(flags >> schedFlagShift & 7)
	v.OnePacket = flags&flagOnePacket != 0
	if flags&flagPersistent != 0 {
		v.Persistence = f.u32(svcTimeout)
		v.PrefixLen = prefixOf(family, f.u32(svcNetmask))
	}
	return k, v.Normal(family), known, f.err
}

// decodeServer reads one answer of a dump of the real servers of a virtual service of the
// given family.
func decodeServer(payload []byte, service lvs.Family) (at lvs.ServerKey, r lvs.RealServer, c lvs.Counters, err error) {
	f, err := nested(payload, attrDest)
	if err != nil {
		return at, r, c, err
	}
	family := service // kernels before 3.18 do not tell
	if af := f.u16(destFamily); af != 0 {
		var ok bool
		if family, ok = familyOf(af); !ok {
			return at, r, c, errMalformed
		}
	}
	at = lvs.ServerKey(netip.AddrPortFrom(address(f, destAddr, family), f.port(destPort)))
	r = lvs.RealServer{
		Method: forwarding(f.u32(destMethod)),
		Weight: f.u32(destWeight),
		Upper:  f.u32(destUpper),
		Lower:  f.u32(destLower),
	}
	if c, err = decodeCounters(f); err != nil {
		return at, r, c, err
	}
	return at, r, c, f.err
}

func decodeCounters(f *fields) (lvs.Counters, error) {
	c := lvs.Counters{
		Active:     f.u32(destActive),
		Inactive:   f.u32(destInactive),
		Persistent: f.u32(destPersistent),
	}
	if b := f.value[destStats64]; b != nil {
		s, err := parseFields(b)
		if err != nil {
			return c, err
		}
		c.Connections, c.PacketsIn, c.PacketsOut = s.u64(statConns), s.u64(statInPkts), s.u64(statOutPkts)
		c.BytesIn, c.BytesOut = s.u64(statInBytes), s.u64(statOutBytes)
		return c, s.err
	}
	if b := f.value[destStats]; b != nil { // kernels before 4.1
		s, err := parseFields(b)
		if err != nil {
			return c, err
		}
		c.Connections, c.PacketsIn, c.PacketsOut = uint64(s.u32(statConns)), uint64(s.u32(statInPkts)), uint64(s.u32(statOutPkts))
		c.BytesIn, c.BytesOut = s.u64(statInBytes), s.u64(statOutBytes)
		return c, s.err
	}
	return c, nil
}

func familyOf(af uint16) (lvs.Family, bool) {
	switch af {
	case syscall.AF_INET:
		return lvs.IPv4, true
	case syscall.AF_INET6:
		return lvs.IPv6, true
	default:
		return 0, false
	}
}

// address reads an address: the kernel sends 16 bytes for both families.
func address(f *fields, kind int, family lvs.Family) netip.Addr {
	n := int(family.Bits() / 8)
	v := f.sized(kind, n)
	if v == nil {
		f.err = errMalformed
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(v[:n])
	return a
}

// forwarding returns the method; what lvs has no name for (local node, bypass) sends packets
// on unchanged like Gate.
func forwarding(flags uint32) lvs.ForwardingMethod {
	switch flags & methodMask {
	case methodMasq:
		return lvs.Masq
	case methodTunnel:
		return lvs.IPIP
	default:
		return lvs.Gate
	}
}

// prefixOf undoes netmaskOf. An IPv4 netmask with holes, which some other program may have
// set, counts by its leading ones.
func prefixOf(f lvs.Family, netmask uint32) uint8 {
	if f == lvs.IPv6 {
		return uint8(min(netmask, 128))
	}
	mask := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, netmask))
	return uint8(bits.LeadingZeros32(^mask))
}
