package main

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

const (
	maxRedirects = 3 // a listener sends clients to a dispatcher or to another node
	farewell     = 200 * time.Millisecond
)

// dialer makes the connections of one probe for the client library, which all end with ctx, and
// remembers what became of them. It is for one goroutine.
type dialer struct {
	ctx    context.Context
	target sdk.Target
	tr     *probe.Trace
	wires  []*wire
	err    error // of the last attempt
}

// DialContext connects to the target and, after that, to where a listener redirects to. It lives
// as long as the probe, whatever the context that it is given.
func (d *dialer) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	var conn net.Conn
	conn, d.err = d.dial(address)
	return conn, d.err
}

func (d *dialer) dial(address string) (net.Conn, error) {
	t := d.target
	if len(d.wires) > 0 {
		if len(d.wires) > maxRedirects {
			return nil, probe.Failed(sdk.CodeProtocol, "more than %d redirects", maxRedirects)
		}
		d.tr.Note("redirected to %s", address)
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, probe.Failed(sdk.CodeProtocol, "redirected to \"%s\"", probe.Brief(address))
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, probe.Failed(sdk.CodeProtocol, "redirected to \"%s\"", probe.Brief(address))
		}
		addr, err := probe.Resolve(d.ctx, host, t.Addr.Addr(), d.tr)
		if err != nil {
			return nil, err
		}
		t.Addr = netip.AddrPortFrom(addr, uint16(number))
	}
	conn, err := probe.Dial(d.ctx, t, d.tr)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, tr: d.tr}
	d.wires = append(d.wires, w)
	return w, nil
}

// last is the latest connection, or nil.
func (d *dialer) last() *wire {
	if len(d.wires) == 0 {
		return nil
	}
	return d.wires[len(d.wires)-1]
}

// heard says whether a server said anything.
func (d *dialer) heard() bool {
	w := d.last()
	return w != nil && (len(d.wires) > 1 || w.received > 0)
}

// failure is what ended the latest connection, or kept it from coming about; nil: nothing.
func (d *dialer) failure() error {
	if w := d.last(); d.err == nil && w != nil {
		return w.err
	}
	return d.err
}

// said is the data of the server's last answer.
func (d *dialer) said() string {
	if w := d.last(); w != nil {
		return string(w.answer)
	}
	return ""
}

// hurry leaves a moment for taking leave.
func (d *dialer) hurry() {
	if w := d.last(); w != nil {
		_ = w.SetDeadline(time.Now().Add(farewell))
	}
}

// Close closes all connections.
func (d *dialer) Close() {
	for _, w := range d.wires {
		_ = w.Conn.Close()
	}
}
