package sdktest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
)

// HTTP serves h over plain HTTP.
func HTTP(h http.Handler) Server { return web(h, false) }

// HTTPS serves h over TLS with a certificate that nobody trusts.
func HTTPS(h http.Handler) Server { return web(h, true) }

func web(h http.Handler, secure bool) Server {
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			return netip.AddrPort{}, nil, fmt.Errorf("loopback server: %w", err)
		}
		s := httptest.NewUnstartedServer(h)
		_ = s.Listener.Close() // its own, over IPv4 only
		s.Listener = l
		if secure {
			s.StartTLS()
		} else {
			s.Start()
		}
		return netip.MustParseAddrPort(l.Addr().String()), s.Close, nil
	}
}
