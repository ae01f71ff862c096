package rules

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// Server starts something that answers at host, on a port of its own, and gives back how
// to stop it.
type Server func(host netip.Addr) (addr netip.AddrPort, stop func(), err error)

// TCP runs serve for each connection, and closes it afterwards.
func TCP(serve func(net.Conn)) Server {
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			return netip.AddrPort{}, nil, fmt.Errorf("loopback server: %w", err)
		}
		s := &connections{open: map[net.Conn]bool{}}
		s.wait.Go(func() { s.accept(l, serve) })
		stop := func() {
			_ = l.Close()
			s.closeAll()
			s.wait.Wait()
		}
		return netip.MustParseAddrPort(l.Addr().String()), stop, nil
	}
}

// connections are those of one server.
type connections struct {
	wait sync.WaitGroup
	mu   sync.Mutex // guards what follows
	open map[net.Conn]bool
	over bool
}

func (s *connections) accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // stopped
		}
		s.mu.Lock()
		if s.over {
			_ = c.Close()
		}
		s.open[c] = true
		s.mu.Unlock()
		s.wait.Go(func() {
			serve(c)
			_ = c.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.open, c)
		})
	}
}

func (s *connections) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for c := range s.open {
		_ = c.Close()
	}
}

// Lines says the lines, one after the other, as soon as somebody connects, and closes when the
// other side has.
func Lines(lines ...string) Server {
	return TCP(func(c net.Conn) {
		if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n"); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	})
}

// Silent accepts and never says a word.
func Silent() Server {
	return TCP(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
}

// Remote is a server that runs already, at the address of the host's family; of another family there is none.
func Remote(addrs ...netip.AddrPort) Server {
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		for _, a := range addrs {
			if a.Addr().Is4() == host.Is4() {
				return a, func() {}, nil
			}
		}
		return netip.AddrPort{}, nil, fmt.Errorf("no server was named that is reached as %s is", host)
	}
}

// Closing accepts and closes at once.
func Closing() Server { return TCP(func(net.Conn) {}) }

// UDP answers each packet with what answer makes of it; nil: with nothing.
func UDP(answer func(packet []byte) []byte) Server {
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		c, err := net.ListenPacket("udp", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			return netip.AddrPort{}, nil, fmt.Errorf("loopback server: %w", err)
		}
		var wait sync.WaitGroup
		wait.Go(func() {
			b := make([]byte, 64<<10)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return // stopped
				}
				if reply := answer(b[:n]); reply != nil {
					_, _ = c.WriteTo(reply, from) // lost, as packets are
				}
			}
		})
		stop := func() {
			_ = c.Close()
			wait.Wait()
		}
		return netip.MustParseAddrPort(c.LocalAddr().String()), stop, nil
	}
}

// silentOver is Silent over the network of a service.
func silentOver(network string) Server {
	if network == "udp" {
		return UDP(func([]byte) []byte { return nil })
	}
	return Silent()
}

// ClosedPort finds a port that nobody listens on; network is "tcp" or "udp".
func ClosedPort(network string) Server {
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		addr, stop, err := silentOver(network)(host)
		if err != nil {
			return addr, nil, err
		}
		stop()
		return addr, func() {}, nil
	}
}
