package ld

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// maxHead bounds the head of an answer, in bytes.
const maxHead = 64 << 10

// maxRedirects is how many a script may ask to follow.
const maxRedirects = 10

// request is what a script asks of ld.http.
type request struct {
	dialing
	method    string
	url       *url.URL
	headers   map[string]string
	body      string
	hostname  string // the Host header; empty: the URL's
	redirects int
	max       int // bytes of the body
}

// response is what came, as recordings have it beside the body.
type response struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"` // names in lower case
	URL     string            `json:"url"`
	Cut     bool              `json:"cut"` // the body was longer
	Body    string            `json:"-"`
}

// http is ld.http{url = ..., ...}.
func (a *api) http(L *lua.LState) int {
	if text, ok := L.Get(1).(lua.LString); ok { // ld.http(url)
		t := L.NewTable()
		t.RawSetString("url", text)
		L.Replace(1, t)
	}
	q := a.request(L)
	r := a.run()
	results, err := r.tape.do("http", q.args(), func() ([]string, error) {
		answer, err := r.fetch(q)
		if err != nil {
			return nil, err
		}
		head, err := json.Marshal(answer)
		return []string{string(head), answer.Body}, err
	})
	a.check(L, err)
	var answer response
	if len(results) != 2 {
		a.check(L, errors.New("recorded answer: two parts expected"))
	}
	a.check(L, json.Unmarshal([]byte(results[0]), &answer))
	a.state.Charge(L, len(results[1]))
	t, headers := L.NewTable(), L.NewTable()
	for name, value := range answer.Headers {
		headers.RawSetString(name, lua.LString(value))
	}
	t.RawSetString("status", lua.LNumber(answer.Status))
	t.RawSetString("headers", headers)
	t.RawSetString("body", lua.LString(results[1]))
	t.RawSetString("cut", lua.LBool(answer.Cut))
	t.RawSetString("url", lua.LString(answer.URL))
	L.Push(t)
	return 1
}

// request reads the argument of ld.http.
func (a *api) request(L *lua.LState) *request {
	L.CheckTable(1)
	o := newSettings(L, 1)
	q := &request{dialing: dialing{network: "tcp"}, method: cmp.Or(o.text("method"), http.MethodGet), headers: map[string]string{}}
	q.body, q.hostname = o.text("body"), o.text("host")
	q.redirects, q.max = o.whole("redirects", 0, 0, maxRedirects), o.whole("max", usualMax, 1, maxAnswer)
	q.source, q.timeout = o.text("source"), o.seconds("timeout")
	q.secure = o.flag("tls")
	o.secured(&q.dialing)
	switch headers := o.get("headers").(type) {
	case *lua.LNilType:
	case *lua.LTable:
		headers.ForEach(func(k, v lua.LValue) {
			name, value := lua.LVAsString(k), lua.LVAsString(v)
			if name == "" || strings.ContainsAny(name, " \t:\r\n\x00") || strings.ContainsAny(value, "\r\n\x00") {
				L.ArgError(1, "headers: a name without blanks and colons, and values without line ends expected")
			}
			q.headers[name] = value
		})
	default:
		o.wrong("headers", "table", headers)
	}
	text := o.text("url")
	o.done()
	var err error
	if q.url, err = a.absolute(text, q.secure); err != nil {
		L.ArgError(1, err.Error())
	}
	return q
}

// absolute reads a URL; a path is one of the real server.
func (a *api) absolute(text string, secure bool) (*url.URL, error) {
	if strings.HasPrefix(text, "/") {
		scheme := "http://"
		if secure {
			scheme = "https://"
		}
		text = scheme + a.state.Call.Target.Addr.String() + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("url: " + err.Error())
	}
	return u, visitable(u)
}

func visitable(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("url \"%s\": http://, https:// or a path expected", probe.Brief(u.Redacted()))
	}
	return nil
}

// args are the words of the exchange.
func (q *request) args() []string {
	args := []string{q.method, q.url.String()}
	for _, name := range slices.Sorted(maps.Keys(q.headers)) {
		args = append(args, name+": "+q.headers[name])
	}
	for _, pair := range [][2]string{{"host", q.hostname}, {"sni", q.sni}, {"body", q.body}} {
		if pair[1] != "" {
			args = append(args, pair[0]+"="+pair[1])
		}
	}
	return args
}

// fetch asks, and follows redirects.
func (r *run) fetch(q *request) (*response, error) {
	here := *q
	for hops := 0; ; hops++ {
		answer, err := r.once(&here)
		if err != nil {
			return nil, err
		}
		location := answer.Headers["location"]
		if hops == q.redirects || !redirects(answer.Status) || location == "" {
			return answer, nil
		}
		next, err := here.url.Parse(location)
		if err == nil {
			err = visitable(next)
		}
		if err != nil {
			return nil, failed(sdk.CodeStatus, "status %d leads to \"%s\", which is no URL", answer.Status, probe.Brief(location))
		}
		here.follow(next, answer.Status)
	}
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// follow turns q into the request that a redirect leads to (RFC 9110, 15.4).
func (q *request) follow(next *url.URL, status int) {
	if next.Host != q.url.Host {
		q.hostname, q.sni = "", ""
		q.headers = maps.Clone(q.headers)
		for name := range q.headers {
			if strings.EqualFold(name, "authorization") || strings.EqualFold(name, "cookie") {
				delete(q.headers, name)
			}
		}
	}
	if status <= http.StatusSeeOther && q.method != http.MethodHead {
		q.method, q.body = http.MethodGet, ""
	}
	q.url = next
}

// once asks for one page over a connection of its own.
func (r *run) once(q *request) (*response, error) {
	d := q.dialing
	d.host, d.secure = q.url.Hostname(), q.url.Scheme == "https"
	d.port = map[bool]int{false: 80, true: 443}[d.secure]
	if text := q.url.Port(); text != "" {
		port, err := strconv.Atoi(text)
		if err != nil || port < 1 || port > 65535 {
			return nil, limited("url: no port %s", text)
		}
		d.port = port
	}
	if d.sni == "" && q.hostname != "" {
		d.sni = hostOf(q.hostname)
	}
	live := &run{call: r.call, streams: r.streams, open: r.open} // the exchange is recorded as a whole
	s, err := live.connect(d)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.hurry()
	return s.ask(q)
}

// hostOf is a Host header without its port.
func hostOf(text string) string {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.String()
	}
	if host, _, err := net.SplitHostPort(text); err == nil {
		return host
	}
	return text
}

// ask sends a request and reads the answer.
func (s *stream) ask(q *request) (*response, error) {
	out, err := http.NewRequest(q.method, q.url.String(), strings.NewReader(q.body))
	if err != nil {
		return nil, limited("%v", err)
	}
	if q.body == "" {
		out.Body, out.ContentLength = nil, 0
	}
	out.Header.Set("User-Agent", "ldirectord")
	for name, value := range q.headers {
		out.Header.Set(name, value)
	}
	out.Host, out.Close = q.hostname, true
	tr := s.run.call.Trace
	tr.Sent([]byte(q.method + " " + q.url.RequestURI()))
	unsent := out.Write(s.conn)
	// A server may answer before it has read the request, and close: look in any case.
	bounded := &io.LimitedReader{R: s.conn, N: maxHead}
	in := bufio.NewReader(bounded)
	answer, err := readHead(in, out)
	switch {
	case err != nil && bounded.N <= 0:
		return nil, failed(sdk.CodeProtocol, "answer's head: longer than %d bytes", maxHead)
	case err != nil && unsent != nil:
		return nil, unsent
	case err != nil:
		return nil, err
	}
	defer answer.Body.Close()
	tr.Phase("first byte")
	tr.Received([]byte(answer.Proto + " " + answer.Status))
	bounded.N = int64(q.max) + maxHead
	body, cut, err := probe.ReadAll(&charged{answer.Body, s.run}, q.max)
	if err != nil {
		return nil, err
	}
	tr.Received(body)
	return &response{Status: answer.StatusCode, Headers: flat(answer.Header), URL: q.url.Redacted(), Cut: cut, Body: string(body)}, nil
}

// readHead passes what comes ahead of the answer (RFC 9110, 15.2).
func readHead(in *bufio.Reader, q *http.Request) (*http.Response, error) {
	for {
		answer, err := http.ReadResponse(in, q)
		if err != nil || answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols {
			return answer, err
		}
	}
}

// flat has one value for each name, in lower case.
func flat(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		out[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return out
}

// charged asks the memory budget for what is read.
type charged struct {
	io.Reader
	run *run
}

func (c *charged) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if over := c.run.charge(n); over != nil {
		return 0, over
	}
	return n, err
}
