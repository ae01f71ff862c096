package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// maxMessage and maxTotal bound what a server may say, in bytes: one message and all of them. What
// we ask for is a name without attributes. The library needs a multiple of it.
const (
	maxMessage = 16 << 10
	maxTotal   = 64 << 10
)

// wire is a connection that hands out nothing but whole, well-formed messages of LDAP, and that
// knows why it broke, which the library forgets.
type wire struct {
	net.Conn
	in    *bufio.Reader
	rest  []byte // of the message that is being handed out
	total int

	mu    sync.Mutex // guards what follows: the library reads and writes in goroutines of its own
	broke error
}

func newWire(conn net.Conn) *wire { return &wire{Conn: conn, in: bufio.NewReader(conn)} }

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		raw, _, err := w.message()
		if err != nil {
			return 0, w.breaks(err)
		}
		w.rest = raw
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err != nil {
		w.breaks(err)
	}
	return n, err
}

// breaks keeps the first reason.
func (w *wire) breaks(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broke == nil {
		w.broke = err
	}
	return err
}

// failure is why the connection broke; nil as long as it did not.
func (w *wire) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broke
}

// message reads the next message (RFC 4511, 4.1.1), which may not be the notice that the
// server leaves (4.4.1).
func (w *wire) message() ([]byte, *ber.Packet, error) {
	size, err := w.size()
	if err != nil {
		return nil, nil, err
	}
	if w.total += size; w.total > maxTotal {
		return nil, nil, probe.Failed(sdk.CodeProtocol, "an answer of more than %d bytes", maxTotal)
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(w.in, raw); err != nil {
		return nil, nil, err
	}
	packet, err := ber.DecodePacketErr(raw)
	if err != nil || len(packet.Children) < 2 {
		return nil, nil, probe.Failed(sdk.CodeProtocol, "a malformed message")
	}
	id, ok := packet.Children[0].Value.(int64)
	if !ok {
		return nil, nil, probe.Failed(sdk.CodeProtocol, "a message without a number")
	}
	if id == 0 {
		return nil, nil, refused("notice of disconnection", ldap.GetLDAPError(packet), sdk.CodeStatus)
	}
	return raw, packet, nil
}

// sequence is the tag that every message begins with.
const sequence = 0x30

// size looks at the header of the next message: a sequence of definite length (RFC 4511, 5.1).
func (w *wire) size() (int, error) {
	head, err := w.in.Peek(2)
	if len(head) > 0 && head[0] != sequence {
		begin, _ := w.in.Peek(w.in.Buffered())
		line, _, _ := strings.Cut(string(begin), "\n")
		return 0, probe.Failed(sdk.CodeProtocol, "no answer in the LDAP protocol: it begins with \"%s\"",
			probe.Brief(strings.TrimSuffix(line, "\r")))
	}
	if err != nil {
		return 0, cutOff(err, head)
	}
	const long = 0x80 // the length has bytes of its own
	if head[1] < long {
		return len(head) + int(head[1]), nil
	}
	more := int(head[1] &^ long)
	if more == 0 || more > 8 {
		return 0, probe.Failed(sdk.CodeProtocol, "a malformed message")
	}
	if head, err = w.in.Peek(2 + more); err != nil {
		return 0, cutOff(err, head)
	}
	size := uint64(0)
	for _, b := range head[2:] {
		size = size<<8 | uint64(b)
	}
	if size > maxMessage {
		return 0, probe.Failed(sdk.CodeProtocol, "a message of %d bytes", size)
	}
	return len(head) + int(size), nil
}

// cutOff tells a connection that ends between messages from one that ends in one.
func cutOff(err error, seen []byte) error {
	if err == io.EOF && len(seen) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
