package ipvs

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// link is a netlink socket. A test puts a scripted one in its place.
type link interface {
	send(b []byte) error                 // one write; the kernel acts before it returns
	receive(b []byte) (n int, err error) // one read; waits until interrupt
	interrupt()                          // ends a waiting receive, and all later ones
	close()
}

// receiveBuffer holds the acknowledgements of a whole window with room to spare.
const receiveBuffer = 1 << 20

// socket is the link to the kernel.
type socket struct {
	file *os.File
}

// openSocket opens a generic netlink socket in the network namespace at path, or in that of the
// process if path is empty.
func openSocket(path string) (*socket, error) {
	if path == "" {
		return newSocket()
	}
	ns, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("open own network namespace: %w", err)
	}
	defer own.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	s, err := newSocket()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked: it ends with this goroutine and nobody else gets it.
		if s != nil {
			s.close()
		}
		return nil, fmt.Errorf("leave network namespace %s: %w", path, back)
	}
	runtime.UnlockOSThread()
	return s, err
}

func newSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind netlink socket: %w", err)
	}
	// Both only save room: a refusal is no loss.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return &socket{file: os.NewFile(uintptr(fd), "netlink")}, nil
}

func (s *socket) send(b []byte) error {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return sent != unix.EAGAIN && sent != unix.EINTR
	})
	if err == nil {
		err = sent
	}
	return err
}

func (s *socket) receive(b []byte) (int, error) {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	var from unix.Sockaddr
	var received error
	err = conn.Read(func(fd uintptr) bool {
		n, from, received = unix.Recvfrom(int(fd), b, unix.MSG_TRUNC)
		return received != unix.EAGAIN && received != unix.EINTR
	})
	if err == nil {
		err = received
	}
	if err != nil {
		return 0, err
	}
	if peer, ok := from.(*unix.SockaddrNetlink); !ok || peer.Pid != 0 {
		return 0, nil // from another process: not the kernel's word
	}
	if n > len(b) {
		return 0, fmt.Errorf("answer of %d bytes cut off: %w", n, errMalformed)
	}
	return n, nil
}

func (s *socket) interrupt() { _ = s.file.SetDeadline(time.Unix(1, 0)) }

func (s *socket) close() { _ = s.file.Close() }
