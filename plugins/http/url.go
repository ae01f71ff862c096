package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// location is where to look: what `request` says, or where a redirect leads. It is read more
// leniently than RFC 3986 demands, since servers and configurations are.
type location struct {
	scheme   string // "http" or "https"; empty: a path on the real server
	userinfo string // as written, "name" or "name:password"; may be empty
	host     string // a name or an address, without brackets; may carry a zone
	port     uint16 // 0: the scheme's
	path     string // with the query; begins with "/"; fit for a request line
}

// UnmarshalText reads a path, with or without a leading slash, or a whole URL.
func (l *location) UnmarshalText(text []byte) error {
	parsed, err := parseLocation(string(text))
	*l = parsed
	return err
}

func parseLocation(s string) (location, error) {
	scheme, rest, whole := cutScheme(s)
	if !whole {
		return location{path: pathOf(s)}, nil
	}
	if scheme != "http" && scheme != "https" {
		return location{}, fmt.Errorf("the scheme of %q is neither http nor https", s)
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	l := location{scheme: scheme, path: pathOf(rest[end:])}
	authority := rest[:end]
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		l.userinfo, authority = authority[:i], authority[i+1:]
	}
	var err error
	if l.host, l.port, err = splitAuthority(authority); err != nil {
		return location{}, fmt.Errorf("%w in %q", err, s)
	}
	return l, nil
}

// cutScheme splits "scheme://rest"; whole says whether s has that form.
func cutScheme(s string) (scheme, rest string, whole bool) {
	scheme, rest, whole = strings.Cut(s, "://")
	notScheme := func(r rune) bool {
		return !('a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("+-.", r))
	}
	if !whole || scheme == "" || strings.IndexFunc(scheme, notScheme) >= 0 {
		return "", s, false
	}
	return strings.ToLower(scheme), rest, true
}

func splitAuthority(s string) (host string, port uint16, err error) {
	host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && i > strings.LastIndexByte(s, ']') {
		host = s[:i]
		if digits := s[i+1:]; digits != "" {
			n, err := strconv.ParseUint(digits, 10, 16)
			if err != nil || n == 0 {
				return "", 0, fmt.Errorf("%q is no port", digits)
			}
			port = uint16(n)
		}
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
		if _, err := netip.ParseAddr(host); err != nil {
			return "", 0, fmt.Errorf("%q is no address", host)
		}
		return host, port, nil
	}
	if host == "" {
		return "", 0, errors.New("no host")
	}
	bad := func(r rune) bool { return r <= ' ' || strings.ContainsRune("\x7f[]:<>\"\\^`{|}", r) }
	if strings.IndexFunc(host, bad) >= 0 {
		return "", 0, fmt.Errorf("%q is no host", host)
	}
	return host, port, nil
}

// pathOf makes what follows the authority fit for a request line: a slash in front, the fragment
// gone, bytes escaped that a request line must not carry.
func pathOf(s string) string {
	s, _, _ = strings.Cut(s, "#")
	if !strings.HasPrefix(s, "/") {
		s = "/" + s
	}
	escaped := func(c byte) bool { return c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 }
	n := 0
	for i := range len(s) {
		if escaped(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if escaped(s[i]) {
			b = fmt.Appendf(b, "%%%02X", s[i])
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// whole says whether l names a host of its own.
func (l location) whole() bool { return l.scheme != "" }

// on completes a path with the real server it is on.
func (l location) on(scheme string, addr netip.AddrPort) location {
	l.scheme, l.host, l.port = scheme, addr.Addr().String(), addr.Port()
	return l
}

// portNumber is the port to connect to.
func (l location) portNumber() uint16 {
	switch {
	case l.port != 0:
		return l.port
	case l.scheme == "https":
		return 443
	default:
		return 80
	}
}

// authority is the host and, when it is not the scheme's own, the port, as the Host header
// has them (RFC 9110, 7.2).
func (l location) authority() string {
	host, _, _ := strings.Cut(l.host, "%")
	if strings.IndexByte(host, ':') >= 0 {
		host = "[" + host + "]"
	}
	if l.port == 0 || l.port == (location{scheme: l.scheme}).portNumber() {
		return host
	}
	return host + ":" + strconv.Itoa(int(l.port))
}

// hostPort is the host with the port, as CONNECT names its target.
func (l location) hostPort() string {
	host, _, _ := strings.Cut(l.host, "%")
	return net.JoinHostPort(host, strconv.Itoa(int(l.portNumber())))
}

// String is the URL without its userinfo.
func (l location) String() string { return l.scheme + "://" + l.authority() + l.path }

// follow is where the Location header field's value leads from l (RFC 3986, 5.2).
func (l location) follow(to string) (location, error) {
	to, _, _ = strings.Cut(to, "#")
	_, _, whole := cutScheme(to)
	switch {
	case whole:
		return parseLocation(to)
	case strings.HasPrefix(to, "//"):
		return parseLocation(l.scheme + ":" + to)
	}
	path, _, _ := strings.Cut(l.path, "?")
	switch {
	case to == "":
		to = l.path
	case to[0] == '?':
		to = path + to
	case to[0] != '/':
		to = path[:strings.LastIndexByte(path, '/')+1] + to
	}
	path, query, asked := strings.Cut(to, "?")
	l.path = removeDots(path)
	if asked {
		l.path += "?" + query
	}
	l.path = pathOf(l.path)
	return l, nil
}

// removeDots resolves "." and ".." in a path that begins with a slash (RFC 3986, 5.2.4).
func removeDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	var out []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}
