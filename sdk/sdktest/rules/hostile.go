package rules

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// behaviour is a server and what it does, to finish "a server that ...".
type behaviour struct {
	does   string
	server Server
}

// hostile are servers that no specification foresees.
func hostile(network string) []behaviour {
	noise := bytes.Repeat([]byte{0xff, 0x00, 0x80, '\n', '\r', 0x1b, '[', '%', 's'}, 100)
	if network == "udp" {
		return []behaviour{
			{"answers noise", UDP(func([]byte) []byte { return noise })},
			{"answers with empty packets", UDP(func([]byte) []byte { return []byte{} })},
		}
	}
	say := func(b []byte) Server { return TCP(func(c net.Conn) { _, _ = c.Write(b) }) } // it may have left
	return []behaviour{
		{"answers noise", say(noise)},
		{"closes at once", Closing()},
		{"resets the connection", TCP(reset)},
		{"never ends its line", say([]byte(strings.Repeat("x", 1<<20)))},
		{"speaks without end", TCP(func(c net.Conn) {
			for line := []byte(strings.Repeat("250-x\r\n", 1000)); ; {
				if _, err := c.Write(line); err != nil {
					return
				}
			}
		})},
	}
}

func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // what it does without is close
	}
}

// blackHole lets packets vanish: over tcp a listener whose queue is full, so that the kernel
// answers nobody.
func blackHole(network string) Server {
	if network == "udp" {
		return silentOver(network)
	}
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		at, fd, err := listenNarrow(host)
		if err != nil {
			return at, nil, fmt.Errorf("black hole: %w", err)
		}
		open := []int{fd}
		stop := func() {
			for _, one := range open {
				_ = syscall.Close(one)
			}
		}
		// A queue of length 0 takes one; more of them make sure.
		for range 4 {
			one, err := callUnwaited(at)
			if err != nil {
				stop()
				return at, nil, fmt.Errorf("black hole: %w", err)
			}
			open = append(open, one)
		}
		return at, stop, nil
	}
}

// listenNarrow listens with a queue of length 0, which package net cannot.
func listenNarrow(host netip.Addr) (netip.AddrPort, int, error) {
	var at netip.AddrPort
	fd, err := syscall.Socket(family(host), syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return at, 0, os.NewSyscallError("socket", err)
	}
	if err = syscall.Bind(fd, sockaddr(netip.AddrPortFrom(host, 0))); err == nil {
		err = syscall.Listen(fd, 0)
	}
	var name syscall.Sockaddr
	if err == nil {
		name, err = syscall.Getsockname(fd)
	}
	if err != nil {
		_ = syscall.Close(fd)
		return at, 0, os.NewSyscallError("listen", err)
	}
	switch n := name.(type) {
	case *syscall.SockaddrInet4:
		at = netip.AddrPortFrom(host, uint16(n.Port))
	case *syscall.SockaddrInet6:
		at = netip.AddrPortFrom(host, uint16(n.Port))
	}
	return at, fd, nil
}

// callUnwaited begins to connect.
func callUnwaited(at netip.AddrPort) (int, error) {
	fd, err := syscall.Socket(family(at.Addr()), syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	if err := syscall.Connect(fd, sockaddr(at)); err != nil && err != syscall.EINPROGRESS {
		_ = syscall.Close(fd)
		return 0, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

func family(host netip.Addr) int {
	if host.Is4() {
		return syscall.AF_INET
	}
	return syscall.AF_INET6
}

func sockaddr(at netip.AddrPort) syscall.Sockaddr {
	if at.Addr().Is4() {
		return &syscall.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
	}
	return &syscall.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
}
