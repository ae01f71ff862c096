package lvs

import (
	"fmt"
	"math"
	"net/netip"
)

// maxSchedulerName is IP_VS_SCHEDNAME_MAXLEN less the final zero (linux/ip_vs.h).
const maxSchedulerName = 15

// Validate returns why the kernel refuses e whatever its table holds, or nil. The rules
// are those of ip_vs_ctl.c; errors wrap ErrKey, ErrRange, ErrMixedFamily or ErrScheduler.
func (e Edit) Validate() error {
	if err := e.Key.validate(); err != nil {
		return err
	}
	switch e.Op {
	case EnsureService:
		return e.Service.Normal(e.Key.Family).validate(e.Key.Family)
	case EnsureServer, UpdateServer:
		if err := e.At.validate(); err != nil {
			return err
		}
		return e.Server.validate(FamilyOf(e.At.Addr()) != e.Key.Family)
	case RemoveServer:
		return e.At.validate()
	case RemoveService:
		return nil
	default:
		return fmt.Errorf("%s is not an edit", e)
	}
}

func (k ServiceKey) validate() error {
	switch k.Protocol {
	case TCP, UDP:
		if !usable(k.Addr.Addr()) || k.Family != FamilyOf(k.Addr.Addr()) || k.Mark != 0 {
			return fmt.Errorf("virtual service %s: %w", k, ErrKey)
		}
	case FWM:
		if k.Mark == 0 || k.Addr.IsValid() || k.Family.Bits() == 0 {
			return fmt.Errorf("virtual service %s: %w", k, ErrKey)
		}
	default:
		return fmt.Errorf("virtual service %s: %w", k, ErrKey)
	}
	return nil
}

func (k ServerKey) validate() error {
	if !usable(k.Addr()) {
		return fmt.Errorf("real server %s: %w", k, ErrKey)
	}
	return nil
}

// usable tells whether the kernel can keep a: its tables have no IPv6 zones, and an IPv4 address mapped
// into IPv6 is no unicast address to it.
func usable(a netip.Addr) bool { return a.IsValid() && a.Zone() == "" && !a.Is4In6() }

func (v VirtualService) validate(f Family) error {
	switch {
	case v.Scheduler == "" || len(v.Scheduler) > maxSchedulerName:
		return &UnknownSchedulerError{Name: v.Scheduler}
	case v.PrefixLen > f.Bits():
		return fmt.Errorf("prefix length %d of persistence (at most %d): %w", v.PrefixLen, f.Bits(), ErrRange)
	case v.Flags > SchedFlag1|SchedFlag2|SchedFlag3:
		return fmt.Errorf("scheduler flags %#x: %w", uint8(v.Flags), ErrRange)
	}
	return nil
}

func (r RealServer) validate(mixed bool) error {
	switch {
	case r.Method > Masq:
		return fmt.Errorf("forwarding %s: %w", r.Method, ErrRange)
	case r.Weight > math.MaxInt32:
		return fmt.Errorf("weight %d: %w", r.Weight, ErrRange)
	case r.Lower > r.Upper:
		return fmt.Errorf("lower threshold %d above the upper one, %d: %w", r.Lower, r.Upper, ErrRange)
	case mixed && r.Method != IPIP:
		return fmt.Errorf("forwarding %s: %w", r.Method, ErrMixedFamily)
	}
	return nil
}
