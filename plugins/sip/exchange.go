package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// look runs the check once.
func look(ctx context.Context, t sdk.Target, o options, tr *probe.Trace) sdk.Verdict {
	conn, err := probe.Dial(ctx, t, tr)
	if err != nil {
		return probe.Judge(err)
	}
	defer conn.Close()
	from, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return sdk.Unknown("own address: %v", err)
	}
	from = netip.AddrPortFrom(from.Addr().WithZone(""), from.Port())
	e := exchange{ctx: ctx, conn: conn, tr: tr, packets: t.Network == "udp"}
	e.in = bufio.NewReaderSize(conn, probe.MaxLine)
	r := newRequest(o.filled(), t.Network, from)
	answer, err := e.ask(r)
	if err == nil && o.Passwd != "" && (answer.status == 401 || answer.status == 407) {
		var login string
		if login, err = credentials(answer, r.o); err == nil {
			answer, err = e.ask(r.again(login))
		}
	}
	if err != nil {
		return e.during(probe.Judge(err))
	}
	return judge(answer)
}

// judge is the verdict of a final answer.
func judge(answer *response) sdk.Verdict {
	switch {
	case answer.status >= 200 && answer.status < 300:
		return sdk.Up()
	case answer.status == 401 || answer.status == 407:
		return sdk.DownWith(sdk.CodeAuth, "the server answers \"%s\"", probe.Brief(answer.text))
	}
	return sdk.DownWith(sdk.CodeStatus, "the server answers \"%s\"", probe.Brief(answer.text))
}

// exchange is one connection, or what is like one over udp.
type exchange struct {
	ctx     context.Context
	conn    *probe.Conn
	in      *bufio.Reader // tcp
	tr      *probe.Trace
	packets bool   // udp
	last    string // provisional answer; empty: there was none
}

// during says in a verdict what the server had said when it became silent.
func (e *exchange) during(v sdk.Verdict) sdk.Verdict {
	if e.last != "" {
		return probe.WithNote(v, fmt.Sprintf("the last answer was \"%s\"", probe.Brief(e.last)))
	}
	return v
}

// ask sends a request and waits for its final answer.
func (e *exchange) ask(r *request) (answer *response, err error) {
	e.tr.Sent([]byte(r.String()))
	if e.packets {
		answer, err = e.overUDP(r)
	} else if err = e.send(r); err == nil {
		answer, err = e.final(r, e.readMessage)
	}
	if err == nil {
		e.tr.Phase("answer")
	}
	return answer, err
}

func (e *exchange) send(r *request) error {
	_, err := e.conn.Write([]byte(r.String()))
	return err
}

// The times between requests that are sent again (RFC 3261, 17.1.2.2). What ends them is the deadline alone.
const (
	t1 = 500 * time.Millisecond
	t2 = 4 * time.Second
)

// overUDP sends a request until its final answer comes: packets get lost. After a provisional answer
// there is less hurry.
func (e *exchange) overUDP(r *request) (*response, error) {
	buf := make([]byte, maxPacket)
	read := func() (*response, error) { return e.readPacket(buf) }
	e.last = ""
	for wait := t1; ; wait = min(2*wait, t2) {
		if err := e.send(r); err != nil {
			return nil, err
		}
		if e.last != "" {
			wait = t2
		}
		if err := e.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		answer, err := e.final(r, read)
		if !errors.Is(err, os.ErrDeadlineExceeded) || e.ctx.Err() != nil {
			return answer, err
		}
		e.tr.Note("no final answer after %v: sends it again", wait)
	}
}

// final reads until the final answer to r. Messages that are no answers to it are left.
func (e *exchange) final(r *request, read func() (*response, error)) (*response, error) {
	for {
		answer, err := read()
		switch {
		case err != nil:
			return nil, err
		case answer == nil:
		case !answer.answers(r):
			e.tr.Note("%s, which answers another request", probe.Brief(answer.text))
		case answer.status >= 200:
			e.tr.Note("%s", probe.Brief(answer.text))
			return answer, nil
		default:
			e.tr.Note("%s", probe.Brief(answer.text))
			e.last = answer.text
		}
	}
}

// maxPacket is the largest there is.
const maxPacket = 64 << 10

// readPacket reads a packet: one message. It is nil for one that only keeps a connection alive.
func (e *exchange) readPacket(buf []byte) (*response, error) {
	n, err := e.conn.Read(buf)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimLeft(buf[:n], "\r\n\x00")) == 0 {
		return nil, nil
	}
	answer, err := readHead(bufio.NewReaderSize(bytes.NewReader(buf[:n]), probe.MaxLine))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, probe.Failed(sdk.CodeProtocol, "half a message: it begins with \"%s\"", probe.Brief(string(buf[:n])))
	}
	return answer, err
}

// maxBody bounds what is skipped behind the head of a provisional answer.
const maxBody = 64 << 10

// readMessage reads a message from a stream. The body of a final answer is not waited for.
func (e *exchange) readMessage() (*response, error) {
	answer, err := readHead(e.in)
	if err != nil || answer.status >= 200 {
		return answer, err
	}
	size, err := strconv.Atoi("0" + answer.field("content-length"))
	if err != nil || size > maxBody {
		return nil, probe.Failed(sdk.CodeProtocol, "Content-Length \"%s\" of \"%s\"", probe.Brief(answer.field("content-length")), probe.Brief(answer.text))
	}
	_, err = e.in.Discard(size)
	return answer, err
}
