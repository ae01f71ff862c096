package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// Bounds of what a server may say in one probe. The usual is some KiB.
const (
	maxAnswer  = 1 << 20 // bytes
	maxResends = 3       // packets that ask for everything once more
	maxDigits  = 6       // of the rounds of deriving a key, which no deadline ends: usual are 4096
)

// wire is a connection to a listener. The client library allocates, recurses and computes as a
// packet tells it to: it gets none before all of it is there and its size is in bounds.
//
// A packet (TNS) begins with its length, in 2 bytes or, since version 315, in 4 once the connection
// is accepted, and its type in the fifth.
type wire struct {
	*probe.Conn
	tr       *probe.Trace
	packet   []byte // what is left of the one being handed over
	large    bool   // lengths are in 4 bytes
	received int    // bytes
	resends  int
	answer   []byte // the data since something was sent
	err      error  // the first one
}

// packetTypes are those that the client library knows.
var packetTypes = map[byte]string{
	1: "CONNECT", 2: "ACCEPT", 4: "REFUSE", 5: "REDIRECT", 6: "DATA", 11: "RESEND", 12: "MARKER",
}

// Read hands over a packet, or a part of it.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.packet) == 0 {
		if w.err == nil {
			w.packet, w.err = w.next()
		}
		if w.err != nil {
			return 0, w.err
		}
	}
	n := copy(p, w.packet)
	w.packet = w.packet[n:]
	return n, nil
}

// Write sends one packet.
func (w *wire) Write(p []byte) (int, error) {
	w.answer = nil
	if len(p) > 58 && p[4] == 1 {
		w.tr.Sent(fmt.Appendf(nil, "CONNECT %s", p[58:][12:]))
	} else if len(p) > 4 {
		w.tr.Sent(fmt.Appendf(nil, "%s, %d bytes", packetTypes[p[4]], len(p)))
	}
	n, err := w.Conn.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// SetReadDeadline does nothing: the probe's deadline is all there is.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing, too.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// next reads and judges a packet.
func (w *wire) next() ([]byte, error) {
	head := make([]byte, 8)
	n, err := io.ReadFull(w.Conn, head)
	w.received += n
	if err != nil {
		return nil, err
	}
	kind := packetTypes[head[4]]
	if kind == "" || kind == "CONNECT" {
		return nil, probe.Failed(sdk.CodeProtocol, "not the protocol of Oracle: \"%s\"", probe.Brief(string(head)))
	}
	length := int64(binary.BigEndian.Uint16(head))
	if w.large {
		length = int64(binary.BigEndian.Uint32(head))
	}
	if length < 8 {
		return nil, probe.Failed(sdk.CodeProtocol, "a packet of %d bytes", length)
	}
	if length > int64(maxAnswer-w.received) {
		return nil, probe.Failed(sdk.CodeProtocol, "more than %d bytes of answers", maxAnswer)
	}
	packet := append(head, make([]byte, length-8)...)
	n, err = io.ReadFull(w.Conn, packet[8:])
	w.received += n
	if err == io.EOF && length > 8 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return packet, w.look(kind, packet)
}

// look takes notice of a packet, and refuses what the library would follow without an end.
func (w *wire) look(kind string, packet []byte) error {
	shown := fmt.Sprintf("%s, %d bytes", kind, len(packet))
	body := packet[8:]
	switch kind {
	case "ACCEPT":
		w.large = len(body) > 1 && binary.BigEndian.Uint16(body) >= 315
	case "REFUSE", "REDIRECT":
		if _, text, ok := bytes.Cut(body, []byte("(")); ok {
			shown = fmt.Sprintf("%s (%s", kind, text)
		}
	case "RESEND":
		if w.resends++; w.resends > maxResends {
			return probe.Failed(sdk.CodeProtocol, "asks for the same once more %d times", w.resends)
		}
	case "DATA":
		w.answer = append(w.answer, body[min(2, len(body)):]...)
		if m := rounds.FindSubmatch(w.answer); m != nil {
			return probe.Failed(sdk.CodeProtocol, "asks for a key derived in too many rounds: %s", probe.Brief(string(m[1])))
		}
	}
	w.tr.Received([]byte(shown))
	return nil
}

// rounds finds too long a number behind the names of the settings of PBKDF2 in a challenge, of which
// only the lengths of what follows separate it.
var rounds = regexp.MustCompile(fmt.Sprintf(`AUTH_PBKDF2_(?:VGEN|SDER)_COUNT[^0-9]{1,8}([0-9]{%d,})`, maxDigits+1))
