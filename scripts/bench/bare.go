package main

import (
	"bytes"
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// tick is how often what is due is started, as in the director.
const tick = 10 * time.Millisecond

// bare is the least that can be done: one thread, one epoll(7) descriptor, and for each check
// socket, connect, write, read and close. No timeouts, no memory of results, no table.
type bare struct {
	epoll    int
	web      bool
	flying   map[int]bool // descriptor: whether the request has been sent
	buf      []byte
	failures int
}

var request = []byte("GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")

// runBare checks all servers once a second until the process is killed.
func runBare(servers int, web bool) error {
	runtime.LockOSThread()
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	b := &bare{epoll: epoll, web: web, flying: map[int]bool{}, buf: make([]byte, 4096)}
	began := time.Now()
	events := make([]syscall.EpollEvent, 256)
	for started := 0; ; {
		elapsed := time.Since(began)
		for due := int(elapsed.Seconds() * float64(servers)); started < due; started++ {
			if err := b.start(started % servers); err != nil {
				return err
			}
		}
		rest := tick - elapsed%tick
		n, err := syscall.EpollWait(epoll, events, int(max(rest/time.Millisecond, 1)))
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			b.advance(int(e.Fd))
		}
		if b.failures > servers {
			return fmt.Errorf("%d checks failed", b.failures)
		}
	}
}

func (b *bare) start(server int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	to := syscall.SockaddrInet4{Port: connectPort, Addr: address(server).As4()}
	if b.web {
		to.Port = webPort
	}
	if err := syscall.Connect(fd, &to); err != nil && err != syscall.EINPROGRESS {
		b.failures++
		return syscall.Close(fd)
	}
	b.flying[fd] = false
	return syscall.EpollCtl(b.epoll, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLOUT, Fd: int32(fd)})
}

// advance takes one check a step further.
func (b *bare) advance(fd int) {
	if !b.flying[fd] {
		code, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR)
		if err != nil || code != 0 || !b.web {
			b.end(fd, err == nil && code == 0)
			return
		}
		b.flying[fd] = true
		if _, err := syscall.Write(fd, request); err != nil {
			b.end(fd, false)
			return
		}
		err = syscall.EpollCtl(b.epoll, syscall.EPOLL_CTL_MOD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
		if err != nil {
			b.end(fd, false)
		}
		return
	}
	n, err := syscall.Read(fd, b.buf)
	if err == syscall.EAGAIN {
		return
	}
	b.end(fd, n > 0 && bytes.HasPrefix(b.buf[:n], []byte("HTTP/1.1 200 ")))
}

func (b *bare) end(fd int, good bool) {
	delete(b.flying, fd)
	syscall.Close(fd)
	if !good {
		b.failures++
	}
}
