package ld_test

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/sdk"
)

// flood is a server that never stops talking.
func flood(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				c.Write([]byte("HTTP/1.0 200 OK\r\n\r\n"))
				page := make([]byte, 64<<10)
				for _, err := c.Write(page); err == nil; _, err = c.Write(page) {
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return netip.MustParseAddrPort(l.Addr().String())
}

// Many scripts that take in all that servers send end at the limit of all scripts' memory.
func TestFloods(t *testing.T) {
	addr := flood(t)
	for name, script := range map[string]string{
		"recv":   `local all = {} for i = 1, 30 do local c = ld.tcp(ld.host, ld.port) all[i] = {c, (c:recv("*a", 2^23))} end`,
		"expect": `local all = {} for i = 1, 30 do local c = ld.tcp(ld.host, ld.port) all[i] = c pcall(c.expect, c, "never", 2^23) end`,
		"http":   `local all = {} for i = 1, 30 do all[i] = ld.http{url = "/", max = 2^23} end`,
	} {
		t.Run(name, func(t *testing.T) {
			check := lua.New(lua.Options{})
			heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			read := func() uint64 { metrics.Read(heap); return heap[0].Value.Uint64() }
			runtime.GC()
			before, most := read(), uint64(0)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					v := check.Probe(ctx, sdk.Target{Network: "tcp", Addr: addr}, sdk.Options{"lua": script})
					if v.Status == sdk.StatusUp {
						t.Errorf("%+v", v)
					}
				})
			}
			over := make(chan struct{})
			go func() { all.Wait(); close(over) }()
			for ended := false; !ended; {
				select {
				case <-over:
					ended = true
				case <-time.After(5 * time.Millisecond):
				}
				most = max(most, read())
			}
			t.Logf("the heap grew by %d MiB", (most-before)>>20)
			if most > before+(128<<20) {
				t.Errorf("the heap grew by %d MiB", (most-before)>>20)
			}
		})
	}
}
