package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// foreign says whether an answer without a head begins like the greeting of another
// protocol, or in binary. HTTP/0.9 is too old to be given the benefit of that doubt.
func (d *reader) foreign() bool {
	for d.w-d.r < 4 && d.fill() == nil {
	}
	p := d.buf[d.r:d.w]
	if d.total > 0 {
		p = d.body
	}
	p = p[:min(4, len(p))]
	if bytes.IndexFunc(p, func(c rune) bool { return c < '\t' || '\r' < c && c < ' ' }) >= 0 {
		return true
	}
	for _, greeting := range []string{"SSH-", "+OK", "-ERR", "* ", "RFB "} {
		if strings.HasPrefix(string(p), greeting) {
			return true
		}
	}
	return len(p) == 4 && isDigit(p[0]) && isDigit(p[1]) && isDigit(p[2]) && (p[3] == ' ' || p[3] == '-')
}

// readBody reads the body up to limit bytes and keeps the first keep of them. A body that
// ends early, for whatever reason that is the server's, is no error but r.note.
func (d *reader) readBody(r *response, limit, keep int) error {
	var err error
	switch {
	case r.headCut:
		r.note = "truncated in the head"
		return nil
	case r.chunked && !r.simple:
		err = d.chunks(limit, keep)
	case r.length >= 0:
		err = d.take(r.length, limit, keep)
	default:
		err = d.take(1<<62, limit, keep)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil // TLS without a closing alert is common and means nothing here
		}
	}
	switch {
	case err == nil:
	case err == errCut:
		r.note = fmt.Sprintf("only the first %d bytes of the body were looked at", limit)
	case !endsAnswer(err):
		return err
	case r.length >= 0 && !r.chunked:
		r.note = fmt.Sprintf("truncated after %d of %d bytes", d.total, r.length)
	case errors.Is(err, errChunk):
		r.note = fmt.Sprintf("truncated after %d bytes: %v", d.total, err)
	default:
		r.note = fmt.Sprintf("truncated after %d bytes", d.total)
	}
	return nil
}

var (
	errCut   = errors.New("limit reached")
	errChunk = errors.New("bad chunk")
)

// endsAnswer tells a server that stopped talking from a deadline and from faults of our own.
func endsAnswer(err error) bool {
	v := probe.Judge(err)
	return v.Status == sdk.StatusDown && v.Code != sdk.CodeTimeout
}

// take reads n bytes of the body; errCut when they exceed limit.
func (d *reader) take(n int64, limit, keep int) error {
	for n > 0 {
		if d.r == d.w {
			if err := d.fill(); err != nil {
				return err
			}
		}
		piece := d.buf[d.r:d.w]
		if int64(len(piece)) > n {
			piece = piece[:n]
		}
		room := limit - d.total
		if len(piece) > room {
			if err := d.store(piece[:room], keep); err != nil {
				return err
			}
			return errCut
		}
		if err := d.store(piece, keep); err != nil {
			return err
		}
		d.r += len(piece)
		n -= int64(len(piece))
	}
	return nil
}

// store keeps what of piece belongs to the first keep bytes of the body.
func (d *reader) store(piece []byte, keep int) error {
	kept := piece[:max(min(keep-len(d.body), len(piece)), 0)]
	if need, had := len(d.body)+len(kept), cap(d.body); need > had {
		size := min(max(2*had, need), keep)
		if err := d.share.Grow(d.ctx, size-max(had, excerpt)); err != nil { // an excerpt is everybody's
			return err
		}
		d.body = append(make([]byte, 0, size), d.body...)
	}
	d.body = append(d.body, kept...)
	d.total += len(piece)
	return nil
}

// chunks reads a chunked body (RFC 9112, 7.1). Extensions are ignored, trailers are not waited for.
func (d *reader) chunks(limit, keep int) error {
	for {
		line, err := d.lineIn(maxChunkLine)
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		size := leadingNumber(line, 16)
		switch {
		case size < 0:
			return fmt.Errorf("%w size \"%s\"", errChunk, brief(line))
		case size == 0:
			return nil
		}
		if err := d.take(size, limit, keep); err != nil {
			return err
		}
		if err := d.chunkEnd(); err != nil {
			return err
		}
	}
}

// chunkEnd skips the line end after a chunk's data, if there is one.
func (d *reader) chunkEnd() error {
	for _, c := range []byte("\r\n") {
		if d.r == d.w {
			if err := d.fill(); err != nil {
				return err
			}
		}
		if d.buf[d.r] == c {
			d.r++
		}
	}
	return nil
}
