package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"time"
)

// standIn plays an Oracle listener and database for go-ora, as far as the check goes: it is no Oracle
// software, and nobody compared it with one. It was written against what go-ora sends and expects,
// and proves that the check and go-ora agree.
type standIn struct {
	large    bool   // packets of version 318, with lengths of 4 bytes, instead of 314, and logins of 12c
	login    string // the one that is let in; its password is secret
	rows     int    // of the answer to a query; negative: without an end
	changed  int    // rows, of the answer to a statement that changes some
	ora      int    // the error that a query gets instead
	markers  bool   // errors come behind markers, as a break of the call
	prologue []byte // said instead of ACCEPT
	at, how  string // what goes wrong, and at which stage: see stages and misdeeds
	rounds   string // those that the key of a login of 12c takes; empty: 4096
}

// stages are the answers of the stand-in, in their order.
var stages = []string{"accept", "protocol", "types", "challenge", "login", "version", "query", "logoff"}

// misdeeds are what an answer can become, half of which is meant by cut, hang and drip.
//
//	cut   half of it, and the end
//	hang  half of it, and silence
//	mute  silence
//	drip  a byte now and then
//	junk  its length and type stay, and all the rest becomes 0x7f
//	gone  nothing, and the end
var misdeeds = []string{"cut", "hang", "mute", "drip", "junk", "gone"}

// Types of packets.
const (
	tnsAccept   = 2
	tnsRefuse   = 4
	tnsRedirect = 5
	tnsData     = 6
	tnsResend   = 11
	tnsMarker   = 12
)

// dialogue is one connection of the stand-in's.
type dialogue struct {
	standIn
	conn    net.Conn
	stage   int
	large   bool   // by now
	key     []byte // of the password
	session []byte // the server's session key
	mix     []byte // salt of the key that both session keys make, in a login of 12c
}

// serve is for sdktest.TCP.
func (s standIn) serve(conn net.Conn) {
	d := &dialogue{standIn: s, conn: conn}
	if d.greet() != nil {
		return
	}
	for {
		kind, body, err := d.receive()
		if err != nil || kind != tnsData {
			return
		}
		if d.reply(body) != nil {
			return
		}
	}
}

// greet answers the CONNECT packet, whose descriptor comes in a packet of its own when it is long.
func (d *dialogue) greet() error {
	_, body, err := d.receive()
	if err == nil && len(body) == 70-8 {
		_, _, err = d.receive()
	}
	if err != nil {
		return err
	}
	if d.prologue != nil {
		_, _ = d.conn.Write(d.prologue)
		_, _ = io.Copy(io.Discard, d.conn)
		return io.EOF
	}
	accept := make([]byte, 24)
	binary.BigEndian.PutUint16(accept, 314)
	binary.BigEndian.PutUint16(accept[4:], 8192) // session data unit
	binary.BigEndian.PutUint16(accept[6:], 8192)
	binary.BigEndian.PutUint16(accept[12:], uint16(8+len(accept))) // where data begins: there are none
	accept[14] = 4                                                 // no negotiation of encryption
	if d.standIn.large {
		accept = append(accept, 0, 0, 0x20, 0, 0, 0, 0x20, 0)
		binary.BigEndian.PutUint16(accept, 318)
		binary.BigEndian.PutUint16(accept[12:], uint16(8+len(accept)))
	}
	err = d.send(tnsAccept, accept)
	d.large = d.standIn.large
	return err
}

// receive reads a packet, and gives back its type and what follows the header.
func (d *dialogue) receive() (kind byte, body []byte, err error) {
	head := make([]byte, 8)
	if _, err := io.ReadFull(d.conn, head); err != nil {
		return 0, nil, err
	}
	length := int(binary.BigEndian.Uint16(head))
	if d.large {
		length = int(binary.BigEndian.Uint32(head))
	}
	body = make([]byte, length-8)
	_, err = io.ReadFull(d.conn, body)
	return head[4], body, err
}

// send sends the answer of the next stage, or what is to become of it.
func (d *dialogue) send(kind byte, body []byte) error {
	now := stages[d.stage]
	d.stage++
	packet := tns(d.large, kind, body)
	if now != d.at {
		_, err := d.conn.Write(packet)
		return err
	}
	half := packet[:len(packet)/2]
	switch d.how {
	case "cut":
		_, _ = d.conn.Write(half)
		return io.EOF
	case "gone":
		return io.EOF
	case "hang":
		_, _ = d.conn.Write(half)
		_, _ = io.Copy(io.Discard, d.conn)
		return io.EOF
	case "mute":
		_, _ = io.Copy(io.Discard, d.conn)
		return io.EOF
	case "junk":
		copy(packet[10:], bytes.Repeat([]byte{0x7f}, len(packet)-10))
		_, err := d.conn.Write(packet)
		return err
	}
	for _, b := range packet {
		if _, err := d.conn.Write([]byte{b}); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond) // the misdeed itself
	}
	return nil
}

// data is a DATA packet's body.
func data(message []byte) []byte { return append([]byte{0, 0}, message...) }

// tns makes a packet.
func tns(large bool, kind byte, body []byte) []byte {
	p := append(make([]byte, 8), body...)
	if large {
		binary.BigEndian.PutUint32(p, uint32(len(p)))
	} else {
		binary.BigEndian.PutUint16(p, uint16(len(p)))
	}
	p[4] = kind
	return p
}

// refusal is what a listener says that does not want: the number of the error in a descriptor.
func refusal(number string) []byte {
	text := "(DESCRIPTION=(TMP=)(VSNNUM=318767104)(ERR=" + number + ")(ERROR_STACK=(ERROR=(CODE=" + number + ")(EMFI=4))))"
	return tns(false, tnsRefuse, append([]byte{0x22, 0, 0, byte(len(text))}, text...))
}

// redirect sends the client elsewhere.
func redirect(addr string) []byte {
	host, port, _ := net.SplitHostPort(addr)
	text := "(ADDRESS=(PROTOCOL=tcp)(HOST=" + host + ")(PORT=" + port + "))"
	return tns(false, tnsRedirect, append([]byte{0, byte(len(text))}, text...))
}
