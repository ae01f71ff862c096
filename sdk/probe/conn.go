package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// Conn is a connection that lives no longer than the context it was made with: at its
// deadline, or at once when it is cancelled, every Read and Write in progress and every later
// one fails. A deadline set on it can only shorten that.
type Conn struct {
	net.Conn
	ctx  context.Context
	stop func() bool
}

// Dial connects to t over its network within ctx and returns a connection bounded by
// ctx. It binds no local address, so that the kernel may use one local port for many
// destinations, and asks for no keep-alives, which a probe does not live to see. tr, which
// may be nil, gets the phase "connect".
func Dial(ctx context.Context, t sdk.Target, tr *Trace) (*Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	network := t.Network
	if network == "" {
		network = "tcp"
	}
	// Not DialTCP or DialUDP: with an unset local address they bind(2) all the same, which
	// takes a local port for one destination alone.
	conn, err := d.DialContext(ctx, network, t.Addr.String())
	tr.Phase("connect")
	if err != nil {
		return nil, &dialError{t.Addr, because(ctx, err)}
	}
	return Bind(ctx, conn), nil
}

// Bind bounds a connection that was made in another way by ctx. Close ends both.
func Bind(ctx context.Context, conn net.Conn) *Conn {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(longAgo()) })
	return &Conn{Conn: conn, ctx: ctx, stop: stop}
}

// Read reads like net.Conn. An error that comes of ctx being cancelled wraps context.Canceled.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		err = because(c.ctx, err)
	}
	return n, err
}

// Write writes like net.Conn. An error that comes of ctx being cancelled wraps context.Canceled.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		err = because(c.ctx, err)
	}
	return n, err
}

// Close closes the connection and lets go of the context.
func (c *Conn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// CloseWrite tells the peer that nothing more will be written, where the transport can (TCP).
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetDeadline sets an earlier end to reads and writes than the context's, which stays in
// force whatever t is.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.bounded(t, c.Conn.SetDeadline)
}

// SetReadDeadline is SetDeadline for reads alone.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.bounded(t, c.Conn.SetReadDeadline)
}

// SetWriteDeadline is SetDeadline for writes alone.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.bounded(t, c.Conn.SetWriteDeadline)
}

// bounded sets a deadline. A context that ended meanwhile has the last word, whether its
// own deadline was set before or after t.
func (c *Conn) bounded(t time.Time, set func(time.Time) error) error {
	err := set(t)
	if c.ctx.Err() != nil {
		return set(longAgo())
	}
	return err
}

// longAgo is a deadline that interrupts what is in progress.
func longAgo() time.Time { return time.Unix(1, 0) }

// because puts the cancelling of ctx in front of err, which it brought about.
func because(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %v", context.Canceled, err)
	}
	return err
}

// dialError is a connection that did not come about.
type dialError struct {
	addr netip.AddrPort
	err  error
}

func (e *dialError) Error() string { return fmt.Sprintf("connect to %s: %v", e.addr, cause(e.err)) }
func (e *dialError) Unwrap() error { return e.err }

// Resolve finds an address of host, which may be an address itself: one of the family of near
// when there is one, else any. tr, which may be nil, gets the phase "resolve" when a
// name had to be looked up.
func Resolve(ctx context.Context, host string, near netip.Addr, tr *Trace) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	tr.Phase("resolve")
	if err != nil {
		return netip.Addr{}, because(ctx, err)
	}
	for _, a := range all {
		if a.Unmap().Is4() == near.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	if len(all) == 0 {
		return netip.Addr{}, &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return all[0].Unmap(), nil
}
