package ipvs

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/lvs/lvstest"
)

var (
	web    = lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("192.0.2.1:80"))
	web6   = lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort("[2001:db8::1]:53"))
	mark   = lvs.ServiceMark(7, lvs.IPv4)
	at     = lvs.ServerKey(netip.MustParseAddrPort("198.51.100.7:8080"))
	at6    = lvs.ServerKey(netip.MustParseAddrPort("[2001:db8::7]:0"))
	rr     = lvs.VirtualService{Scheduler: "rr"}
	plain1 = lvs.RealServer{Method: lvs.Masq, Weight: 1}
)

func TestSuiteOnFakeKernel(t *testing.T) {
	for name, few := range map[string]int{"as used": fewEdits, "pipelined": -1} {
		t.Run(name, func(t *testing.T) {
			lvstest.Run(t, lvstest.Suite{Open: func(t *testing.T) lvs.Controller {
				_, c := newFake(t, time.Minute)
				c.few = few
				return c
			}})
		})
	}
}

// TestEncode compares attributes with bytes written down by hand from linux/ip_vs.h, for a
// little-endian machine.
func TestEncode(t *testing.T) {
	if binaryIsBig() {
		t.Skip("the expected bytes are little-endian")
	}
	const (
		webKey  = "0600 0100 0200 0000 | 0600 0200 0600 0000 | 0800 0300 c0000201 | 0600 0400 0050 0000"
		markKey = "0600 0100 0200 0000 | 0800 0500 07000000"
		web6Key = "0600 0100 0a00 0000 | 0600 0200 1100 0000 | 1400 0300 20010db8000000000000000000000001 | 0600 0400 0035 0000"
		atKey   = "0600 0b00 0200 0000 | 0800 0100 c6336407 | 0600 0200 1f90 0000"
		at6Key  = "0600 0b00 0a00 0000 | 1400 0100 20010db8000000000000000000000007 | 0600 0200 0000 0000"
	)
	for _, c := range []struct {
		name string
		cmd  uint8
		edit lvs.Edit
		want []string // the nestings: service, then server
	}{
		{"service", cmdNewService, lvs.Edit{Key: web, Service: rr},
			[]string{webKey + "| 0700 0600 72720000 | 0c00 0700 00000000 ffffffff | 0800 0800 00000000 | 0800 0900 ffffffff"}},
		{"persistent /24, ops, flags, engine", cmdSetService, lvs.Edit{Key: mark, Service: lvs.VirtualService{
			Scheduler: "sh", Flags: lvs.SchedFlag1 | lvs.SchedFlag3, Persistence: 300, PrefixLen: 24, OnePacket: true, PEName: "sip"}},
			[]string{markKey + "| 0700 0600 73680000 | 0800 0b00 73697000 | 0c00 0700 2d000000 ffffffff | 0800 0800 2c010000 | 0800 0900 ffffff00"}},
		{"persistent /0", cmdSetService, lvs.Edit{Key: mark, Service: lvs.VirtualService{Scheduler: "rr", Persistence: 1}},
			[]string{markKey + "| 0700 0600 72720000 | 0c00 0700 01000000 ffffffff | 0800 0800 01000000 | 0800 0900 00000000"}},
		{"IPv6", cmdNewService, lvs.Edit{Key: web6, Service: rr},
			[]string{web6Key + "| 0700 0600 72720000 | 0c00 0700 00000000 ffffffff | 0800 0800 00000000 | 0800 0900 80000000"}},
		{"IPv6 /64", cmdNewService, lvs.Edit{Key: web6, Service: lvs.VirtualService{Scheduler: "rr", Persistence: 1, PrefixLen: 64}},
			[]string{web6Key + "| 0700 0600 72720000 | 0c00 0700 01000000 ffffffff | 0800 0800 01000000 | 0800 0900 40000000"}},
		{"delete service", cmdDelService, lvs.Edit{Key: web}, []string{webKey}},
		{"masq", cmdNewDest, lvs.Edit{Key: web, At: at, Server: lvs.RealServer{Method: lvs.Masq, Weight: 70000, Upper: 10, Lower: 5}},
			[]string{webKey, atKey + "| 0800 0300 00000000 | 0800 0400 70110100 | 0800 0500 0a000000 | 0800 0600 05000000"}},
		{"mixed ipip", cmdSetDest, lvs.Edit{Key: web, At: at6, Server: lvs.RealServer{Method: lvs.IPIP}},
			[]string{webKey, at6Key + "| 0800 0300 02000000 | 0800 0400 00000000 | 0800 0500 00000000 | 0800 0600 00000000"}},
		{"gate", cmdNewDest, lvs.Edit{Key: mark, At: at, Server: lvs.RealServer{Weight: 1}},
			[]string{markKey, atKey + "| 0800 0300 03000000 | 0800 0400 01000000 | 0800 0500 00000000 | 0800 0600 00000000"}},
		{"delete server", cmdDelDest, lvs.Edit{Key: web, At: at6}, []string{webKey, at6Key}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := []byte{c.cmd, 1, 0, 0}
			for i, attrs := range c.want {
				b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(attrs))
				if err != nil {
					t.Fatal(err)
				}
				want = appendAttr(want, uint16(i+1), b)
			}
			if got := encodeEdit(c.cmd, c.edit); !slices.Equal(got, want) {
				t.Errorf("got\n%x\nwant\n%x", got, want)
			}
		})
	}
}

func binaryIsBig() bool { return appendPort(nil, 1, 1)[5] == appendU16(nil, 1, 1)[5] }

func TestDecodeCounters(t *testing.T) {
	stats := func(b []byte) []byte {
		for i := uint16(1); i <= 3; i++ {
			b = appendU32(b, i, uint32(i))
		}
		return appendAttr(appendAttr(b, statInBytes, []byte{4, 0, 0, 0, 0, 0, 0, 0}), statOutBytes, []byte{5, 0, 0, 0, 0, 0, 0, 0})
	}
	stats64 := func(b []byte) []byte {
		for i := uint16(1); i <= 5; i++ {
			b = appendAttr(b, i, []byte{byte(i), 0, 0, 0, 1, 0, 0, 0})
		}
		return b
	}
	live := lvs.Counters{Active: 7, Inactive: 8, Persistent: 9}
	old, wide := live, live
	old.Connections, old.PacketsIn, old.PacketsOut, old.BytesIn, old.BytesOut = 1, 2, 3, 4, 5
	wide.Connections, wide.PacketsIn, wide.PacketsOut, wide.BytesIn, wide.BytesOut = 1+1<<32, 2+1<<32, 3+1<<32, 4+1<<32, 5+1<<32
	for name, c := range map[string]struct {
		fill func([]byte) []byte
		want lvs.Counters
	}{
		"none":   {func(b []byte) []byte { return b }, live},
		"32 bit": {func(b []byte) []byte { return nest(b, destStats, stats) }, old},
		"64 bit": {func(b []byte) []byte { return nest(nest(b, destStats, stats), destStats64, stats64) }, wide},
	} {
		t.Run(name, func(t *testing.T) {
			payload := nest(command(cmdNewDest), attrDest, func(b []byte) []byte {
				b = appendServer(appendServerKey(b, at), plain1)
				b = appendU32(appendU32(appendU32(b, destActive, 7), destInactive, 8), destPersistent, 9)
				return c.fill(b)
			})
			_, _, got, err := decodeServer(payload, lvs.IPv4)
			if err != nil || got != c.want {
				t.Errorf("got %+v %v, want %+v", got, err, c.want)
			}
		})
	}
}

// What the kernel marks, hides and leaves out.
func TestDecode(t *testing.T) {
	hashed := nest(command(cmdNewService), attrService, func(b []byte) []byte {
		b = appendService(appendServiceKey(b, mark), lvs.IPv4, lvs.VirtualService{Scheduler: "rr", OnePacket: true})
		b = appendAttr(b, svcFlags, []byte{0x2 | 0x4 | 0x40, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
		return appendU32(b, svcTimeout, 300) // of no meaning without the flag
	})
	k, v, known, err := decodeService(hashed)
	if want := (lvs.VirtualService{Scheduler: "rr", OnePacket: true, PrefixLen: 32}); k != mark || v != want || !known || err != nil {
		t.Errorf("hashed: %v %+v %t %v", k, v, known, err)
	}
	sctp := nest(command(cmdNewService), attrService, func(b []byte) []byte {
		return appendU16(appendServiceKey(b, web), svcProtocol, syscall.IPPROTO_SCTP)
	})
	if _, _, known, err := decodeService(sctp); known || err != nil {
		t.Errorf("sctp: known %t, %v", known, err)
	}
	old := nest(command(cmdNewDest), attrDest, func(b []byte) []byte { // no family
		b = appendAttr(b, destAddr, padded(at.Addr().AsSlice()))
		return appendServer(appendPort(b, destPort, 8080), plain1)
	})
	if got, r, _, err := decodeServer(old, lvs.IPv4); got != at || r != plain1 || err != nil {
		t.Errorf("without a family: %v %v %v", got, r, err)
	}
}

func TestParseFields(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"empty":               {nil, nil},
		"one without padding": {[]byte{5, 0, 1, 0, 9}, nil},
		"half a header":       {[]byte{4, 0}, errMalformed},
		"too short":           {[]byte{3, 0, 1, 0}, errMalformed},
		"too long":            {append(make([]byte, 0, 200), 9, 0, 1, 0, 9), errMalformed},
		"padding, then half":  {[]byte{5, 0, 1, 0, 9, 0, 0, 0, 4}, errMalformed},
	} {
		if _, err := parseFields(c.in); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	short, err := parseFields(appendAttr(nil, svcMark, []byte{1, 2}))
	if err != nil || short.u32(svcMark) != 0 || !errors.Is(short.err, errMalformed) {
		t.Errorf("a short value: %v %v", err, short.err)
	}
}

func TestSettle(t *testing.T) {
	edit := func(op lvs.Op) lvs.Edit { return lvs.Edit{Op: op, Key: web, At: at, Service: rr} }
	for _, c := range []struct {
		op    lvs.Op
		errno syscall.Errno
		want  error
	}{
		{lvs.EnsureServer, 0, nil},
		{lvs.UpdateServer, syscall.ENOENT, nil},
		{lvs.UpdateServer, syscall.ESRCH, nil},
		{lvs.RemoveServer, syscall.ENOENT, nil},
		{lvs.RemoveServer, syscall.ESRCH, nil},
		{lvs.RemoveService, syscall.ESRCH, nil},
		{lvs.EnsureServer, syscall.ESRCH, lvs.ErrNoService},
		{lvs.EnsureService, syscall.ENOENT, lvs.ErrScheduler},
		{lvs.EnsureServer, syscall.ERANGE, lvs.ErrRange},
		{lvs.RemoveServer, syscall.EPERM, ErrNotPermitted},
		{lvs.EnsureServer, syscall.EINVAL, syscall.EINVAL},
		{lvs.EnsureService, syscall.EEXIST, syscall.EEXIST},
		{lvs.RemoveService, syscall.ENOMEM, syscall.ENOMEM},
	} {
		err := settle(edit(c.op), c.errno)
		if (c.want == nil) != (err == nil) || !errors.Is(err, c.want) || err != nil && !errors.Is(err, c.errno) {
			t.Errorf("%s, %v: got %v, want %v", edit(c.op), c.errno, err, c.want)
		}
	}
	engine := edit(lvs.EnsureService)
	engine.Service.PEName = "sip"
	if err := settle(engine, syscall.ENOENT); !strings.Contains(err.Error(), `persistence engine "sip"`) {
		t.Errorf("got %v", err)
	}
}

// servers returns edits for n servers of web, with the service first.
func servers(n int) []lvs.Edit {
	edits := []lvs.Edit{{Op: lvs.EnsureService, Key: web, Service: rr}}
	for i := range n {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)
		edits = append(edits, lvs.Edit{Op: lvs.EnsureServer, Key: web, At: lvs.ServerKey(a), Server: plain1})
	}
	return edits
}

// A long plan goes in few writes, in its order.
func TestPipelineWrites(t *testing.T) {
	k, c := newFake(t, time.Minute)
	if err := c.Apply(t.Context(), servers(200)); err != nil {
		t.Fatal(err)
	}
	// The family, the information, the service, the servers.
	if want := []int{1, 1, 1, 64, 64, 64, 8}; !slices.Equal(k.writes, want) {
		t.Errorf("messages in each write: %v, want %v", k.writes, want)
	}
	k.writes = nil
	edits := servers(70)
	edits = append(edits, lvs.Edit{Op: lvs.RemoveServer, Key: web, At: edits[1].At})
	if err := c.Apply(t.Context(), edits); err != nil {
		t.Fatal(err)
	}
	// Everything exists: each is tried as new, then changed, and only then the removal comes.
	if want := []int{1, 1, 64, 6, 64, 6, 1}; !slices.Equal(k.writes, want) {
		t.Errorf("messages in each write: %v, want %v", k.writes, want)
	}
}

// An entry that somebody removes between "add" and "change" is added.
func TestRetryOfVanishingEntry(t *testing.T) {
	k, c := newFake(t, time.Minute)
	times := 0
	k.answer = func(m message, cmd uint8) ([]byte, bool) {
		if m.kind == fakeFamily && cmd == cmdNewDest && times == 0 {
			times++
			return status(m, syscall.EEXIST), true
		}
		return nil, false
	}
	if err := c.Apply(t.Context(), servers(1)); err != nil || len(k.table[web].Servers) != 1 {
		t.Errorf("got %v, table %v", err, k.table)
	}
	k.answer = func(m message, cmd uint8) ([]byte, bool) {
		switch {
		case m.kind == fakeFamily && cmd == cmdNewDest:
			return status(m, syscall.EEXIST), true
		case m.kind == fakeFamily && cmd == cmdSetDest:
			return status(m, syscall.ENOENT), true
		}
		return nil, false
	}
	if err := c.Apply(t.Context(), servers(1)); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("for ever there and not there: %v", err)
	}
}

// A dump misses a service that is there, and shows one that is gone: neither is believed.
func TestReadDoesNotBelieveOneDump(t *testing.T) {
	k, c := newFake(t, time.Minute)
	want := lvs.Table{web: {VirtualService: rr}, mark: {VirtualService: rr, Servers: map[lvs.ServerKey]lvs.RealServer{at: plain1}}}
	for _, missing := range []int{1, 2} {
		k.table = want.Clone()
		dumps := 0
		k.answer = func(m message, cmd uint8) ([]byte, bool) {
			if m.kind != fakeFamily || cmd != cmdGetService || m.flags&syscall.NLM_F_DUMP == 0 {
				return nil, false
			}
			dumps++
			if dumps == missing {
				return append(reply(m, dumpService(web, rr)), done(m)...), true // without mark
			}
			return nil, false
		}
		if got, err := c.Table(t.Context()); err != nil || !got.Equal(want) {
			t.Errorf("missed in dump %d: %v %v", missing, got, err)
		}
	}
	k.answer = func(m message, cmd uint8) ([]byte, bool) {
		if m.kind == fakeFamily && cmd == cmdGetDest {
			delete(k.table, web) // gone while its servers are read
		}
		return nil, false
	}
	delete(want, web)
	if got, err := c.Table(t.Context()); err != nil || !got.Equal(want) {
		t.Errorf("gone meanwhile: %v %v", got, err)
	}
}

// A dump of several datagrams may miss a real server while somebody edits the others.
func TestReadDoesNotMissAServer(t *testing.T) {
	k, c := newFake(t, time.Minute)
	servers := map[lvs.ServerKey]lvs.RealServer{}
	for i := range byte(10) {
		servers[lvs.ServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, i}), 80))] = plain1
	}
	k.table[web] = lvs.Service{VirtualService: rr, Servers: servers}
	k.part = 4
	missed := lvs.ServerKey(netip.MustParseAddrPort("198.51.100.5:80"))
	dumps := 0
	k.answer = func(m message, cmd uint8) ([]byte, bool) {
		if cmd != cmdGetDest {
			return nil, false
		}
		if dumps++; dumps > 1 {
			return nil, false
		}
		delete(servers, missed)
		defer func() { servers[missed] = plain1 }()
		return k.usual(m), true
	}
	table, err := c.Table(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, in := table[web].Servers[missed]; !in || len(table[web].Servers) != 10 {
		t.Errorf("%d servers, want 10: %v", len(table[web].Servers), table[web].Servers)
	}
}

func TestNoIPVS(t *testing.T) {
	k, c := newFake(t, time.Minute)
	k.answer = func(m message, cmd uint8) ([]byte, bool) { return status(m, syscall.ENOENT), true }
	if _, err := c.Table(t.Context()); !errors.Is(err, ErrNoIPVS) {
		t.Errorf("got %v", err)
	}
	k.answer = func(m message, cmd uint8) ([]byte, bool) { return status(m, syscall.EPERM), m.kind == fakeFamily }
	if _, err := c.Table(t.Context()); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("got %v", err)
	}
	k.answer = nil
	if _, err := c.Table(t.Context()); err != nil {
		t.Errorf("once it is there: %v", err)
	}
}

// ENOENT of a netlink family that is gone is not an unknown scheduler, nor a success of a removal.
func TestIPVSUnloaded(t *testing.T) {
	k, c := newFake(t, time.Minute)
	gone := func(m message, cmd uint8) ([]byte, bool) { return status(m, syscall.ENOENT), m.kind == fakeFamily }
	for _, op := range []lvs.Op{lvs.EnsureService, lvs.RemoveServer} {
		for _, few := range []int{-1, fewEdits} {
			c.few, k.answer = few, nil
			if err := c.Apply(t.Context(), servers(1)); err != nil {
				t.Fatal(err)
			}
			k.answer = gone
			err := c.Apply(t.Context(), []lvs.Edit{{Op: op, Key: web, At: at, Service: rr}})
			var apply *lvs.ApplyError
			if !errors.Is(err, ErrNoIPVS) || errors.As(err, &apply) {
				t.Errorf("op %d: got %v", op, err)
			}
		}
	}
}

// After every failure of the socket a new one is opened.
func TestReopensAfterFailure(t *testing.T) {
	k, c := newFake(t, time.Minute)
	for name, answer := range map[string][]byte{
		"short header":     {1, 2, 3},
		"length too small": {4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"length too large": {255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		if err := c.Apply(t.Context(), servers(1)); err != nil {
			t.Fatal(err)
		}
		before := k.dialled
		k.answer = func(m message, cmd uint8) ([]byte, bool) { return answer, m.kind == fakeFamily && cmd == cmdGetService }
		if _, err := c.Table(t.Context()); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		k.answer = nil
		if _, err := c.Table(t.Context()); err != nil || k.dialled != before+2 {
			t.Errorf("%s: then %v, %d sockets more, want 2", name, err, k.dialled-before)
		}
	}
}

// An answer that never comes ends with the context, and the next call opens a new socket.
func TestLostAnswer(t *testing.T) {
	for name, few := range map[string]int{"one by one": fewEdits, "pipelined": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, c := newFake(t, time.Minute)
				c.few = few
				if _, err := c.Table(t.Context()); err != nil { // not the first call on its socket
					t.Fatal(err)
				}
				k.answer = func(m message, cmd uint8) ([]byte, bool) { return nil, m.kind == fakeFamily && cmd == cmdNewDest }
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				var apply *lvs.ApplyError
				if err := c.Apply(ctx, servers(3)); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &apply) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("given up after %v", took)
				}
				k.mu.Lock()
				k.answer = nil
				k.mu.Unlock()
				if err := c.Apply(t.Context(), servers(3)); err != nil || k.dialled != 4 {
					t.Errorf("then %v, %d sockets", err, k.dialled)
				}
			})
		})
	}
}

// A message that some other exchange left behind is not taken for an answer.
func TestStaleAnswers(t *testing.T) {
	k, c := newFake(t, time.Minute)
	k.answer = func(m message, cmd uint8) ([]byte, bool) {
		if m.kind != fakeFamily || cmd == cmdGetInfo {
			return nil, false
		}
		stale := m
		stale.seq -= 1000
		return append(status(stale, syscall.EPERM), k.usual(m)...), true
	}
	for _, few := range []int{-1, fewEdits} {
		c.few = few
		if err := c.Apply(t.Context(), servers(3)); err != nil {
			t.Error(err)
		}
	}
	if got, err := c.Table(t.Context()); err != nil || len(got[web].Servers) != 3 {
		t.Errorf("got %v %v", got, err)
	}
}

// A call without a deadline of its own has the controller's.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, c := newFake(t, 5*time.Second)
		k.answer = func(m message, cmd uint8) ([]byte, bool) { return nil, true }
		start := time.Now()
		if _, err := c.Table(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

// While the kernel does not let go of a given-up call, later calls wait, say why they fail, and none
// overtakes it.
func TestStuckKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, c := newFake(t, 5*time.Second)
		if _, err := c.Table(t.Context()); err != nil {
			t.Fatal(err)
		}
		stuck := make(chan struct{})
		k.mu.Lock()
		k.stuck = stuck
		k.mu.Unlock()
		if err := c.Apply(t.Context(), servers(3)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if _, err := c.Table(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "earlier call") {
			t.Errorf("behind it: %v", err)
		}
		if err := c.Close(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close behind it: %v", err)
		}
		k.mu.Lock()
		k.stuck = nil
		k.mu.Unlock()
		close(stuck)
		if err := c.Apply(t.Context(), servers(2)); err != nil {
			t.Errorf("once the kernel goes on: %v", err)
		}
		if got, err := c.Table(t.Context()); err != nil || len(got[web].Servers) != 2 || k.dialled != 4 {
			t.Errorf("then %v %v, %d sockets", got, err, k.dialled)
		}
	})
}

func TestClosed(t *testing.T) {
	_, c := newFake(t, time.Minute)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Table(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}

// Without IPVS or the right to use it, Open says which. With both, it works.
func TestOpenSaysWhatIsMissing(t *testing.T) {
	c, err := Open(Options{})
	switch {
	case err == nil:
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	case !errors.Is(err, ErrNoIPVS) && !errors.Is(err, ErrNotPermitted):
		t.Errorf("got %v", err)
	}
	if _, err := Open(Options{NetNS: "/nonexistent"}); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("no such namespace: %v", err)
	}
}

// FuzzAnswers: no bytes of an answer crash or hang the parser.
func FuzzAnswers(f *testing.F) {
	m := message{seq: 1}
	seeds := map[string][]byte{
		"service": append(reply(m, dumpService(web, rr)), done(m)...),
		"mark":    reply(m, dumpService(mark, lvs.VirtualService{Scheduler: "sh", Persistence: 300, PrefixLen: 24, PEName: "sip"})),
		"server":  append(reply(m, dumpServer(at, plain1)), reply(m, dumpServer(at6, plain1))...),
		"refusal": status(m, syscall.EPERM),
	}
	for _, name := range slices.Sorted(maps.Keys(seeds)) {
		f.Add(seeds[name])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := parseMessages(b)
		if err != nil {
			return
		}
		for _, m := range messages {
			_, _ = m.status()
			if k, v, known, err := decodeService(m.data); err == nil && known {
				if v != v.Normal(k.Family) {
					t.Errorf("%v is not normal", v)
				}
				again := dumpService(k, v)
				if k2, v2, _, err := decodeService(again); valid(k) && (err != nil || k2 != k || text(v) && v2 != v) {
					t.Errorf("%v %+v read again is %v %+v, %v", k, v, k2, v2, err)
				}
			}
			if at, r, _, err := decodeServer(m.data, lvs.IPv4); err == nil {
				if at2, r2, _, err := decodeServer(dumpServer(at, r), lvs.IPv4); err != nil || at2 != at || r2 != r {
					t.Errorf("%v %+v read again is %v %+v, %v", at, r, at2, r2, err)
				}
			}
		}
	})
}

func valid(k lvs.ServiceKey) bool {
	return (lvs.Edit{Op: lvs.RemoveService, Key: k}).Validate() == nil
}

// text tells whether the names are what a kernel has.
func text(v lvs.VirtualService) bool {
	return !strings.ContainsRune(fmt.Sprint(v.Scheduler, v.PEName), 0)
}
