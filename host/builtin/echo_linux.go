package builtin

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// echoData is how many bytes an echo request carries: those of ping(8), and enough for a
// random beginning that tells our echoes from anybody else's.
const echoData = 56

// answersAtOnce is the room for answers that wait to be read, in bytes as the kernel counts them:
// about 800 for each.
const answersAtOnce = 8 << 20

// family is what differs between ICMP and ICMPv6.
type family struct {
	name        string
	domain      int
	protocol    int // of the socket, and of icmp.ParseMessage
	raw, any    string
	request     icmp.Type
	reply       icmp.Type
	unreachable icmp.Type
	// restrict has a raw socket receive the two types alone: it gets a copy of all ICMP packets else.
	restrict func(net.PacketConn) error
	// quoted reads the packet that came back in another: where it was sent, and its ICMP part, nil
	// when there is none.
	quoted func([]byte) (netip.Addr, []byte)
}

func icmp4() family {
	return family{
		name: "IPv4", domain: syscall.AF_INET, protocol: syscall.IPPROTO_ICMP, raw: "ip4:icmp", any: "0.0.0.0",
		request: ipv4.ICMPTypeEcho, reply: ipv4.ICMPTypeEchoReply, unreachable: ipv4.ICMPTypeDestinationUnreachable,
		restrict: func(c net.PacketConn) error {
			var f ipv4.ICMPFilter
			f.SetAll(true)
			f.Accept(ipv4.ICMPTypeEchoReply)
			f.Accept(ipv4.ICMPTypeDestinationUnreachable)
			return ipv4.NewPacketConn(c).SetICMPFilter(&f)
		},
		quoted: func(packet []byte) (netip.Addr, []byte) {
			if len(packet) < 20 || len(packet) < int(packet[0]&15)*4 || packet[9] != syscall.IPPROTO_ICMP {
				return netip.Addr{}, nil
			}
			return netip.AddrFrom4([4]byte(packet[16:20])), packet[int(packet[0]&15)*4:]
		},
	}
}

func icmp6() family {
	return family{
		name: "IPv6", domain: syscall.AF_INET6, protocol: syscall.IPPROTO_ICMPV6, raw: "ip6:ipv6-icmp", any: "::",
		request: ipv6.ICMPTypeEchoRequest, reply: ipv6.ICMPTypeEchoReply, unreachable: ipv6.ICMPTypeDestinationUnreachable,
		restrict: func(c net.PacketConn) error {
			var f ipv6.ICMPFilter
			f.SetAll(true)
			f.Accept(ipv6.ICMPTypeEchoReply)
			f.Accept(ipv6.ICMPTypeDestinationUnreachable)
			return ipv6.NewPacketConn(c).SetICMPFilter(&f)
		},
		quoted: func(packet []byte) (netip.Addr, []byte) {
			if len(packet) < 40 || packet[6] != syscall.IPPROTO_ICMPV6 {
				return netip.Addr{}, nil
			}
			return netip.AddrFrom16([16]byte(packet[24:40])), packet[40:]
		},
	}
}

// echoSocket sends the echo requests of one family, and gives each answer to who waits for it. An
// answer is known by its address, sequence number and data, and on a raw socket by its
// identifier; on a datagram socket that is the kernel's affair.
type echoSocket struct {
	family
	id    int
	nonce []byte

	mu      sync.Mutex // guards what follows: probes and the reader share it
	conn    net.PacketConn
	dgram   bool
	closed  bool
	seq     uint16
	waiting map[echoKey]*echoWait
	ended   chan struct{} // closed when the reader of conn has ended
}

type echoKey struct {
	addr netip.Addr
	seq  uint16
}

// echoWait is a probe that waits for the answer to any of its requests.
type echoWait struct {
	addr     netip.Addr
	to       net.Addr
	answered chan struct{} // capacity 1
	failure  error         // the last of sending

	mu      *sync.Mutex // the socket's; guards what follows
	keys    []echoKey
	refusal string // what a router, or the host itself, answered instead
}

func newEchoSocket(f family) *echoSocket {
	nonce := []byte(rand.Text())
	return &echoSocket{
		family: f, id: int(nonce[0])<<8 | int(nonce[1]), nonce: nonce, waiting: map[echoKey]*echoWait{},
	}
}

// open makes the socket, unless it is there: a datagram socket where the kernel lets us (icmp(7),
// ping_group_range), else a raw one, which takes CAP_NET_RAW.
func (s *echoSocket) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn != nil:
		return nil
	case s.closed:
		return net.ErrClosed
	}
	conn, err := s.datagram()
	s.dgram = err == nil
	if err != nil {
		if conn, err = net.ListenPacket(s.raw, s.any); err == nil {
			if err = s.restrict(conn); err != nil {
				conn.Close()
			}
		}
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("ping over %s takes CAP_NET_RAW, or a group in net.ipv4.ping_group_range: %w", s.name, err)
	case err != nil:
		return fmt.Errorf("open a socket for ping over %s: %w", s.name, err)
	}
	if err := widen(conn); err != nil {
		conn.Close()
		return fmt.Errorf("open a socket for ping over %s: %w", s.name, err)
	}
	s.conn, s.ended = conn, make(chan struct{})
	go s.read(conn, s.ended) // close waits for it
	return nil
}

func (s *echoSocket) datagram() (net.PacketConn, error) {
	fd, err := syscall.Socket(s.domain, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, s.protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "icmp")
	defer f.Close() // FilePacketConn has a copy
	return net.FilePacketConn(f)
}

// widen gives a socket room for the answers of thousands of servers that come at once. What
// root may have is more than what others may.
func widen(conn net.PacketConn) error {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		if syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, answersAtOnce) != nil {
			// The answer is capped without an error, and one that is lost is asked for again.
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, answersAtOnce)
		}
	})
}

// close closes the socket, and waits for its reader.
func (s *echoSocket) close() error {
	s.mu.Lock()
	conn, ended := s.conn, s.ended
	s.conn, s.closed = nil, true
	s.mu.Unlock()
	if conn == nil {
		return nil
	}
	err := conn.Close()
	<-ended
	return err
}

func (s *echoSocket) wait(addr netip.Addr) *echoWait {
	w := &echoWait{addr: addr.WithZone(""), answered: make(chan struct{}, 1), mu: &s.mu}
	if s.dgram {
		w.to = &net.UDPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
	} else {
		w.to = &net.IPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
	}
	return w
}

// send sends one more request of w.
func (s *echoSocket) send(w *echoWait) {
	s.mu.Lock()
	conn := s.conn
	key := echoKey{w.addr, s.seq}
	for s.waiting[key] != nil { // after 65,536 others
		key.seq++
	}
	s.seq = key.seq + 1
	s.waiting[key] = w
	s.mu.Unlock()
	if conn == nil {
		w.failure = net.ErrClosed
		return
	}
	data := make([]byte, echoData)
	copy(data, s.nonce)
	packet, err := (&icmp.Message{Type: s.request, Body: &icmp.Echo{ID: s.id, Seq: int(key.seq), Data: data}}).Marshal(nil)
	if err == nil {
		_, err = conn.WriteTo(packet, w.to)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		w.failure = err
		delete(s.waiting, key)
		return
	}
	w.keys = append(w.keys, key)
}

// result says how many requests were sent, and what was answered instead of an echo.
func (w *echoWait) result() (sent int, refusal string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.keys), w.refusal
}

// done ends the wait.
func (s *echoSocket) done(w *echoWait) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range w.keys {
		delete(s.waiting, key)
	}
}

// read takes what arrives until the socket is closed. Errors in between are those of single
// packets, such as an earlier one that was refused.
func (s *echoSocket) read(conn net.PacketConn, ended chan<- struct{}) {
	defer close(ended)
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		m, err := icmp.ParseMessage(s.protocol, buf[:n])
		if err != nil {
			continue
		}
		switch body := m.Body.(type) {
		case *icmp.Echo:
			if m.Type == s.reply {
				s.take(address(from), body)
			}
		case *icmp.DstUnreach:
			s.refuse(body.Data, address(from))
		}
	}
}

func address(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.IPAddr:
		addr, _ := netip.AddrFromSlice(a.IP)
		return addr.Unmap()
	}
	return netip.Addr{}
}

// take gives an answer to who waits for it.
func (s *echoSocket) take(from netip.Addr, e *icmp.Echo) {
	if !bytes.HasPrefix(e.Data, s.nonce) || !s.dgram && e.ID != s.id {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.waiting[echoKey{from, uint16(e.Seq)}]; w != nil {
		select {
		case w.answered <- struct{}{}:
		default: // an earlier one has
		}
	}
}

// refuse notes that a request came back as undeliverable; the wait goes on, since routes come back.
func (s *echoSocket) refuse(packet []byte, from netip.Addr) {
	to, inner := s.quoted(packet)
	m, err := icmp.ParseMessage(s.protocol, inner)
	if err != nil || m.Type != s.request {
		return
	}
	e, ok := m.Body.(*icmp.Echo)
	if !ok || e.ID != s.id {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.waiting[echoKey{to, uint16(e.Seq)}]; w != nil {
		w.refusal = "destination unreachable, says " + from.String()
	}
}
