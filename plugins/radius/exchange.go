package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// authenticate runs the check once.
func authenticate(ctx context.Context, t sdk.Target, o options, tr *probe.Trace) sdk.Verdict {
	conn, err := probe.Dial(ctx, t, tr)
	if err != nil {
		return probe.Judge(err)
	}
	defer conn.Close()
	request, err := newRequest(o, conn.LocalAddr().(*net.UDPAddr).IP)
	if err != nil {
		return sdk.Unknown("request: %v", err)
	}
	e := exchange{ctx: ctx, conn: conn, o: o, tr: tr, request: request}
	answer, err := e.run()
	if err != nil {
		return probe.Judge(err)
	}
	tr.Phase("answer")
	text := rfc2865.ReplyMessage_GetString(answer)
	tr.Note("%v %s", answer.Code, probe.Brief(text))
	if answer.Code == radius.CodeAccessAccept {
		return sdk.Up()
	}
	if text != "" {
		text = fmt.Sprintf(": \"%s\"", probe.Brief(text))
	}
	switch answer.Code {
	case radius.CodeAccessReject:
		return sdk.DownWith(sdk.CodeAuth, "the server rejects the user%s", text)
	case radius.CodeAccessChallenge:
		return sdk.DownWith(sdk.CodeAuth, "the server wants more than a password%s", text)
	}
	return sdk.DownWith(sdk.CodeProtocol, "%v in answer to an Access-Request", answer.Code)
}

// exchange is one request and what comes back.
type exchange struct {
	ctx     context.Context
	conn    *probe.Conn
	o       options
	tr      *probe.Trace
	request []byte
	doubt   error // why the last answer did not count; nil: there was none
}

// firstWait is how long to wait for an answer before the request is sent again; the time doubles.
const firstWait = time.Second

// run sends the request, the same each time (RFC 5080, 2.2.1), until an answer comes: packets get lost.
func (e *exchange) run() (*radius.Packet, error) {
	for wait := firstWait; ; wait *= 2 {
		answer, err := e.once(wait)
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return answer, err
		case e.ctx.Err() == nil:
			e.tr.Note("no answer after %v", wait)
		case errors.Is(e.ctx.Err(), context.DeadlineExceeded) && e.doubt != nil:
			return nil, probe.Failed(sdk.CodeAuth, "no answer that counts: %v", e.doubt)
		default:
			return nil, err
		}
	}
}

// once sends the request and waits that long for an answer.
func (e *exchange) once(wait time.Duration) (*radius.Packet, error) {
	e.tr.Note("sends an Access-Request of %d bytes for \"%s\"", len(e.request), probe.Brief(e.o.Login))
	if _, err := e.conn.Write(e.request); err != nil {
		return nil, err
	}
	if err := e.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	return e.read()
}

// read waits for an answer that counts. Others are left (RFC 2865, 3), since anybody can send them, but
// what is no RADIUS at all comes from another protocol.
func (e *exchange) read() (*radius.Packet, error) {
	buf := make([]byte, radius.MaxPacketLength+1)
	for {
		n, err := e.conn.Read(buf)
		if err != nil {
			return nil, err
		}
		answer, err := radius.Parse(buf[:n], []byte(e.o.Secret))
		if err != nil {
			return nil, probe.Failed(sdk.CodeProtocol, "no answer in the RADIUS protocol: it begins with \"%s\"", probe.Brief(string(buf[:n])))
		}
		if e.doubt = verify(buf[:n], e.request, answer, e.o); e.doubt == nil {
			return answer, nil
		}
		e.tr.Note("%v, which does not count: %v", answer.Code, e.doubt)
	}
}
