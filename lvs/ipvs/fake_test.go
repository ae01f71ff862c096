package ipvs

import (
	"encoding/binary"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
)

// fakeFamily is the number that the fake kernel gives IPVS.
const fakeFamily = 0x1c

// fakeKernel answers netlink messages from a table, with the error numbers of ip_vs_ctl.c. It
// understands requests with the package's own decoder, whose bytes the kernel tests
// compare with ipvsadm's. Sockets come from dial.
type fakeKernel struct {
	mu      sync.Mutex // guards the fields below
	table   lvs.Table
	writes  []int // messages in each write
	dialled int
	// answer, when set, takes the place of the answer to a message; ok is false for "as usual".
	answer func(m message, cmd uint8) (reply []byte, ok bool)
	part   int // messages in one datagram; 0: all
	// stuck, when set, holds up every write until it is closed.
	stuck chan struct{}
}

// fakeLink is a socket to a fakeKernel.
type fakeLink struct {
	kernel      *fakeKernel
	answers     chan []byte
	interrupted chan struct{}
	once        sync.Once
}

// newFake returns a fake kernel with an empty table and a Controller on it; plans of up to few edits
// go one by one.
func newFake(t *testing.T, timeout time.Duration) (*fakeKernel, *Controller) {
	t.Helper()
	k := &fakeKernel{table: lvs.Table{}}
	c := &Controller{timeout: timeout, few: fewEdits, dial: k.dial, turn: make(chan struct{}, 1)}
	c.connect = func(l link) (*handle, error) {
		h, err := connect(l)
		if err == nil {
			other, _ := k.dial()
			h.library = &fakeLibrary{newWire(other)}
			h.library.(*fakeLibrary).wire.family = fakeFamily
		}
		return h, err
	}
	t.Cleanup(func() { _ = c.Close() })
	return k, c
}

func (k *fakeKernel) dial() (link, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dialled++
	return &fakeLink{kernel: k, answers: make(chan []byte, 1024), interrupted: make(chan struct{})}, nil
}

func (l *fakeLink) send(b []byte) error {
	messages, err := parseMessages(b)
	if err != nil {
		return err
	}
	l.kernel.mu.Lock()
	defer l.kernel.mu.Unlock()
	if stuck := l.kernel.stuck; stuck != nil {
		l.kernel.mu.Unlock()
		<-stuck
		l.kernel.mu.Lock()
	}
	l.kernel.writes = append(l.kernel.writes, len(messages))
	for _, m := range messages {
		if reply := l.kernel.handle(m); reply != nil {
			for _, datagram := range l.kernel.split(reply) {
				l.answers <- datagram
			}
		}
	}
	return nil
}

// split cuts an answer into datagrams.
func (k *fakeKernel) split(answer []byte) [][]byte {
	if k.part == 0 {
		return [][]byte{answer}
	}
	var out [][]byte
	for len(answer) > 0 {
		end := 0
		for range k.part {
			if end < len(answer) {
				end += align(int(binary.NativeEndian.Uint32(answer[end:])))
			}
		}
		end = min(end, len(answer))
		out, answer = append(out, answer[:end]), answer[end:]
	}
	return out
}

func (l *fakeLink) receive(b []byte) (int, error) {
	select {
	case answer := <-l.answers:
		return copy(b, answer), nil
	case <-l.interrupted:
		return 0, os.ErrDeadlineExceeded
	}
}

func (l *fakeLink) interrupt() { l.once.Do(func() { close(l.interrupted) }) }
func (l *fakeLink) close()     { l.interrupt() }

// fakeLibrary stands in for moby/ipvs: a socket of its own.
type fakeLibrary struct {
	wire *wire
}

func (l *fakeLibrary) command(cmd uint8, e lvs.Edit) error {
	errno, err := l.wire.ask(0, encodeEdit(cmd, e), func([]byte) error { return nil })
	if err == nil && errno != 0 {
		err = errno
	}
	return err
}

func (l *fakeLibrary) Close() { l.wire.link.close() }

// handle answers one message.
func (k *fakeKernel) handle(m message) []byte {
	cmd := m.data[0]
	if k.answer != nil {
		if reply, ok := k.answer(m, cmd); ok {
			return reply
		}
	}
	return k.usual(m)
}

// usual answers like the kernel.
func (k *fakeKernel) usual(m message) []byte {
	cmd := m.data[0]
	switch {
	case m.kind == ctrlFamily:
		return append(reply(m, appendU16(command(1), ctrlAttrFamilyID, fakeFamily)), status(m, 0)...)
	case m.kind != fakeFamily:
		return status(m, syscall.ENOENT)
	case cmd == cmdGetInfo:
		return append(reply(m, command(cmdGetInfo)), status(m, 0)...)
	case cmd == cmdGetService || cmd == cmdGetDest:
		return k.get(m, cmd)
	default:
		return status(m, k.edit(m, cmd))
	}
}

// get answers a dump, or the question for one virtual service.
func (k *fakeKernel) get(m message, cmd uint8) []byte {
	var key lvs.ServiceKey
	if len(m.data) > genericHeader {
		var err error
		if key, _, _, err = decodeService(m.data); err != nil {
			return status(m, syscall.EINVAL)
		}
	}
	var out []byte
	switch {
	case cmd == cmdGetService && m.flags&syscall.NLM_F_DUMP == 0:
		s, ok := k.table[key]
		if !ok {
			return status(m, syscall.ESRCH)
		}
		return append(reply(m, dumpService(key, s.VirtualService)), status(m, 0)...)
	case cmd == cmdGetService:
		for key, s := range k.table {
			out = append(out, reply(m, dumpService(key, s.VirtualService))...)
		}
	default:
		for at, r := range k.table[key].Servers {
			out = append(out, reply(m, dumpServer(at, r))...)
		}
	}
	return append(out, done(m)...)
}

// edit makes one command in the table.
func (k *fakeKernel) edit(m message, cmd uint8) syscall.Errno {
	key, v, known, err := decodeService(m.data)
	if err != nil || !known {
		return syscall.EINVAL
	}
	s, exists := k.table[key]
	if !exists && cmd != cmdNewService {
		return syscall.ESRCH
	}
	switch cmd {
	case cmdNewService, cmdSetService:
		if exists && cmd == cmdNewService {
			return syscall.EEXIST
		}
		if v.Scheduler == "nosuch" {
			return syscall.ENOENT
		}
		_ = k.table.Apply(lvs.Edit{Op: lvs.EnsureService, Key: key, Service: v})
		return 0
	case cmdDelService:
		delete(k.table, key)
		return 0
	}
	at, r, _, err := decodeServer(m.data, key.Family)
	if err != nil {
		return syscall.EINVAL
	}
	_, found := s.Servers[at]
	switch {
	case cmd == cmdNewDest && found:
		return syscall.EEXIST
	case cmd != cmdNewDest && !found:
		return syscall.ENOENT
	case cmd == cmdDelDest:
		delete(s.Servers, at)
	default:
		s.Servers[at] = r
	}
	return 0
}

// padded returns an address as the kernel sends it: 16 bytes.
func padded(b []byte) []byte { return append(b, make([]byte, 16-len(b))...) }

func dumpService(k lvs.ServiceKey, v lvs.VirtualService) []byte {
	return nest(command(cmdNewService), attrService, func(b []byte) []byte {
		b = appendServiceKey(b, k)
		if k.Protocol != lvs.FWM {
			b = appendAttr(b, svcAddr, padded(k.Addr.Addr().AsSlice())) // the later one counts
		}
		return appendService(b, k.Family, v)
	})
}

func dumpServer(at lvs.ServerKey, r lvs.RealServer) []byte {
	return nest(command(cmdNewDest), attrDest, func(b []byte) []byte {
		b = appendServerKey(b, at)
		b = appendAttr(b, destAddr, padded(at.Addr().AsSlice()))
		return appendServer(b, r)
	})
}

// reply, status and done frame the kernel's answers to m.

func reply(m message, body []byte) []byte {
	return frame(fakeFamily, m.seq, body)
}

func status(m message, errno syscall.Errno) []byte {
	body := binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno)))
	return frame(syscall.NLMSG_ERROR, m.seq, append(body, make([]byte, messageHeader)...))
}

func done(m message) []byte {
	return frame(syscall.NLMSG_DONE, m.seq, make([]byte, 4))
}

func frame(kind uint16, seq uint32, body []byte) []byte {
	return request{kind: kind, body: body}.appendTo(nil, seq)
}
