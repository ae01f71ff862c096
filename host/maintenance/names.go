package maintenance

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Resolver finds the names of an address, as *net.Resolver does.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// How names are looked up: off the path of checks, some at a time, and again now and then. A name
// that can no longer be found stays what it was.
const (
	lookupLimit  = 5 * time.Second
	lookupsAtOne = 8
	refreshAfter = 5 * time.Minute
	retryAfter   = 30 * time.Second
	firstLimit   = 3 * time.Second // what a start, or a command, waits for them
)

// names are the host names of addresses, as reverse resolution has them. One goroutine owns it; look
// returns at once, and what lookups find comes through found.
type names struct {
	resolver Resolver
	known    map[netip.Addr]*name
	busy     int
	found    chan answer
}

type name struct {
	hosts []string // plain; the first labels are in it, too
	due   time.Time
	asked bool // a lookup is under way
}

type answer struct {
	addr  netip.Addr
	hosts []string
	err   error
}

func newNames(r Resolver) *names {
	return &names{resolver: r, known: map[netip.Addr]*name{}, found: make(chan answer)}
}

// look starts lookups of those addrs that are due, as many as may run, and forgets all others.
func (n *names) look(ctx context.Context, addrs []netip.Addr, now time.Time) {
	wanted := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		wanted[a] = true
		if n.known[a] == nil {
			n.known[a] = &name{}
		}
	}
	for a, k := range n.known {
		if !wanted[a] && !k.asked {
			delete(n.known, a)
		}
	}
	for a, k := range n.known {
		if n.busy >= lookupsAtOne {
			return
		}
		if k.asked || k.due.After(now) {
			continue
		}
		k.asked = true
		n.busy++
		go n.lookup(ctx, a) // the owner takes its answer, or drains found at its end
	}
}

func (n *names) lookup(ctx context.Context, a netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	hosts, err := n.resolver.LookupAddr(ctx, a.String())
	n.found <- answer{a, hosts, err}
}

// take enters an answer, and says whether it changes anything.
func (n *names) take(x answer, now time.Time) bool {
	n.busy--
	k := n.known[x.addr]
	if k == nil {
		return false
	}
	k.asked, k.due = false, now.Add(refreshAfter)
	if x.err != nil || len(x.hosts) == 0 {
		k.due = now.Add(retryAfter)
		return false
	}
	var hosts []string
	for _, h := range x.hosts {
		h = plain(h)
		short, _, _ := strings.Cut(h, ".")
		hosts = append(hosts, h, short)
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	changed := !slices.Equal(hosts, k.hosts)
	k.hosts = hosts
	return changed
}

// has tells whether an address has a name.
func (n *names) has(a netip.Addr, host string) bool {
	k := n.known[a]
	return k != nil && slices.Contains(k.hosts, host)
}

// drain waits for what is under way. Their context must have ended.
func (n *names) drain() {
	for ; n.busy > 0; n.busy-- {
		<-n.found
	}
}

// resolve looks all names up, as far as there is time.
func (n *names) resolve(ctx context.Context, addrs []netip.Addr) {
	limit := time.NewTimer(firstLimit)
	defer limit.Stop()
	for {
		n.look(ctx, addrs, time.Now())
		if n.busy == 0 {
			return
		}
		select {
		case x := <-n.found:
			n.take(x, time.Now())
		case <-limit.C:
			return
		}
	}
}

// meant returns the addresses that a mark names, among those of servers if it names a host: by
// their own names, or by those that the configuration gives them.
func (n *names) meant(m Mark, servers map[netip.Addr][]string) []netip.Addr {
	if m.Host == "" {
		return []netip.Addr{m.Addr}
	}
	var out []netip.Addr
	for addr, given := range servers {
		called := slices.ContainsFunc(given, func(name string) bool { return plain(name) == m.Host })
		if called || n.has(addr, m.Host) {
			out = append(out, addr)
		}
	}
	return out
}

// Meant returns for each mark the addresses that it names, as Watcher finds them. It looks names up
// only if a mark names a host, and waits for that a few seconds at most.
func Meant(ctx context.Context, r Resolver, marks []Mark, servers map[netip.Addr][]string) [][]netip.Addr {
	ctx, cancel := context.WithCancel(ctx)
	n := newNames(r)
	defer n.drain()
	defer cancel()
	if slices.ContainsFunc(marks, func(m Mark) bool { return m.Host != "" }) {
		n.resolve(ctx, slices.Collect(maps.Keys(servers)))
	}
	out := make([][]netip.Addr, len(marks))
	for i, m := range marks {
		out[i] = n.meant(m, servers)
	}
	return out
}
