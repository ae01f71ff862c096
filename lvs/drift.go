package lvs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// DeviationKind is how the kernel's table differs from what was asked.
type DeviationKind uint8

// The kinds. The zero value is none of them.
const (
	ServiceMissing DeviationKind = iota + 1 // the virtual service with all its servers is gone
	ServiceChanged                          // another scheduler, persistence or flag
	ServerMissing                           // removed by somebody else
	ServerUnknown                           // added by somebody else
	ServerChanged                           // another weight, forwarding method or threshold
)

// Deviation is one difference between asked and kept. It is comparable, so that one already
// reported can be known again.
type Deviation struct {
	Kind DeviationKind
	Key  ServiceKey
	At   ServerKey // for the three server kinds
	// What was asked and what the table has; zero where the kind leaves nothing to say.
	AskedService, HaveService VirtualService
	AskedServer, HaveServer   RealServer
}

// Drift returns how have, the kernel's table, differs from what was asked, by virtual
// service, then real server. Virtual services that were not asked are somebody else's and are
// not looked at. No difference is an empty list.
func Drift(asked, have Table) []Deviation {
	var out []Deviation
	for k, a := range asked {
		h, ok := have[k]
		if !ok {
			out = append(out, Deviation{Kind: ServiceMissing, Key: k})
			continue
		}
		was, is := a.VirtualService.Normal(k.Family), h.VirtualService.Normal(k.Family)
		if was != is {
			out = append(out, Deviation{Kind: ServiceChanged, Key: k, AskedService: was, HaveService: is})
		}
		out = append(out, driftServers(k, a.Servers, h.Servers)...)
	}
	slices.SortFunc(out, func(a, b Deviation) int {
		return cmp.Or(a.Key.Compare(b.Key), a.At.Compare(b.At))
	})
	return out
}

func driftServers(k ServiceKey, asked, have map[ServerKey]RealServer) []Deviation {
	var out []Deviation
	for at, a := range asked {
		d := Deviation{Key: k, At: at, AskedServer: a}
		h, ok := have[at]
		switch {
		case !ok:
			d.Kind = ServerMissing
		case h != a:
			d.Kind, d.HaveServer = ServerChanged, h
		default:
			continue
		}
		out = append(out, d)
	}
	for at, h := range have {
		if _, ok := asked[at]; !ok {
			out = append(out, Deviation{Kind: ServerUnknown, Key: k, At: at, HaveServer: h})
		}
	}
	return out
}

// String says the deviation in an operator's words.
func (d Deviation) String() string {
	switch d.Kind {
	case ServiceMissing:
		return fmt.Sprintf("virtual service %s is missing from the table", d.Key)
	case ServiceChanged:
		return fmt.Sprintf("virtual service %s was changed: %s", d.Key, d.serviceChanges())
	case ServerMissing:
		return fmt.Sprintf("real server %s (%s) is missing from the table: asked with weight %d", d.At, d.Key, d.AskedServer.Weight)
	case ServerUnknown:
		return fmt.Sprintf("real server %s (%s) is in the table with weight %d, but was never asked", d.At, d.Key, d.HaveServer.Weight)
	case ServerChanged:
		return fmt.Sprintf("real server %s (%s) was changed: %s", d.At, d.Key, d.serverChanges())
	default:
		return fmt.Sprintf("deviation(%d)", d.Kind)
	}
}

func (d Deviation) serviceChanges() string {
	a, h := d.AskedService, d.HaveService
	var c changes
	c.add("scheduler", a.Scheduler, h.Scheduler)
	c.add("scheduler flags", a.Flags, h.Flags)
	c.add("persistence", fmt.Sprintf("%ds", a.Persistence), fmt.Sprintf("%ds", h.Persistence))
	c.add("persistence prefix length", a.PrefixLen, h.PrefixLen)
	c.add("one-packet scheduling", onOff(a.OnePacket), onOff(h.OnePacket))
	c.add("persistence engine", cmp.Or(a.PEName, "none"), cmp.Or(h.PEName, "none"))
	return strings.Join(c, ", ")
}

func (d Deviation) serverChanges() string {
	a, h := d.AskedServer, d.HaveServer
	var c changes
	c.add("weight", a.Weight, h.Weight)
	c.add("forwarding", a.Method, h.Method)
	c.add("upper threshold", a.Upper, h.Upper)
	c.add("lower threshold", a.Lower, h.Lower)
	return strings.Join(c, ", ")
}

// changes collects "WHAT is THIS, asked THAT".
type changes []string

func (c *changes) add(what string, asked, have any) {
	if asked != have {
		*c = append(*c, fmt.Sprintf("%s is %v, asked %v", what, have, asked))
	}
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// String writes the flags as ipvsadm(8) -b does: "flag-1,flag-3", or "none".
func (f SchedFlags) String() string {
	var names []string
	for i := range 3 {
		if f&(1<<i) != 0 {
			names = append(names, fmt.Sprintf("flag-%d", i+1))
		}
	}
	return cmp.Or(strings.Join(names, ","), "none")
}
