package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/match"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// userAgent is how the check introduces itself in access logs.
const userAgent = "ldirectord"

// fetch is one probe under way.
type fetch struct {
	ctx     context.Context
	target  sdk.Target
	o       *options
	tr      *probe.Trace
	request []byte
	in      reader
	notes   []string // for the reason of whatever verdict comes out
	host    string   // of the first URL: virtualhost speaks for it alone
}

// buffers keeps the memory of finished probes for later ones, and bounds that of all that are under way.
type buffers struct {
	pool   sync.Pool
	budget *probe.Budget
}

// largestKept bounds, in bytes, what one buffer in the pool may hold on to.
const largestKept = 128 << 10

func (b *buffers) get() *fetch {
	if f, ok := b.pool.Get().(*fetch); ok {
		return f
	}
	return new(fetch)
}

func (b *buffers) put(f *fetch) {
	keep := fetch{request: f.request[:0]}
	if cap(f.in.buf) <= largestKept {
		keep.in.buf = f.in.buf
	}
	if cap(f.in.body) <= largestKept {
		keep.in.body = f.in.body[:0]
	}
	*f = keep
	b.pool.Put(f)
}

// look runs the check once.
func look(ctx context.Context, t sdk.Target, o *options, shared *buffers) sdk.Verdict {
	f := shared.get()
	f.ctx, f.target, f.o, f.tr = ctx, t, o, probe.NewTrace()
	f.in.ctx, f.in.share = ctx, shared.budget.Share()
	// The first buffers are everybody's, so that a short answer never waits for long ones.
	if had := cap(f.in.buf) + cap(f.in.body); had > firstRead && !f.in.share.Try(had) {
		f.in.buf, f.in.body = nil, nil
	}
	v := f.follow()
	f.annotate(&v)
	v = f.tr.Finish(v)
	f.in.share.Release()
	shared.put(f)
	return v
}

// follow asks for the page, and for those it is redirected to, until one decides.
func (f *fetch) follow() sdk.Verdict {
	u := f.o.Request
	if f.proxied() && !u.whole() {
		return sdk.Down("request is no whole URL such as http://www.example.com/, so there is nothing to ask the proxy for")
	}
	if !u.whole() {
		scheme := "http"
		if f.target.Service == "https" {
			scheme = "https"
		}
		u = u.on(scheme, f.target.Addr)
	}
	f.host = u.host
	for hops := 0; ; hops++ {
		r, v := f.get(u)
		if v.Status != sdk.StatusUp && hops > 0 {
			v.Reason += fmt.Sprintf(" (redirected to %s)", probe.Escape(u.String()))
		}
		if v.Status != sdk.StatusUp || !r.redirects() {
			return v
		}
		if hops == f.o.Redirects {
			return sdk.DownWith(sdk.CodeStatus, "%s after %d redirects, to \"%s\"", r.line, hops, brief([]byte(r.location)))
		}
		next, err := u.follow(r.location)
		if err != nil {
			return sdk.DownWith(sdk.CodeStatus, "%s, but %v", r.line, err)
		}
		f.tr.Note("%s: redirected to %s", r.line, next)
		u = next
	}
}

// redirects says whether the answer leads elsewhere.
func (r response) redirects() bool {
	switch r.status {
	case 301, 302, 303, 307, 308:
		return r.location != ""
	}
	return false
}

// get asks for u. The verdict is Up for a redirect that can be followed, too.
func (f *fetch) get(u location) (response, sdk.Verdict) {
	f.in.reset(nil, nil)
	conn, err := f.connect(u)
	if err != nil {
		if v, ok := errors.AsType[refusal](err); ok {
			return response{}, v.verdict
		}
		return response{}, probe.Judge(err)
	}
	defer conn.Close()
	f.compose(u)
	_, wrong := conn.Write(f.request)
	// A server may answer before it has read the request, and close: look in any case.
	f.in.reset(conn, func() { f.tr.Phase("first byte") })
	r, err := f.in.head()
	if err != nil && wrong != nil && endsAnswer(err) {
		err = fmt.Errorf("send the request: %w", wrong)
	}
	if err != nil {
		return r, f.failed(err)
	}
	if r.redirects() {
		return r, sdk.Up()
	}
	return r, f.decide(&r)
}

// connect makes the connection over which u is asked for: to the real server, to u's own host
// if it is a whole URL, or to the proxy.
func (f *fetch) connect(u location) (net.Conn, error) {
	addr, err := f.address(u)
	if err != nil {
		return nil, err
	}
	t := sdk.Target{Service: f.target.Service, Network: "tcp", Addr: addr}
	dial := func() (net.Conn, error) {
		c, err := probe.Dial(f.ctx, t, f.tr)
		if err != nil {
			return nil, err
		}
		if f.proxied() && u.scheme == "https" {
			return f.tunnel(c, u)
		}
		return c, nil
	}
	if u.scheme != "https" {
		return dial()
	}
	name, _, err := splitAuthority(f.hostHeader(u))
	if err != nil {
		name = ""
	}
	conn, err := f.o.Over(dial, name, addr.Addr(), f.tr)
	if err != nil {
		return nil, err
	}
	if note := probe.ExpiryNote(conn.ConnectionState(), time.Now()); note != "" && !slices.Contains(f.notes, note) {
		f.notes = append(f.notes, note)
	}
	return conn, nil
}

func (f *fetch) proxied() bool { return f.target.Service == "http_proxy" }

// address is where to connect for u.
func (f *fetch) address(u location) (netip.AddrPort, error) {
	if f.proxied() || !f.o.Request.whole() && u.host == f.host && u.portNumber() == f.target.Addr.Port() {
		return f.target.Addr, nil
	}
	a, err := probe.Resolve(f.ctx, u.host, f.target.Addr.Addr(), f.tr)
	return netip.AddrPortFrom(a, u.portNumber()), err
}

// refusal is an error that brings its verdict along.
type refusal struct{ verdict sdk.Verdict }

func (r refusal) Error() string { return r.verdict.Reason }

// tunnel asks the proxy at the other end of c for a connection to u's host (RFC 9110, 9.3.6).
func (f *fetch) tunnel(c net.Conn, u location) (net.Conn, error) {
	to := u.hostPort()
	f.request = fmt.Appendf(f.request[:0], "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n\r\n", to, to, userAgent)
	if _, err := c.Write(f.request); err != nil {
		c.Close()
		return nil, fmt.Errorf("send CONNECT: %w", err)
	}
	f.in.reset(c, func() { f.tr.Phase("tunnel") })
	r, err := f.in.head()
	switch {
	case err != nil:
		c.Close()
		return nil, refusal{f.failed(err)}
	case r.simple:
		c.Close()
		return nil, refusal{f.record(f.notHTTP())}
	case r.status < 200 || r.status > 299:
		c.Close()
		return nil, refusal{f.record(sdk.DownWith(sdk.CodeStatus, "the proxy answers CONNECT with %s", r.line))}
	}
	return c, nil
}

// compose writes the request for u.
func (f *fetch) compose(u location) {
	b := append(f.request[:0], f.o.Method...)
	b = append(b, ' ')
	if f.proxied() && u.scheme == "http" {
		b = append(b, u.String()...)
	} else {
		b = append(b, u.path...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, f.hostHeader(u)...)
	b = append(b, "\r\nUser-Agent: "+userAgent+"\r\nConnection: close\r\n"...)
	if u.userinfo != "" {
		credentials := basic(u.userinfo)
		f.tr.Secret(credentials)
		b = append(b, "Authorization: Basic "...)
		b = append(b, credentials...)
		b = append(b, "\r\n"...)
	}
	f.request = append(b, "\r\n"...)
}

// hostHeader is virtualhost, which stands for the real server alone, or the URL's host.
func (f *fetch) hostHeader(u location) string {
	if f.o.VirtualHost != "" && u.host == f.host && !f.proxied() {
		return f.o.VirtualHost
	}
	return u.authority()
}

// basic encodes a URL's "name:password" as RFC 7617 has it.
func basic(userinfo string) string {
	name, password, _ := strings.Cut(userinfo, ":")
	return base64.StdEncoding.EncodeToString([]byte(unescape(name) + ":" + unescape(password)))
}

func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// decide judges an answer that is not a redirect.
func (f *fetch) decide(r *response) sdk.Verdict {
	if r.status < 200 || r.status > 299 {
		return f.record(sdk.DownWith(sdk.CodeStatus, "%s", r.line))
	}
	matching := f.o.Receive.Pattern != nil
	if r.simple && !matching && f.in.foreign() {
		return f.record(f.notHTTP())
	}
	keep := excerpt
	if matching {
		keep = f.o.MaxBody
	}
	if f.o.Method != "HEAD" && r.status != 204 {
		if err := f.in.readBody(r, f.o.MaxBody, keep); err != nil {
			return f.failed(err)
		}
	}
	if r.note != "" {
		f.notes = append(f.notes, r.note)
	}
	if !matching {
		return sdk.Up()
	}
	return f.search(r)
}

// search looks for receive in the body.
func (f *fetch) search(r *response) sdk.Verdict {
	found, err := f.o.Receive.Match(f.ctx, f.in.body)
	switch {
	case errors.Is(err, match.ErrTooComplex):
		return f.record(sdk.DownWith(sdk.CodeMatch, "receive: %v", err))
	case err != nil && f.ctx.Err() == nil && !errors.Is(err, match.ErrTimeout):
		return f.record(sdk.Unknown("receive: %v", err))
	case err != nil:
		v := probe.Judge(err)
		if v.Code == sdk.CodeTimeout {
			v.Reason = "receive: pattern not decided before the deadline"
		}
		return f.record(v)
	case found:
		return sdk.Up()
	case r.simple && f.in.foreign():
		return f.record(f.notHTTP())
	case f.in.total == 0:
		return f.record(sdk.DownWith(sdk.CodeMatch, "%s, but receive does not match the empty body", r.line))
	}
	return f.record(sdk.DownWith(sdk.CodeMatch, "%s, but receive does not match the body of %d bytes", r.line, f.in.total))
}

func (f *fetch) notHTTP() sdk.Verdict {
	return sdk.DownWith(sdk.CodeProtocol, "%v: the answer begins with \"%s\"", errNotHTTP, f.beginning())
}

// beginning is the first line that came, escaped and short.
func (f *fetch) beginning() string {
	line, _, _ := bytes.Cut(f.in.buf[:f.in.w], []byte("\n"))
	return brief(bytes.TrimSuffix(line, []byte("\r")))
}

// failed judges an error on the way to an answer, and says how far it got.
func (f *fetch) failed(err error) sdk.Verdict {
	v := probe.Judge(err)
	switch {
	case v.Code != sdk.CodeTimeout:
	case f.in.w == 0:
		v.Reason = "no answer before the deadline"
	case f.in.base == 0:
		v.Reason += fmt.Sprintf(", answer begins with \"%s\"", f.beginning())
	default:
		v.Reason += fmt.Sprintf(", %d bytes of the body came", f.in.total)
	}
	return f.record(v)
}

// record keeps the exchange for the transcript of a verdict that is not Up.
func (f *fetch) record(v sdk.Verdict) sdk.Verdict {
	f.tr.Sent(f.request)
	head := f.in.buf[:f.in.w]
	if f.in.base > 0 {
		head = f.in.buf[:f.in.base]
	}
	f.tr.Received(head)
	if len(f.in.body) > 0 {
		f.tr.Received(f.in.body)
	}
	return v
}

// annotate puts the notes of the probe behind the reason of its verdict.
func (f *fetch) annotate(v *sdk.Verdict) {
	for _, note := range f.notes {
		if v.Reason != "" {
			v.Reason += "; "
		}
		v.Reason += note
	}
}
