package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// look runs the check once.
func look(ctx context.Context, t sdk.Target, o options, tr *probe.Trace) sdk.Verdict {
	t.Network = "tcp"
	conn, err := probe.Dial(ctx, t, tr)
	if err != nil {
		return probe.Judge(err)
	}
	defer conn.Close()
	if len(o.Request) > 0 {
		tr.Sent([]byte(o.Request))
		if _, err := conn.Write([]byte(o.Request)); err != nil {
			return probe.Judge(err)
		}
	}
	if o.HalfClose {
		// One that has closed meanwhile may have answered: reading tells.
		_ = conn.CloseWrite()
	}
	tr.Phase("request")
	if !o.Receive.Set() {
		return sdk.Up()
	}
	a := answer{in: bufio.NewReader(conn), left: o.MaxAnswer}
	for {
		line, err := a.line()
		tr.Received(line)
		if len(line) > 0 && ctx.Err() == nil {
			found, v := o.Receive.Matches(ctx, line)
			if v != nil {
				return *v
			}
			if found {
				return sdk.Up()
			}
		}
		if err != nil {
			return a.without(err, o)
		}
	}
}

// answer is what comes from the server, line by line.
type answer struct {
	in    *bufio.Reader
	left  int // bytes that may still be looked at
	bytes int
	lines int
}

var errLimit = errors.New("limit reached")

// line reads a line with its end, which is part of what is matched, as in Perl; what is there before
// an error is a line, too.
func (a *answer) line() (line []byte, err error) {
	for {
		piece, err := a.in.ReadSlice('\n')
		if len(piece) > a.left {
			piece, err = piece[:a.left], errLimit
		}
		a.left -= len(piece)
		a.bytes += len(piece)
		line = append(line, piece...)
		if err != bufio.ErrBufferFull {
			if len(line) > 0 {
				a.lines++
			}
			return line, err
		}
	}
}

// without is the verdict of an answer that ended and had no match.
func (a *answer) without(err error, o options) sdk.Verdict {
	v := probe.Judge(err)
	switch {
	case err == errLimit:
		return sdk.DownWith(sdk.CodeMatch, "receive matches no line of the first %d bytes", o.MaxAnswer)
	case err == io.EOF && a.bytes > 0:
		return sdk.DownWith(sdk.CodeMatch, "receive matches no line of %d", a.lines)
	case v.Code == sdk.CodeTimeout && a.bytes > 0:
		v.Reason += fmt.Sprintf(", receive matches no line of %d", a.lines)
	}
	return v
}
