package ld

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// Verbs of exchanges on connections, as recordings have them.
const (
	connectVerb  = "connect"
	tlsVerb      = "tls"
	sendVerb     = "send"
	recvVerb     = "recv"
	shutdownVerb = "shutdown"
	packetVerb   = "packet" // a datagram sent
	answerVerb   = "answer" // one received
)

// Bounds of connections.
const (
	maxOpen   = 32       // at once, of one run
	maxAnswer = 8 << 20  // bytes that one call gives back
	usualMax  = 1 << 20  // the same unless the script asks for another
	maxLine   = 64 << 10 // bytes of one line
	chunk     = 4096     // bytes of one read
)

// dialing is what a script asks of a connection.
type dialing struct {
	network string // tcp or udp
	host    string
	port    int
	source  string        // local address; empty: the kernel's choice
	timeout time.Duration // of connecting, and of each call after it; 0: the check's deadline alone
	secure  bool
	tls     probe.TLSOptions
	sni     string // the server's name when host is an address
}

// args are the words of the exchange.
func (d *dialing) args(id string) []string {
	return []string{id, d.network, d.host, strconv.Itoa(d.port)}
}

// stream is a connection of a run.
type stream struct {
	run    *run
	id     string
	how    dialing
	conn   net.Conn // nil when it is replayed
	addr   netip.AddrPort
	cert   *certificate // of the peer, over TLS
	in     []byte       // received and not read yet
	ended  bool         // the peer has closed its side
	closed bool
}

// connect makes a connection. Over TLS it includes the handshake.
func (r *run) connect(d dialing) (*stream, error) {
	if r.open >= maxOpen {
		return nil, limited("more than %d connections open at once", maxOpen)
	}
	r.connected++
	s := &stream{run: r, id: strconv.Itoa(r.connected), how: d}
	results, err := r.tape.do(connectVerb, d.args(s.id), func() ([]string, error) {
		conn, err := s.dial()
		if err != nil {
			return nil, err
		}
		s.conn = conn
		return []string{s.addr.String()}, nil
	})
	if err != nil {
		return nil, err
	}
	if s.addr, err = netip.ParseAddrPort(first(results)); err != nil {
		return nil, fmt.Errorf("recorded address: %w", err)
	}
	r.open++
	r.streams[s] = struct{}{}
	if d.secure {
		if err := s.secure(d.tls, d.name()); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// name is what the server is called in a handshake.
func (d *dialing) name() string {
	if d.sni != "" {
		return d.sni
	}
	return d.host
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// dial makes a connection, whose calls end with the run.
func (s *stream) dial() (net.Conn, error) {
	c := s.run.call
	ctx := c.Ctx
	if s.how.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.how.timeout)
		defer cancel()
	}
	addr, err := probe.Resolve(ctx, s.how.host, c.Target.Addr.Addr(), c.Trace)
	if err != nil {
		return nil, err
	}
	s.addr = netip.AddrPortFrom(addr, uint16(s.how.port))
	dial := c.Dial
	if dial == nil || s.how.source != "" {
		dialer := net.Dialer{KeepAlive: -1}
		if dialer.LocalAddr, err = s.how.local(); err != nil {
			return nil, err
		}
		dial = dialer.DialContext
	}
	conn, err := dial(ctx, s.how.network, s.addr.String())
	c.Trace.Phase("connect")
	if err != nil {
		return nil, err
	}
	return probe.Bind(c.Ctx, conn), nil
}

// local is the address to connect from, or nil.
func (d *dialing) local() (net.Addr, error) {
	if d.source == "" {
		return nil, nil
	}
	addr, err := netip.ParseAddr(d.source)
	if err != nil {
		return nil, limited("source: %v", err)
	}
	if d.network == "udp" {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)), nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)), nil
}

// secure does a TLS handshake on the connection.
func (s *stream) secure(o probe.TLSOptions, name string) error {
	if len(s.in) > 0 {
		return failed(sdk.CodeProtocol, "the server went on in plain text after it had agreed to TLS")
	}
	if s.cert != nil {
		return limited("the connection is under TLS already")
	}
	verify := "no"
	if o.Verify {
		verify = "verify"
	}
	results, err := s.run.tape.do(tlsVerb, []string{s.id, name, verify}, func() ([]string, error) {
		s.hurry()
		conn, err := o.Over(s.again(), name, s.addr.Addr(), s.run.call.Trace)
		if err != nil {
			return nil, err
		}
		s.conn = conn
		cert, err := describe(conn.ConnectionState())
		return []string{cert}, err
	})
	if err == nil {
		s.cert, err = readCertificate(first(results))
	}
	return err
}

// again gives the handshake the connection, and for a second offer a new one where nothing was said before.
func (s *stream) again() func() (net.Conn, error) {
	tries := 0
	return func() (net.Conn, error) {
		if tries++; tries == 1 {
			return s.conn, nil
		}
		if !s.how.secure {
			return nil, &probe.HandshakeError{Err: errRefusedOffer}
		}
		conn, err := s.dial()
		if err == nil {
			s.conn.Close()
			s.conn = conn
			s.hurry()
		}
		return conn, err
	}
}

// hurry applies the connection's own timeout to what comes.
func (s *stream) hurry() {
	if s.conn != nil && s.how.timeout > 0 {
		s.conn.SetDeadline(time.Now().Add(s.how.timeout)) // what ends with it tells
	}
}

// write sends all of data.
func (s *stream) write(data string) error {
	if s.closed {
		return errClosed
	}
	live := func() ([]string, error) {
		s.hurry()
		s.run.call.Trace.Sent([]byte(data))
		_, err := io.WriteString(s.conn, data)
		return nil, err
	}
	if s.how.network == "udp" {
		_, err := s.run.tape.do(packetVerb, []string{s.id, data}, live)
		return err
	}
	return s.run.tape.send(s.id, data, live)
}

// fill reads what comes next into s.in, or sees the end.
func (s *stream) fill() error {
	if s.closed {
		return errClosed
	}
	results, err := s.run.tape.recv(s.id, func() ([]string, error) {
		s.hurry()
		var buf [chunk]byte
		n, err := s.conn.Read(buf[:])
		if n > 0 {
			s.run.call.Trace.Received(buf[:n])
			return []string{string(buf[:n])}, nil
		}
		if err == io.EOF {
			return nil, nil
		}
		return nil, err
	})
	if err != nil {
		return err
	}
	s.ended = len(results) == 0
	if !s.ended {
		if err := s.run.charge(len(results[0])); err != nil {
			return err
		}
		s.in = append(s.in, results[0]...)
	}
	return nil
}

// take gives back the first n bytes of what was received.
func (s *stream) take(n int) string {
	out := string(s.in[:n])
	if s.in = s.in[n:]; len(s.in) == 0 {
		s.in = nil
	}
	return out
}

// line is the next line, without its end.
func (s *stream) line(limit int) (string, error) {
	for seen := 0; ; {
		if at := bytes.IndexByte(s.in[seen:], '\n'); at >= 0 {
			if seen+at > limit {
				break
			}
			line := s.take(seen + at + 1)
			return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
		}
		if seen = len(s.in); seen > limit {
			break
		}
		if s.ended {
			return "", s.tooFew("a line")
		}
		if err := s.fill(); err != nil {
			return "", err
		}
	}
	return "", failed(sdk.CodeProtocol, "line begun with \"%s\": longer than %d bytes", probe.Brief(string(s.in[:min(len(s.in), 40)])), limit)
}

// exactly reads n bytes.
func (s *stream) exactly(n int) (string, error) {
	for len(s.in) < n {
		if s.ended {
			return "", s.tooFew(fmt.Sprintf("%d bytes", n))
		}
		if err := s.fill(); err != nil {
			return "", err
		}
	}
	return s.take(n), nil
}

// all reads until the peer has closed its side, or limit bytes are there: then cut says whether there were more.
func (s *stream) all(limit int) (text string, cut bool, err error) {
	for !s.ended && len(s.in) <= limit {
		if err := s.fill(); err != nil {
			return "", false, err
		}
	}
	cut = len(s.in) > limit
	return s.take(min(len(s.in), limit)), cut, nil
}

// tooFew is what a connection that ended too early failed with.
func (s *stream) tooFew(want string) error {
	if len(s.in) == 0 {
		return failed(sdk.CodeClosed, "closed by the server instead of %s", want)
	}
	return failed(sdk.CodeClosed, "closed by the server in the middle of %s, after \"%s\"", want, probe.Brief(string(s.in[:min(len(s.in), 40)])))
}

// shutdown says that nothing more will be sent.
func (s *stream) shutdown() error {
	if s.closed {
		return errClosed
	}
	_, err := s.run.tape.do(shutdownVerb, []string{s.id}, func() ([]string, error) {
		err := errors.ErrUnsupported
		if half, ok := s.conn.(interface{ CloseWrite() error }); ok {
			err = half.CloseWrite()
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return nil, limited("this connection has no half to shut down")
		}
		return nil, err
	})
	return err
}

// close ends the connection. Doing it twice does nothing.
func (s *stream) close() {
	if s.closed {
		return
	}
	s.closed = true
	s.run.open--
	delete(s.run.streams, s)
	if s.conn == nil {
		return
	}
	if conn, ok := s.conn.(*tls.Conn); ok {
		conn.SetDeadline(time.Now().Add(farewell)) // its farewell alert is worth no more
	}
	s.conn.Close()
	s.in = nil
}

// farewell bounds, for a run, what the end of a connection may take.
const farewell = 100 * time.Millisecond

var (
	errClosed       = limited("the connection was closed by the script")
	errRefusedOffer = fmt.Errorf("refused by the server")
)
