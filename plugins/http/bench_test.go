package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// benchServer answers every connection alike, as cheaply as Go can.
func benchServer(b *testing.B, config *tls.Config) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(buf)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nOK\n")
			c.Close()
		}
	}()
	return l.Addr().String()
}

// processCPU is the user and system time that this process has used.
func processCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure reports the processor time of each round beside the usual figures: a probe mostly waits.
func measure(b *testing.B, round func(context.Context)) {
	b.ReportAllocs()
	begun := processCPU()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		round(ctx)
		cancel()
	}
	b.ReportMetric(float64(processCPU()-begun)/float64(b.N), "cpu-ns/op")
}

// BenchmarkProbe compares the check's engine with net/http's client; the server's work is
// in both figures.
func BenchmarkProbe(b *testing.B) {
	for _, service := range []string{"http", "https"} {
		var config *tls.Config
		if service == "https" {
			config = &tls.Config{Certificates: []tls.Certificate{certificate(b, time.Hour, true)}}
		}
		addr := benchServer(b, config)
		b.Run(service+"/ours", func(b *testing.B) { ours(b, service, addr) })
		b.Run(service+"/net-http", func(b *testing.B) { theirs(b, service+"://"+addr+"/") })
	}
}

func ours(b *testing.B, service, addr string) {
	prepared, err := newCheck().Checker().(sdk.Preparer).Prepare(service, sdk.Options{"receive": "OK"})
	if err != nil {
		b.Fatal(err)
	}
	target := sdk.Target{Service: service, Addr: addrPort(b, addr), Network: "tcp"}
	measure(b, func(ctx context.Context) {
		if v := prepared(ctx, target); v.Status != sdk.StatusUp {
			b.Fatalf("%+v", v)
		}
	})
}

func theirs(b *testing.B, url string) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	measure(b, func(ctx context.Context) {
		request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	})
}

func addrPort(b *testing.B, addr string) netip.AddrPort {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		b.Fatal(err)
	}
	return ap
}
