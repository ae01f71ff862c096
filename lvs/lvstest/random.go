package lvstest

import (
	"math/rand/v2"
	"net/netip"

	"github.com/ldirectord/ldirectord/lvs"
)

// Keys returns the virtual services that random tables are made of: tcp and udp in both
// families, and the same firewall mark in both families.
func Keys() []lvs.ServiceKey {
	return []lvs.ServiceKey{
		lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("192.0.2.1:80")),
		lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("192.0.2.1:443")),
		lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort("192.0.2.1:80")),
		lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("[2001:db8::1]:80")),
		lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort("[2001:db8::1]:53")),
		lvs.ServiceMark(5, lvs.IPv4),
		lvs.ServiceMark(5, lvs.IPv6),
		lvs.ServiceMark(4294967295, lvs.IPv4),
	}
}

// serverAddresses are those of random real servers, of both families for every virtual
// service: those of the other family are then reached by IPIP.
var serverAddresses = [...]string{"198.51.100.7", "198.51.100.8", "198.51.100.9", "2001:db8:7::7", "2001:db8:7::8"}

// RandomTable returns a table that a kernel could hold, of some of Keys.
func RandomTable(r *rand.Rand) lvs.Table {
	t := lvs.Table{}
	for _, k := range Keys() {
		if r.IntN(3) == 0 {
			continue
		}
		s := lvs.Service{VirtualService: RandomService(r, k.Family), Servers: map[lvs.ServerKey]lvs.RealServer{}}
		for range r.IntN(6) {
			at, server := RandomServer(r, k)
			s.Servers[at] = server
		}
		t[k] = s
	}
	return t
}

// RandomService returns a virtual service that the kernel takes, in normal form.
func RandomService(r *rand.Rand, f lvs.Family) lvs.VirtualService {
	v := lvs.VirtualService{
		Scheduler: [...]string{"rr", "wrr", "wlc", "sh"}[r.IntN(4)],
		Flags:     lvs.SchedFlags(r.IntN(8)),
		OnePacket: r.IntN(4) == 0,
	}
	if v.Scheduler == "sh" {
		v.Flags &^= lvs.SchedFlag3 // ipvsadm(8) keeps it to itself, and it is a witness
	}
	if r.IntN(2) == 0 {
		v.Persistence = [...]uint32{1, 300, 600, 86400}[r.IntN(4)]
		v.PrefixLen = uint8(r.IntN(int(f.Bits()) + 1))
	}
	return v.Normal(f)
}

// RandomServer returns a real server that the kernel takes in the virtual service k.
func RandomServer(r *rand.Rand, k lvs.ServiceKey) (lvs.ServerKey, lvs.RealServer) {
	address := netip.MustParseAddr(serverAddresses[r.IntN(len(serverAddresses))])
	server := lvs.RealServer{
		Method: lvs.ForwardingMethod(r.IntN(3)),
		Weight: [...]uint32{0, 0, 1, 2, 65535, 70000}[r.IntN(6)],
	}
	if lvs.FamilyOf(address) != k.Family {
		server.Method = lvs.IPIP
	}
	if r.IntN(2) == 0 {
		server.Upper = uint32(r.IntN(1000))
		server.Lower = uint32(r.IntN(int(server.Upper) + 1))
	}
	port := [...]uint16{0, 80, 8080}[r.IntN(3)]
	return lvs.Canon(k, netip.AddrPortFrom(address, port), server.Method), server
}

// RandomEdits returns n edits about Keys, many of them about things that are not there, and
// some that every table refuses.
func RandomEdits(r *rand.Rand, n int) []lvs.Edit {
	keys := Keys()
	edits := make([]lvs.Edit, n)
	for i := range edits {
		e := lvs.Edit{Key: keys[r.IntN(len(keys))]}
		switch p := r.IntN(20); {
		case p < 5:
			e.Op, e.Service = lvs.EnsureService, RandomService(r, e.Key.Family)
		case p < 6:
			e.Op = lvs.RemoveService
		case p < 9:
			e.Op = lvs.RemoveServer
		case p < 12:
			e.Op = lvs.UpdateServer
		default:
			e.Op = lvs.EnsureServer
		}
		if e.Op != lvs.EnsureService && e.Op != lvs.RemoveService {
			at, server := RandomServer(r, e.Key)
			e.At = at
			if e.Op != lvs.RemoveServer {
				e.Server = server
			}
		}
		if r.IntN(25) == 0 {
			spoil(&e)
		}
		edits[i] = e
	}
	return edits
}

// spoil makes e one that every table refuses, if it is of a kind that can be.
func spoil(e *lvs.Edit) {
	switch e.Op {
	case lvs.EnsureService:
		e.Service.Scheduler = "nosuch"
	case lvs.EnsureServer, lvs.UpdateServer:
		e.Server.Lower = e.Server.Upper + 1
	}
}
