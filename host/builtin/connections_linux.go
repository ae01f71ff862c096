package builtin

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// connections is the Connector's owning goroutine and all that it owns.
type connections struct {
	c      *Connector
	epfd   int
	known  map[uint64]sdk.Target
	seq    uint64
	flying map[uint64]*attempt // by seq
	byID   map[uint64]*attempt // the same, by check
	ends   deadlines           // of those in flight that are waited for
	batch  []*attempt          // begun by one Start
	out    outbox
	timer  *time.Timer // of the next deadline
	armed  time.Time   // what it is set for; zero: nothing
}

func newConnections(c *Connector, epfd int) *connections {
	l := &connections{
		c: c, epfd: epfd,
		known:  make(map[uint64]sdk.Target),
		flying: make(map[uint64]*attempt),
		byID:   make(map[uint64]*attempt),
		out:    newOutbox(),
		timer:  time.NewTimer(time.Hour),
	}
	l.timer.Stop()
	return l
}

// loop ends when the Connector is closed and polled, its other goroutine's end, is.
func (l *connections) loop(polled <-chan struct{}) {
	defer close(l.c.stopped)
	defer l.release(polled)
	for {
		select {
		case <-l.c.stop:
			return
		case x := <-l.c.calls:
			l.take(x)
		case events := <-l.c.ready:
			l.settle(events)
		case l.out.to(l.c.results) <- l.out.batch:
			l.out.sent()
		case <-l.out.timer.C:
			l.out.fired()
		case <-l.timer.C:
			l.expire(time.Now())
		}
	}
}

// release closes everything.
func (l *connections) release(polled <-chan struct{}) {
	l.timer.Stop()
	l.out.timer.Stop()
	for _, a := range l.flying {
		syscall.Close(a.fd)
	}
	l.c.epoll.Close()
	<-polled
	close(l.c.results)
}

// take does what one call asks for.
func (l *connections) take(x call) {
	switch {
	case x.register != nil:
		l.known[x.register.id] = x.register.target
	case x.start != nil:
		l.start(x.start)
	default:
		delete(l.known, x.forget)
		if a := l.byID[x.forget]; a != nil {
			l.drop(a)
		}
	}
}

// start begins all connections before it looks at the first: by then it is there.
func (l *connections) start(due []sdk.Due) {
	for _, d := range due {
		t, ok := l.known[d.ID]
		switch {
		case !ok:
			l.out.add(d.ID, sdk.Unknown("started a check that is not registered"))
		case l.byID[d.ID] != nil:
			l.out.add(d.ID, sdk.Unknown("the last probe has not ended"))
		default:
			l.begin(d, t)
		}
	}
	for i, a := range l.batch {
		l.batch[i] = nil
		if !l.look(a) {
			l.wait(a)
		}
	}
	l.batch = l.batch[:0]
}

// begin sends the first packet of a connection.
func (l *connections) begin(d sdk.Due, t sdk.Target) {
	if t.Network != "tcp" {
		l.out.add(d.ID, sdk.Unknown("connect checks tcp, not %s", t.Network))
		return
	}
	l.seq++
	a := &attempt{id: d.ID, seq: l.seq, fd: -1, began: time.Now()}
	a.deadline = a.began.Add(d.Remaining)
	var err error
	if a.addr, err = sockaddrOf(t.Addr); err != nil {
		l.out.add(d.ID, sdk.Unknown("%v", err))
		return
	}
	a.fd, err = syscall.Socket(a.addr.family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		l.out.add(d.ID, probe.Judge(os.NewSyscallError("socket", err)))
		return
	}
	l.flying[a.seq], l.byID[a.id] = a, a
	switch err = syscall.Connect(a.fd, a.addr.to); err {
	case nil, syscall.EINPROGRESS, syscall.EINTR:
		l.batch = append(l.batch, a)
	default:
		l.end(a, err)
	}
}

// look asks how far a connection is, by connecting once more (connect(2)), and
// says whether it has ended.
func (l *connections) look(a *attempt) bool {
	switch err := syscall.Connect(a.fd, a.addr.to); err {
	case syscall.EALREADY, syscall.EINPROGRESS, syscall.EINTR:
		return false
	case nil, syscall.EISCONN:
		l.end(a, nil)
	default:
		l.end(a, err)
	}
	return true
}

// wait leaves a connection to the kernel until something happens or its time is over.
func (l *connections) wait(a *attempt) {
	if err := syscall.EpollCtl(l.epfd, syscall.EPOLL_CTL_ADD, a.fd, a.event()); err != nil {
		v := probe.Judge(os.NewSyscallError("epoll_ctl", err))
		l.drop(a)
		l.out.add(a.id, v)
		return
	}
	l.expectEnd(a)
}

// expectEnd has the timer go off no later than at a's deadline.
func (l *connections) expectEnd(a *attempt) {
	l.ends.add(a)
	if l.armed.IsZero() || a.deadline.Before(l.armed) {
		l.armed = a.deadline
		l.timer.Reset(time.Until(a.deadline))
	}
}

// settle takes what the kernel reports. Events of attempts that are over are ignored.
func (l *connections) settle(events []syscall.EpollEvent) {
	for _, e := range events {
		a := l.flying[seqOf(e)]
		if a == nil || l.look(a) {
			continue
		}
		if err := syscall.EpollCtl(l.epfd, syscall.EPOLL_CTL_MOD, a.fd, a.event()); err != nil {
			l.end(a, err)
		}
	}
}

// expire ends what has used up its time, and sets the timer for the next one.
func (l *connections) expire(now time.Time) {
	l.armed = time.Time{}
	for a := l.ends.first(); a != nil; a = l.ends.first() {
		if now.Before(a.deadline) {
			l.armed = a.deadline
			l.timer.Reset(time.Until(l.armed))
			return
		}
		l.end(a, syscall.ETIMEDOUT)
	}
}

// end closes a connection that was made, or failed with err, and says so.
func (l *connections) end(a *attempt, err error) {
	took := time.Since(a.began)
	v := sdk.Up()
	switch {
	case err != nil:
		v = probe.Judge(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)})
	case a.addr.selfish && toItself(a.fd):
		v = sdk.DownWith(sdk.CodeRefused, "nobody listens there")
	}
	v.Phases = []sdk.Phase{{Name: "connect", Took: took}}
	l.drop(a)
	l.out.add(a.id, v)
}

// drop closes a connection without a word.
func (l *connections) drop(a *attempt) {
	syscall.Close(a.fd)
	l.ends.remove(a)
	delete(l.flying, a.seq)
	delete(l.byID, a.id)
}

// sockaddr is an address as the kernel takes it.
type sockaddr struct {
	family  int
	to      syscall.Sockaddr
	selfish bool // the port may be given to outgoing connections
}

// sockaddrOf turns an address and port into the kernel's form.
func sockaddrOf(ap netip.AddrPort) (sockaddr, error) {
	s := sockaddr{selfish: ap.Port() >= 1024}
	addr, port := ap.Addr().Unmap(), int(ap.Port())
	if addr.Is4() {
		s.family, s.to = syscall.AF_INET, &syscall.SockaddrInet4{Port: port, Addr: addr.As4()}
		return s, nil
	}
	zone, err := zoneID(addr.Zone())
	s.family, s.to = syscall.AF_INET6, &syscall.SockaddrInet6{Port: port, ZoneId: zone, Addr: addr.As16()}
	return s, err
}

// zoneID is the number of a zone: an interface's name, or its number (RFC 4007, section 11).
func zoneID(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", zone, err)
	}
	return uint32(ifi.Index), nil
}

// toItself says whether a connection's two ends are one: connecting to a local port where
// nobody listens succeeds when the kernel happens to choose that port for this end (RFC
// 9293, simultaneous open).
func toItself(fd int) bool {
	local, err := syscall.Getsockname(fd)
	if err != nil {
		return false
	}
	remote, err := syscall.Getpeername(fd)
	if err != nil {
		return false // reset in between: it was connected to somebody
	}
	switch l := local.(type) {
	case *syscall.SockaddrInet4:
		r, ok := remote.(*syscall.SockaddrInet4)
		return ok && l.Port == r.Port && l.Addr == r.Addr
	case *syscall.SockaddrInet6:
		r, ok := remote.(*syscall.SockaddrInet6)
		return ok && l.Port == r.Port && l.Addr == r.Addr
	}
	return false
}
