package sdktest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Script is a server that does what text says, a step a line, with each connection:
//
//	send "TEXT"        write TEXT, a Go string; {addr}, {host} and {port} are the server's own
//	repeat N "TEXT"    the same N times
//	drip 50ms "TEXT"   the same, a byte at a time
//	line               read a line
//	read N             read N bytes
//	end                read until the client has closed its side
//	tls                do a TLS handshake, with config
//	hold               say nothing more, and keep the connection open
//	reset              close with a reset
//	close              close below TLS; the end of every script closes, too
//
// Scripts for the first, the second and further connections are separated by lines "---"; what
// comes after them gets the last. config may be nil when no step is tls.
func Script(text string, config *tls.Config) Server {
	s, err := newScript(text, config)
	if err != nil {
		return func(netip.Addr) (netip.AddrPort, func(), error) { return netip.AddrPort{}, nil, err }
	}
	return s.server()
}

// step is one line of a script.
type step struct {
	verb  string
	count int           // of repeat and read
	pause time.Duration // of drip
	text  string
}

// script is a parsed Script, and what its clients sent.
type script struct {
	connections [][]step
	config      *tls.Config

	mu   sync.Mutex // guards what follows
	next int
	sent strings.Builder
}

func newScript(text string, config *tls.Config) (*script, error) {
	s := &script{config: config}
	for part := range strings.SplitSeq(text, "---\n") {
		var steps []step
		for line := range strings.Lines(part) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			one, err := parseStep(line)
			if err != nil {
				return nil, fmt.Errorf("script: %s: %w", line, err)
			}
			if one.verb == "tls" && config == nil {
				return nil, fmt.Errorf("script: %s: there is no tls.Config", line)
			}
			steps = append(steps, one)
		}
		s.connections = append(s.connections, steps)
	}
	return s, nil
}

func parseStep(line string) (s step, err error) {
	verb, rest, _ := strings.Cut(line, " ")
	s.verb = verb
	switch verb {
	case "line", "end", "tls", "hold", "reset", "close":
		return s, nil
	case "read":
		s.count, err = strconv.Atoi(rest)
		return s, err
	case "send":
		s.count = 1
	case "repeat":
		count, text, _ := strings.Cut(rest, " ")
		rest = text
		if s.count, err = strconv.Atoi(count); err != nil {
			return s, err
		}
	case "drip":
		pause, text, _ := strings.Cut(rest, " ")
		rest = text
		if s.pause, err = time.ParseDuration(pause); err != nil {
			return s, err
		}
	default:
		return s, fmt.Errorf("unknown step %q", verb)
	}
	s.text, err = strconv.Unquote(rest)
	return s, err
}

func (s *script) server() Server {
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		over := make(chan struct{})
		addr, stop, err := TCP(func(c net.Conn) {
			s.mu.Lock()
			steps := s.connections[min(s.next, len(s.connections)-1)]
			s.next++
			s.mu.Unlock()
			s.play(c, steps, over)
		})(host)
		return addr, sync.OnceFunc(func() {
			close(over)
			stop()
		}), err
	}
}

// received is what clients sent so far, TLS removed.
func (s *script) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent.String()
}

// Write keeps what a client sent.
func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent.Write(p)
}

func (s *script) play(raw net.Conn, steps []step, over <-chan struct{}) {
	c, in := raw, bufio.NewReader(raw)
	for _, one := range steps {
		switch one.verb {
		case "tls":
			conn := tls.Server(&resumed{raw, in}, s.config)
			if conn.Handshake() != nil {
				return
			}
			c, in = conn, bufio.NewReader(conn)
		case "line":
			line, err := in.ReadString('\n')
			_, _ = io.WriteString(s, line)
			if err != nil {
				return
			}
		case "read":
			if _, err := io.CopyN(s, in, int64(one.count)); err != nil {
				return
			}
		case "end":
			_, _ = io.Copy(s, in)
		case "hold":
			_, _ = io.Copy(s, in)
			<-over
		case "send", "repeat":
			p := []byte(fill(one.text, raw.LocalAddr().String()))
			for range one.count {
				if _, err := c.Write(p); err != nil {
					return
				}
			}
		case "drip":
			drip(c, one)
		case "reset":
			_ = raw.(*net.TCPConn).SetLinger(0)
			_ = raw.Close()
		case "close":
			_ = raw.Close()
		}
	}
}

// drip ends early when the client is gone.
func drip(c net.Conn, one step) {
	tick := time.NewTicker(one.pause)
	defer tick.Stop()
	for i := range len(one.text) {
		<-tick.C
		if _, err := c.Write([]byte{one.text[i]}); err != nil {
			return
		}
	}
}

// resumed reads what a buffered reader may already hold.
type resumed struct {
	net.Conn
	in *bufio.Reader
}

func (r *resumed) Read(p []byte) (int, error) { return r.in.Read(p) }

// fill puts the server's address into a text.
func fill(text, addr string) string {
	host, port, _ := strings.Cut(addr, "]:")
	if strings.HasPrefix(addr, "[") {
		host += "]"
	} else {
		host, port, _ = strings.Cut(addr, ":")
	}
	return strings.NewReplacer("{addr}", addr, "{host}", host, "{port}", port).Replace(text)
}

// BlackHole lets no connection come about, nor refuses one: as if packets were dropped.
func BlackHole() Server {
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			return netip.AddrPort{}, nil, fmt.Errorf("loopback server: %w", err)
		}
		open := []io.Closer{l}
		stop := func() {
			for _, c := range open {
				_ = c.Close()
			}
		}
		// Nobody accepts. Once the shortest queue is full, listen(2) has the kernel ignore
		// whoever else comes.
		raw, err := l.(*net.TCPListener).SyscallConn()
		if err == nil {
			err = errorOf(raw.Control, func(fd uintptr) error { return syscall.Listen(int(fd), 0) })
		}
		for range 8 {
			if err != nil {
				break
			}
			c, dialled := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond)
			if dialled != nil {
				return netip.MustParseAddrPort(l.Addr().String()), stop, nil
			}
			open = append(open, c)
		}
		stop()
		return netip.AddrPort{}, nil, fmt.Errorf("this system's queue of connections does not fill: %w", err)
	}
}

func errorOf(control func(func(fd uintptr)) error, f func(fd uintptr) error) error {
	var inner error
	if err := control(func(fd uintptr) { inner = f(fd) }); err != nil {
		return err
	}
	return inner
}
