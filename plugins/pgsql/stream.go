package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

const (
	// maxMessage is the largest message, in bytes, that is read; a row that is larger still counts as one.
	maxMessage = 256 << 10
	// maxAnswer is how many bytes a server may say until the first row is there.
	maxAnswer = 4 << 20
	// maxRest is how many bytes more are read so that the server sees an orderly end.
	maxRest = 64 << 10
	// maxRounds bounds the work that a server asks for in a login (SCRAM); its own default is 4096.
	maxRounds = 1 << 20
)

func nonsense(format string, args ...any) error {
	return probe.Failed(sdk.CodeProtocol, "no answer in the PostgreSQL protocol: "+format, args...)
}

// stream is the connection as pgconn sees it. pgconn allocates what a length asks for, computes what a login
// asks for, and hides why a connection ended; so messages are read, bounded and looked at here.
type stream struct {
	net.Conn

	reading sync.Mutex // guards what follows: pgconn may read in a goroutine of its own while it writes
	in      *bufio.Reader
	ready   []byte // for pgconn

	mu     sync.Mutex // guards what follows
	left   int        // bytes that may still come
	bigRow bool       // there is a row, too large to be read
	err    error      // why reading or writing ended
}

func newStream(conn net.Conn) *stream {
	return &stream{Conn: conn, in: bufio.NewReader(conn), left: maxAnswer}
}

// fail keeps the first reason for an end, and gives it back.
func (s *stream) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	return s.err
}

// ended is why reading or writing ended, if it has, and whether a row was there that is too large.
func (s *stream) ended() (err error, bigRow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err, s.bigRow
}

// Read gives pgconn what is left of a message, or reads the next one.
func (s *stream) Read(p []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if len(s.ready) == 0 {
		if err, _ := s.ended(); err != nil {
			return 0, err
		}
		message, err := s.next()
		if err != nil {
			return 0, s.fail(err)
		}
		s.ready = message
	}
	n := copy(p, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// Write writes like net.Conn.
func (s *stream) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err != nil {
		err = s.fail(err)
	}
	return n, err
}

// leave is the end of what is worth reading: little more is, and none of it for longer than the deadline that
// the caller sets.
func (s *stream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = maxRest
}

// take says whether so many bytes more may be read.
func (s *stream) take(bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left -= bytes
	return s.left >= 0
}

// next reads a message, a byte of type, four of length (which count themselves) and the rest, and looks at it.
func (s *stream) next() ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return nil, err
	}
	kind, size := head[0], int64(binary.BigEndian.Uint32(head[1:]))-4
	switch {
	case !bytes.ContainsRune([]byte("ACDEGHIKNRSTVWZcdnstv123"), rune(kind)) || size < 0:
		return nil, nonsense("\"%s\"", probe.Brief(string(head[:])))
	case size > maxMessage:
		s.mu.Lock()
		s.bigRow = kind == 'D'
		s.mu.Unlock()
		return nil, nonsense("a message of %d bytes", size)
	}
	if !s.take(len(head) + int(size)) {
		return nil, probe.Failed(sdk.CodeProtocol, "more than %d bytes, and no row among them", maxAnswer)
	}
	message := make([]byte, len(head)+int(size))
	copy(message, head[:])
	if _, err := io.ReadFull(s.in, message[len(head):]); err == io.EOF {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	if kind == 'R' {
		return message, lookLogin(message[len(head):])
	}
	return message, nil
}

// lookLogin looks at how the server wants the login done.
func lookLogin(p []byte) error {
	if len(p) < 4 {
		return nonsense("a login cut short")
	}
	way := binary.BigEndian.Uint32(p)
	switch way {
	case 0, 3, 5, 10, 12: // done; password, MD5, SASL, its end
		return nil
	case 11: // SASL goes on: r=NONCE,s=SALT,i=ROUNDS (RFC 5802)
		_, rounds, _ := bytes.Cut(p[4:], []byte(",i="))
		rounds, _, _ = bytes.Cut(rounds, []byte{','})
		if n, err := strconv.Atoi(string(rounds)); err == nil && n > maxRounds {
			return nonsense("the server wants %d rounds of SCRAM", n)
		}
		return nil
	}
	name := map[uint32]string{2: "Kerberos 5", 6: "SCM", 7: "GSSAPI", 9: "SSPI"}[way]
	if name == "" {
		name = "type " + strconv.FormatUint(uint64(way), 10)
	}
	return probe.Failed(sdk.CodeAuth, "the server wants a login by %s, which this check cannot do", name)
}
