package main

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Ports of the farm: web servers on one, on the other what takes connections and no more.
const (
	webPort     = 80
	connectPort = 81
)

// answer is what every web server of the farm says.
const answer = "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nOK\n"

// perNetwork is how many servers have addresses that differ in the last byte alone.
const perNetwork = 250

// address is that of server n, counted from 0: 127.1.0.1, 127.1.0.2, ... All of 127/8 is the
// loopback device's, so that one socket serves any number of them.
func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + n/(perNetwork*256)), byte(n / perNetwork), byte(1 + n%perNetwork)})
}

// indexOf is the opposite of address.
func indexOf(a [4]byte) int {
	return (int(a[1])-1)*perNetwork*256 + int(a[2])*perNetwork + int(a[3]) - 1
}

// farm is any number of servers in one thread, made of bare system calls: what it costs
// must not drown what is measured.
type farm struct {
	epoll     int
	listeners map[int]bool // descriptor: whether it is the web's

	mu        sync.Mutex // guards what follows
	last      []time.Time
	intervals []time.Duration // nil: nobody looks
	arrivals  int
	seen      int
}

// arrivals is what the farm saw in one window.
type arrivals struct {
	count    int
	p99, max time.Duration // of the intervals between two arrivals at one server
}

func newFarm(servers int) (*farm, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	f := &farm{epoll: epoll, listeners: map[int]bool{}}
	f.expect(servers)
	for _, port := range []int{webPort, connectPort} {
		fd, err := listen(port)
		if err != nil {
			return nil, fmt.Errorf("farm: port %d: %w", port, err)
		}
		if port == webPort {
			// The kernel hands over connections that have a request to read: saves waiting for it.
			if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, 5); err != nil {
				return nil, os.NewSyscallError("setsockopt", err)
			}
		}
		f.listeners[fd] = port == webPort
		if err := f.watch(fd); err != nil {
			return nil, err
		}
	}
	go f.serve() // until the process ends
	return f, nil
}

func listen(port int) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return -1, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port}); err != nil {
		return -1, err
	}
	return fd, syscall.Listen(fd, 16384)
}

func (f *farm) watch(fd int) error {
	err := syscall.EpollCtl(f.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
	return os.NewSyscallError("epoll_ctl", err)
}

func (f *farm) serve() {
	runtime.LockOSThread()
	events := make([]syscall.EpollEvent, 256)
	buf := make([]byte, 4096)
	for {
		n, err := syscall.EpollWait(f.epoll, events, -1)
		if err != nil && err != syscall.EINTR {
			panic(err)
		}
		for _, e := range events[:max(n, 0)] {
			fd := int(e.Fd)
			if web, is := f.listeners[fd]; is {
				f.accept(fd, web, buf)
			} else {
				f.talk(fd, buf)
			}
		}
	}
}

// accept takes all connections that are there.
func (f *farm) accept(listener int, web bool, buf []byte) {
	for {
		fd, _, err := syscall.Accept4(listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return // none is left, or the one that was there has gone
		}
		f.arrived(fd)
		if !web {
			syscall.Close(fd)
		} else if !f.talk(fd, buf) && f.watch(fd) != nil {
			syscall.Close(fd)
		}
	}
}

// talk answers a request, if it is there.
func (f *farm) talk(fd int, buf []byte) bool {
	n, err := syscall.Read(fd, buf)
	if err == syscall.EAGAIN {
		return false
	}
	if n > 0 {
		syscall.Write(fd, []byte(answer)) // a checker that has gone is its own affair
	}
	syscall.Close(fd)
	return true
}

// arrived notes a connection at the server whose address it was made to.
func (f *farm) arrived(fd int) {
	name, err := syscall.Getsockname(fd)
	to, ok := name.(*syscall.SockaddrInet4)
	if err != nil || !ok {
		return
	}
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	i := indexOf(to.Addr)
	if i < 0 || i >= len(f.last) {
		return
	}
	if f.last[i].IsZero() {
		f.seen++
	} else if f.intervals != nil {
		f.intervals = append(f.intervals, now.Sub(f.last[i]))
	}
	f.last[i] = now
	f.arrivals++
}

// expect forgets everything and looks at the first servers from now on.
func (f *farm) expect(servers int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last, f.intervals, f.arrivals, f.seen = make([]time.Time, servers), nil, 0, 0
}

// complete says whether every server has been visited.
func (f *farm) complete() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen == len(f.last)
}

// begin starts a window.
func (f *farm) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrivals = 0
	f.intervals = make([]time.Duration, 0, 16*len(f.last))
}

// end is what came since begin. A server that is still waited for counts with the time since
// its last visit, when that is longer than everything else.
func (f *farm) end() arrivals {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	a := arrivals{count: f.arrivals}
	slices.Sort(f.intervals)
	if n := len(f.intervals); n > 0 {
		a.p99, a.max = f.intervals[n*99/100], f.intervals[n-1]
	}
	for _, t := range f.last {
		a.max = max(a.max, now.Sub(t))
	}
	f.intervals = nil
	return a
}
