package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// control is the connection of commands and answers: it bounds what the library reads, which keeps lines
// and answers of any length, and records both.
type control struct {
	*probe.Conn
	tr     *probe.Trace
	left   int    // bytes that may still come
	begin  []byte // of the answer to the last command, as far as it has come
	failed error  // why nothing more can be read; nil: nothing is wrong
}

// maxControl bounds the answers of one probe together, in bytes.
const maxControl = 64 << 10

func newControl(conn *probe.Conn, tr *probe.Trace) *control {
	return &control{Conn: conn, tr: tr, left: maxControl, begin: make([]byte, 0, probe.MaxLine/8)}
}

// Read reads answers. What cannot be one is an error at once: the library would wait for the end of
// it. It also forgets why half a line is no whole one, which failed remembers.
func (c *control) Read(p []byte) (n int, err error) {
	if c.failed != nil {
		return 0, c.failed
	}
	if c.left == 0 {
		c.failed = fmt.Errorf("answers of more than %d bytes: %w", maxControl, probe.ErrTooLong)
		return 0, c.failed
	}
	n, err = c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	c.tr.Received(p[:n])
	c.begin = append(c.begin, p[:min(n, cap(c.begin)-len(c.begin))]...)
	switch {
	case err == io.EOF && len(c.begin) > 0:
		c.failed = fmt.Errorf("in an answer: %w", io.ErrUnexpectedEOF)
	case err != nil:
		c.failed = err
	case !isAnswer(c.begin):
		line, _, _ := strings.Cut(string(c.begin), "\n")
		c.failed = probe.Failed(sdk.CodeProtocol, "no answer in the FTP protocol: \"%s\"", probe.Brief(strings.TrimSuffix(line, "\r")))
	default:
		return n, nil
	}
	return n, c.failed
}

// isAnswer says whether an answer may begin like that (RFC 959, 4.2).
func isAnswer(begin []byte) bool {
	for i, b := range begin[:min(len(begin), codeSize+1)] {
		digit := '0' <= b && b <= '9'
		if i < codeSize && !digit || i == codeSize && b != ' ' && b != '-' && b != '\r' && b != '\n' {
			return false
		}
	}
	return true
}

// codeSize is the length of an answer's code.
const codeSize = 3

// code is that of the answer to the last command; 0 when none has come.
func (c *control) code() int {
	code, err := strconv.Atoi(string(c.begin[:min(len(c.begin), codeSize)]))
	if err != nil {
		return 0
	}
	return code
}

// Write sends a command.
func (c *control) Write(p []byte) (int, error) {
	c.tr.Sent(p)
	c.begin = c.begin[:0]
	return c.Conn.Write(p)
}

// farewell is how long bye waits for the server to take leave, too.
const farewell = 300 * time.Millisecond

// bye takes leave, and waits a moment for the answer, so that no server sees a reset.
func (c *control) bye() {
	if _, err := c.Write([]byte("QUIT\r\n")); err == nil && c.SetReadDeadline(time.Now().Add(farewell)) == nil {
		_, _ = c.Read(make([]byte, probe.MaxLine))
	}
}
