package builtin

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// Connector runs connect checks (see Connect) in bulk, without a goroutine or timer for
// each: what is started together is connected in one go, most connections within a local
// network are there when the last one has been begun, and the others are waited for with
// epoll(7). It says exactly what Connect says, at about four fifths of the CPU. Methods may
// be called concurrently; after Close they do nothing.
type Connector struct {
	calls   chan call
	ready   chan []syscall.EpollEvent
	results chan []sdk.Result
	epoll   *os.File
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when both goroutines have ended
}

// NewConnector starts a Connector. Close ends it. It fails when the process is out of
// descriptors. How many connections are in progress is up to its caller.
func NewConnector() (*Connector, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("start the connect check: %w", os.NewSyscallError("epoll_create1", err))
	}
	// Go's own poller watches this one: for that it must look like a file that does not block.
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("start the connect check: %w", os.NewSyscallError("fcntl", err))
	}
	c := &Connector{
		calls:   make(chan call),
		ready:   make(chan []syscall.EpollEvent),
		results: make(chan []sdk.Result),
		epoll:   os.NewFile(uintptr(fd), "epoll"),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	polled := make(chan struct{})
	go func() { // the loop waits for it
		defer close(polled)
		c.poll()
	}()
	go newConnections(c, fd).loop(polled) // Close waits for it
	return c, nil
}

// Register makes a check known. IDs start at 1; options are ignored.
func (c *Connector) Register(id uint64, t sdk.Target, _ sdk.Options) {
	c.call(call{register: &registration{id: id, target: t}})
}

// Forget drops a check and closes its connection, whose result is dropped.
func (c *Connector) Forget(id uint64) { c.call(call{forget: id}) }

// Start starts one probe of each. A check that is not known, or is being connected to,
// yields Unknown.
func (c *Connector) Start(due []sdk.Due) { c.call(call{start: due}) }

// Results delivers verdicts as those of a Pool. It is closed by Close.
func (c *Connector) Results() <-chan []sdk.Result { return c.results }

func (c *Connector) call(x call) {
	select {
	case c.calls <- x:
	case <-c.stop:
	}
}

// Close closes every connection and Results, and waits for that, at most until ctx ends. It
// must be called once.
func (c *Connector) Close(ctx context.Context) error {
	close(c.stop)
	select {
	case <-c.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the connect check: %w", context.Cause(ctx))
	}
}

// poll hands over what becomes ready until the epoll descriptor is closed. Two
// buffers take turns: the loop is done with one when it takes the other.
func (c *Connector) poll() {
	raw, err := c.epoll.SyscallConn()
	if err != nil {
		return // closed already
	}
	var buffers [2][128]syscall.EpollEvent
	for turn := 0; ; turn = 1 - turn {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), buffers[turn][:], 0)
			return n > 0
		})
		if err != nil {
			return
		}
		select {
		case c.ready <- buffers[turn][:n]:
		case <-c.stop:
			return
		}
	}
}

// attempt is one connection that is being made.
type attempt struct {
	id       uint64 // of the check
	seq      uint64 // of the attempt: a descriptor's number is used again at once
	fd       int
	addr     sockaddr
	began    time.Time
	deadline time.Time
	place    int // in deadlines, counted from 1; 0: it is not there
}

// event is what the kernel gives back when the attempt has ended.
func (a *attempt) event() *syscall.EpollEvent {
	return &syscall.EpollEvent{
		Events: syscall.EPOLLOUT | syscall.EPOLLONESHOT,
		Fd:     int32(a.seq), Pad: int32(a.seq >> 32),
	}
}

// seqOf is the attempt that an event is about.
func seqOf(e syscall.EpollEvent) uint64 { return uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 }
