package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ldirectord/ldirectord/sdk/probe"
)

// Bounds of what is read, in bytes.
const (
	maxHead      = 64 << 10 // status line and header fields of one answer, interim ones included
	maxChunkLine = 4 << 10  // the size line of a chunk
	excerpt      = 512      // kept of a body that nothing is matched against
	firstRead    = 2 << 10  // room for the first read
	minRead      = 512      // room for one read
	maxRead      = 32 << 10 // the same once a body proves to be large
)

var errNotHTTP = errors.New("not HTTP")

// response is what a server answered, as far as a check cares.
type response struct {
	status   int    // 200 for HTTP/0.9, which has none
	line     string // the status line after the version, such as "404 Not Found"
	location string
	simple   bool  // HTTP/0.9: the answer has no head
	chunked  bool  // Transfer-Encoding ends the body
	length   int64 // Content-Length; -1: none that could be read
	headCut  bool  // closed before the empty line that ends the head
	note     string
}

// reader reads one answer from src. It is lenient wherever one meaning is left: servers are
// what it is here to judge, not their style. It reads through a window, buf[r:w], of which the
// head is kept at the front until the answer is judged.
type reader struct {
	src     io.Reader
	buf     []byte
	base    int // the window never moves in front of it: the end of the head
	r, w    int
	want    int    // room to make for the next read, when more than minRead
	err     error  // came together with the last bytes
	body    []byte // what was kept of the body
	total   int    // bytes of the body so far, kept or not
	onFirst func() // called when the first byte is there
	ctx     context.Context
	share   *probe.Share // what buf and body take from; nil: they grow as they like
}

// reset prepares the reader for another answer. Its buffers are kept.
func (d *reader) reset(src io.Reader, onFirst func()) {
	if d.buf == nil {
		d.buf = make([]byte, firstRead)
	}
	*d = reader{src: src, buf: d.buf, body: d.body[:0], onFirst: onFirst, ctx: d.ctx, share: d.share}
}

// fill reads more bytes into the window. Behind the head it moves the window back to the
// head's end before it enlarges it.
func (d *reader) fill() error {
	if d.err != nil {
		return d.err
	}
	if d.base > 0 && d.r > d.base && (d.r == d.w || len(d.buf)-d.w < minRead) {
		d.w = d.base + copy(d.buf[d.base:], d.buf[d.r:d.w])
		d.r = d.base
	}
	if len(d.buf)-d.w < max(d.want, minRead) {
		if err := d.share.Grow(d.ctx, len(d.buf)+d.want); err != nil {
			return err
		}
		grown := make([]byte, 2*len(d.buf)+d.want)
		copy(grown, d.buf[:d.w])
		d.buf = grown
	}
	n, err := d.src.Read(d.buf[d.w:])
	if n > 0 && d.onFirst != nil {
		d.onFirst()
		d.onFirst = nil
	}
	if d.w += n; d.w == len(d.buf) {
		d.want = maxRead // there is more than a page's worth: fewer, larger reads
	}
	if n > 0 {
		d.err = err
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// lineIn reads a line of at most limit bytes and returns it without its line end, CR LF or LF. It
// is valid until the next read.
func (d *reader) lineIn(limit int) ([]byte, error) {
	for seen := 0; ; {
		window := d.buf[d.r:d.w]
		if i := bytes.IndexByte(window[seen:], '\n'); i >= 0 {
			d.r += seen + i + 1
			return bytes.TrimSuffix(window[:seen+i], []byte("\r")), nil
		}
		seen = len(window)
		if seen > limit {
			return nil, probe.ErrTooLong
		}
		if err := d.fill(); err != nil {
			return nil, err
		}
	}
}

// head reads up to the body of the final answer: interim ones (1xx) are skipped.
func (d *reader) head() (response, error) {
	for {
		isHTTP, err := d.beginsHTTP()
		if err != nil {
			return response{}, err
		}
		if !isHTTP {
			d.base = d.w
			return response{status: 200, line: "200 (HTTP/0.9)", simple: true, length: -1}, nil
		}
		r, err := d.fields()
		if err != nil {
			return response{}, err
		}
		if r.status >= 200 || r.status == 101 {
			d.base = d.r
			return r, nil
		}
	}
}

// beginsHTTP skips empty lines and looks whether a status line follows.
func (d *reader) beginsHTTP() (bool, error) {
	const name = "HTTP/"
	for {
		for d.r < d.w && (d.buf[d.r] == '\r' || d.buf[d.r] == '\n') {
			d.r++
		}
		got := d.buf[d.r:min(d.w, d.r+len(name))]
		switch {
		case !strings.EqualFold(string(got), name[:len(got)]):
			return false, nil
		case len(got) == len(name):
			return true, nil
		case d.r > maxHead:
			return false, fmt.Errorf("head: %w", probe.ErrTooLong)
		}
		if err := d.fill(); err == io.EOF && len(got) > 0 {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
}

// fields reads a status line and the header fields after it.
func (d *reader) fields() (response, error) {
	line, err := d.lineIn(maxHead)
	if err != nil {
		return response{}, d.inHead(err)
	}
	r := response{length: -1}
	if r.status, r.line, err = parseStatus(line); err != nil {
		return response{}, err
	}
	for {
		line, err := d.lineIn(maxHead)
		switch {
		case d.r > maxHead || err == probe.ErrTooLong:
			return response{}, d.inHead(probe.ErrTooLong)
		case err != nil && endsAnswer(err):
			r.headCut = true
			return r, nil
		case err != nil:
			return response{}, d.inHead(err)
		case len(line) == 0:
			return r, nil
		}
		r.field(line)
	}
}

func (d *reader) inHead(err error) error {
	switch err {
	case io.EOF:
		return fmt.Errorf("closed in the middle of the status line: %w", io.ErrUnexpectedEOF)
	case probe.ErrTooLong:
		return fmt.Errorf("head of the answer: %w (over %d bytes)", err, maxHead)
	}
	return err
}

// parseStatus reads "HTTP/1.1 200 OK"; the version is not looked at, the reason may be missing.
func parseStatus(line []byte) (int, string, error) {
	_, rest, _ := bytes.Cut(line, []byte(" "))
	rest = bytes.TrimSpace(rest)
	if len(rest) < 3 || !isDigit(rest[0]) || !isDigit(rest[1]) || !isDigit(rest[2]) ||
		len(rest) > 3 && isDigit(rest[3]) || rest[0] == '0' {
		return 0, "", fmt.Errorf("%w: malformed status line \"%s\"", errNotHTTP, brief(line))
	}
	status := int(rest[0]-'0')*100 + int(rest[1]-'0')*10 + int(rest[2]-'0')
	if string(rest) == "200 OK" {
		return status, "200 OK", nil
	}
	return status, brief(rest), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// field takes from a header line what framing and redirects need. Lines without a colon are
// ignored; of several lengths the first that can be read counts.
func (r *response) field(line []byte) {
	i := bytes.IndexByte(line, ':')
	if i < 0 {
		return
	}
	name, value := bytes.TrimRight(line[:i], " \t"), line[i+1:]
	switch len(name) {
	case len("Location"):
		if r.location == "" && strings.EqualFold(string(name), "Location") {
			r.location = string(bytes.TrimSpace(value))
		}
	case len("Content-Length"):
		if r.length < 0 && strings.EqualFold(string(name), "Content-Length") {
			r.length = leadingNumber(bytes.TrimSpace(value), 10)
		}
	case len("Transfer-Encoding"):
		if strings.EqualFold(string(name), "Transfer-Encoding") && bytes.Contains(bytes.ToLower(value), []byte("chunked")) {
			r.chunked = true
		}
	}
}

// leadingNumber reads the digits, of base 10 or 16, that s begins with; -1: none, or too large.
func leadingNumber(s []byte, base int64) int64 {
	n := int64(-1)
	for _, c := range s {
		var digit int64
		switch {
		case isDigit(c):
			digit = int64(c - '0')
		case base == 16 && 'a' <= c|0x20 && c|0x20 <= 'f':
			digit = int64(c|0x20-'a') + 10
		default:
			return n
		}
		if n = max(n, 0)*base + digit; n > 1<<50 {
			return -1
		}
	}
	return n
}

// brief is the beginning of what a server said, for a reason.
func brief(p []byte) string {
	if len(p) > 80 {
		return probe.Escape(string(p[:80])) + "..."
	}
	return probe.Escape(string(p))
}
