package main

import (
	"bytes"
	"fmt"
)

// Messages inside of DATA packets (TTC) begin with their type.
const (
	ttcProtocol  = 1
	ttcTypes     = 2
	ttcFunction  = 3
	ttcError     = 4 // the end of an answer, with a number that may be 0
	ttcRowHeader = 6
	ttcRow       = 7
	ttcParameter = 8
	ttcStatus    = 9
	ttcDescribe  = 16
)

// Functions of ttcFunction.
const (
	fnLogoff    = 0x09
	fnVersion   = 0x3b
	fnQuery     = 0x5e
	fnLogin     = 0x73
	fnChallenge = 0x76
)

// message is a TTC message under construction. Integers are a length and that many bytes.
type message []byte

func (m message) bytes(p ...byte) message { return append(m, p...) }

func (m message) number(n int) message {
	var digits []byte
	for ; n > 0; n >>= 8 {
		digits = append([]byte{byte(n)}, digits...)
	}
	return append(append(m, byte(len(digits))), digits...)
}

// text is a string with its length, once more with it when counted.
func (m message) text(s string) message { return append(append(m, byte(len(s))), s...) }

func (m message) counted(s string) message {
	m = m.number(len(s))
	if s == "" {
		return m
	}
	return m.text(s)
}

func (m message) setting(name, value string, flag int) message {
	return m.counted(name).counted(value).number(flag)
}

// changed is the end of an answer to a statement that changed rows.
func (m message) changed(rows int) message {
	return m.bytes(ttcError).number(rows).bytes(make([]byte, 26)...).number(rows)
}

// end is the message that ends an answer.
func (m message) end(ora int, text string) message {
	m = m.bytes(ttcError, 0).number(ora)      // row, error
	m = m.bytes(make([]byte, 21)...)          // array errors, cursor (none), position, ..., and no errors of bindings
	m = m.bytes(0, 0, 0).number(ora).bytes(0) // error and row once more
	if ora != 0 {
		m = m.text(text)
	}
	return m
}

// reply answers what a DATA packet of the client's holds.
func (d *dialogue) reply(body []byte) error {
	if len(body) < 5 {
		return d.conn.Close() // the client's last packet
	}
	switch m := body[2:]; {
	case m[0] == ttcProtocol:
		return d.send(tnsData, data(protocol(d.capability())))
	case m[0] == ttcTypes:
		return d.send(tnsData, data(message{ttcTypes, 128, 0, 0, 0, 60, 60, 60, 128, 0, 0, 0, 0, 0, 0, 1, 0}))
	case m[0] != ttcFunction:
		return fmt.Errorf("message %d", m[0])
	case m[1] == fnChallenge:
		return d.send(tnsData, data(d.challenge()))
	case m[1] == fnLogin:
		return d.judge(m)
	case m[1] == fnVersion:
		return d.send(tnsData, data(message{ttcParameter}.counted("Stand-in 19.0.0.0.0").number(19<<24).end(0, "")))
	case m[1] == fnQuery:
		return d.answer()
	case m[1] == fnLogoff:
		return d.send(tnsData, data(message{ttcStatus}))
	default:
		return fmt.Errorf("function %#x", m[1])
	}
}

// protocol says who is there, its character sets (AL32UTF8, AL16UTF16) and capabilities: version 11 of
// messages, and the fifth, how to log in.
func protocol(login byte) message {
	m := message{ttcProtocol, 6, 0}
	m = append(m, "a stand-in for tests\x00"...)
	m = m.bytes(0x69, 0x03, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x07, 0xd0)
	return m.bytes(8, 6, 1, 0, 0, login, 1, 1, 11).bytes(7, 2, 1, 0, 0, 0, 0, 0)
}

// answer answers a query.
func (d *dialogue) answer() error {
	if d.ora != 0 {
		return d.fail(d.ora, fmt.Sprintf("ORA-%05d: as the test wants it\nHelp: none\n", d.ora))
	}
	if d.changed > 0 {
		return d.send(tnsData, data(message{}.changed(d.changed)))
	}
	// One column, a NUMBER that is called "1".
	m := message{ttcDescribe, 0}.number(22).number(1).bytes(0)
	m = m.bytes(2, 0, 0, 0).number(22).bytes(0, 0, 0, 0, 0, 0, 0, 0, 1, 1).counted("1").bytes(0, 0, 0, 0)
	m = m.bytes(0, 0, 0, 0, 0, 0)
	m = m.bytes(ttcRowHeader, 0).number(1).bytes(0, 0, 0, 0, 0)
	row := message{ttcRow}.bytes(2, 0xc1, 2) // 1
	if d.rows < 0 {
		return d.flood(m, row)
	}
	for range d.rows {
		m = m.bytes(row...)
	}
	return d.send(tnsData, data(m.end(1403, "ORA-01403: no data found\n")))
}

// flood sends rows until nobody takes them.
func (d *dialogue) flood(head, row message) error {
	many := tns(d.large, tnsData, data(bytes.Repeat(row, 1000)))
	_, err := d.conn.Write(tns(d.large, tnsData, data(head)))
	for err == nil {
		_, err = d.conn.Write(many)
	}
	return err
}

// fail answers with an error, after a break of the call if the stand-in has it that way.
func (d *dialogue) fail(ora int, text string) error {
	if d.markers {
		marker := tns(d.large, tnsMarker, []byte{1, 0, 1})
		if _, err := d.conn.Write(marker); err != nil {
			return err
		}
		if _, _, err := d.receive(); err != nil { // the client's
			return err
		}
		marker[len(marker)-1] = 2
		if _, err := d.conn.Write(marker); err != nil {
			return err
		}
	}
	return d.send(tnsData, data(message{}.end(ora, text)))
}
