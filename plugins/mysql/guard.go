package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

const (
	// maxPacket is the largest packet, in bytes, that is read; a row that is larger still counts as one.
	maxPacket = 64 << 10
	// maxAnswer is how many bytes a server may say until the first row is there.
	maxAnswer = 4 << 20
	// maxRest is how many bytes more are read so that the server sees an orderly end.
	maxRest = 64 << 10
)

// phase is what comes next from the server.
type phase int

const (
	login  phase = iota
	answer       // the first packet of a result
	rows         // all the others
)

// guard is the connection as the driver sees it. The driver believes what a server says: it allocates
// what a length asks for, panics over packets that are cut short, and hides why a connection ended. So
// packets are read, bounded and looked at here, and it gets one at a time. The guard
// also has TLS behind it of which the driver does not know.
type guard struct {
	net.Conn
	in    *bufio.Reader // what comes over Conn
	ready []byte        // for the driver
	left  int           // bytes that may still come
	phase phase
	// request is the packet that asked for TLS; nil: there is no TLS. It has taken a sequence number, so
	// that those of the login are one further than the driver thinks.
	request []byte

	plugin  string // the way to log in that the server wants
	changed uint64 // rows that a statement without a result changed
	first   byte   // of the last packet
	bigRow  bool   // there is a row, too large to be read
	err     error  // why reading or writing ended
}

func newGuard(conn net.Conn, greeted []byte, g greeting, request []byte) *guard {
	return &guard{
		Conn: conn, in: bufio.NewReader(conn), ready: greeted, left: maxAnswer, plugin: g.plugin, request: request,
	}
}

// Read gives the driver what is left of a packet, or reads the next one.
func (g *guard) Read(p []byte) (int, error) {
	if len(g.ready) == 0 && g.err == nil {
		g.ready, g.err = g.next()
	}
	if len(g.ready) == 0 {
		return 0, g.err
	}
	n := copy(p, g.ready)
	g.ready = g.ready[n:]
	return n, nil
}

// readPacket reads a packet with its header of length (3 bytes) and sequence number.
func readPacket(r io.Reader) ([]byte, error) {
	var head [5]byte // and the first byte of the packet
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return nil, err
	}
	size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if size == 0 {
		return nil, nonsense("an empty packet")
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return nil, cut(err)
	}
	if size > maxPacket {
		return nil, &tooLarge{size: size, first: head[4]}
	}
	p := make([]byte, 4+size)
	copy(p, head[:])
	_, err := io.ReadFull(r, p[5:])
	return p, cut(err)
}

// cut makes an end in the middle of a packet of an end.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tooLarge is a packet of more than maxPacket bytes.
type tooLarge struct {
	size  int
	first byte
}

func (e *tooLarge) Error() string { return fmt.Sprintf("a packet of %d bytes", e.size) }

// next reads a packet and looks at it.
func (g *guard) next() ([]byte, error) {
	p, err := readPacket(g.in)
	if large, ok := errors.AsType[*tooLarge](err); ok {
		g.bigRow = g.phase == rows && large.first != isError
		return nil, nonsense("%v", err)
	}
	if err != nil {
		return nil, err
	}
	if g.left -= len(p); g.left < 0 {
		return nil, probe.Failed(sdk.CodeProtocol, "more than %d bytes, and no row among them", maxAnswer)
	}
	g.first = p[4]
	switch body := p[4:]; g.phase {
	case login:
		if g.request != nil {
			p[3]--
		}
		err = g.lookLogin(body)
	case answer:
		var columns bool
		if columns, g.changed, err = lookAnswer(body); columns {
			g.phase = rows
		}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (g *guard) lookLogin(body []byte) error {
	plugin, err := lookLogin(body)
	if plugin == "" {
		return err
	}
	g.plugin = plugin
	if plugin == "sha256_password" && g.request != nil {
		// The driver would ask for a key, which servers give away without TLS alone.
		return probe.Failed(sdk.CodeAuth, "the account has sha256_password, which this check cannot do with starttls")
	}
	return nil
}

// errAsked is this program's fault: another release of the driver, say.
var errAsked = errors.New("TLS was asked for with other capabilities than the driver has")

// Write sends a packet of the driver's, which writes them whole.
func (g *guard) Write(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	sent := p
	switch {
	case p[3] == 0: // the login is over: commands count from 0
		g.phase = answer
	case g.request != nil:
		sent = append([]byte(nil), p...)
		sent[3]++
		if p[3] == 1 {
			sent[5] |= canTLS >> 8
			if len(sent) < len(g.request) || !bytes.Equal(sent[4:len(g.request)], g.request[4:]) {
				g.err = errAsked
				return 0, g.err
			}
		}
	}
	n, err := g.Conn.Write(sent)
	if err != nil {
		g.err = err
	}
	return n, err
}
