package config

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// lookupTime bounds the lookup of one name, and lookupsAtOnce how many are asked
// for at a time: a dead name server delays a reload by little.
const (
	lookupTime    = 10 * time.Second
	lookupsAtOnce = 32
)

// names resolves host and service names for one configuration.
type names struct {
	resolver Resolver
	last     map[string]netip.Addr // of the configuration before; not changed
	used     map[string]netip.Addr // what becomes last when this configuration is accepted
	answers  map[string]netip.Addr // by LastKey; an invalid one for a name that failed
	stale    map[string]bool       // by LastKey: failed now, answered from last
	ports    map[string]int        // by network and name; -1 for one that does not exist
}

func newNames(l *Loader) *names {
	n := &names{resolver: l.Resolver, last: l.Last, used: map[string]netip.Addr{}, answers: map[string]netip.Addr{},
		stale: map[string]bool{}, ports: map[string]int{}}
	if n.resolver == nil {
		n.resolver = systemResolver()
	}
	return n
}

// question is one host name to look up.
type question struct {
	host string
	v6   bool
}

// prefetch looks up all host names of d, many at once.
func (n *names) prefetch(ctx context.Context, d draft) {
	questions := map[string]question{}
	ask := func(e endpoint) {
		for _, host := range []string{e.host, e.last} {
			if _, err := netip.ParseAddr(host); err != nil && host != "" {
				questions[LastKey(host, e.v6)] = question{host, e.v6}
			}
		}
	}
	for _, sec := range d.sections {
		if e, ok := sec.endpoint(&report{}); ok {
			ask(e)
		}
		for _, line := range sec.servers {
			ask(line.endpoint)
		}
		askFallbacks(sec.set, ask)
	}
	askFallbacks(d.set, ask)

	var mu sync.Mutex // guards n.answers, n.stale and n.used while lookups run
	var wg sync.WaitGroup
	slots := make(chan struct{}, lookupsAtOnce)
	for key, q := range questions {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			found := n.lookup(ctx, q)
			mu.Lock()
			defer mu.Unlock()
			n.learn(key, found)
		})
	}
	wg.Wait()
}

// askFallbacks calls ask for the fallback servers among settings.
func askFallbacks(set map[string]setting, ask func(endpoint)) {
	for _, name := range []string{"fallback", "fallback6"} {
		if line, ok := set[name].value.(realLine); ok {
			ask(line.endpoint)
		}
	}
}

// lookup returns the addresses of q that IPVS can use; none when it does not resolve.
func (n *names) lookup(ctx context.Context, q question) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	network := "ip4"
	if q.v6 {
		network = "ip6"
	}
	found, err := n.resolver.LookupNetIP(ctx, network, q.host)
	if err != nil {
		return nil
	}
	out := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		if a = a.Unmap().WithZone(""); a.Is6() == q.v6 {
			out = append(out, a)
		}
	}
	return out
}

// learn keeps the answer for a name. Of several addresses the one that was used last is
// kept, so that a rotating answer moves nothing.
func (n *names) learn(key string, found []netip.Addr) {
	last, known := n.last[key]
	switch {
	case len(found) == 0 && known:
		n.stale[key] = true
		n.answers[key] = last
	case len(found) == 0:
		n.answers[key] = netip.Addr{}
	case known && slices.Contains(found, last):
		n.answers[key] = last
	default:
		n.answers[key] = found[0]
	}
	if a := n.answers[key]; a.IsValid() {
		n.used[key] = a
	}
}

// addr returns the address of a host, which is one already or a name. It warns of a
// name that does not resolve; the address is invalid when it never did.
func (n *names) addr(r *report, e endpoint, host string) netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return a
	}
	key := LastKey(host, e.v6)
	a := n.answers[key]
	family := "IPv4"
	if e.v6 {
		family = "IPv6"
	}
	switch {
	case !a.IsValid():
		r.warn(e.at, e.label, "%s has no %s address at present, it waits until it has one", quoteShort(host), family)
	case n.stale[key]:
		r.warn(e.at, e.label, "%s has no %s address at present, its last one, %s, is used", quoteShort(host), family, a)
	}
	return a
}

// port returns the port of e, 0 when it has none. It reports a name that the
// services database does not have. An empty network stands for one that is not known: tcp
// or udp.
func (n *names) port(ctx context.Context, r *report, e endpoint, network string) (uint16, bool) {
	if e.port == "" {
		return 0, true
	}
	if p, err := strconv.ParseUint(e.port, 10, 16); err == nil {
		return uint16(p), true
	}
	p, of := n.service(ctx, cmp.Or(network, "tcp"), e.port), " for "+network
	if network == "" {
		p, of = max(p, n.service(ctx, "udp", e.port)), ""
	}
	if p < 0 {
		r.refuse(e.at.after(len(e.text)-len(e.port)), e.label, e.port,
			"a port number or a name of the services database"+of)
		return 0, false
	}
	return uint16(p), true
}

// service looks a name up in the services database and returns its port, or -1.
func (n *names) service(ctx context.Context, network, name string) int {
	key := network + " " + name
	if p, ok := n.ports[key]; ok {
		return p
	}
	p, err := n.resolver.LookupPort(ctx, network, name)
	if err != nil || p < 0 || p > 65535 {
		p = -1
	}
	n.ports[key] = p
	return p
}
