package builtin

import (
	"context"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"

	"golang.org/x/net/icmp"
	"golang.org/x/sys/unix"
)

// sysctl sets a value of this network namespace until the test ends.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	file := "/proc/sys/net/" + name
	before, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte(value), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0); err != nil {
			t.Error(err)
		}
	})
}

func pinged(addr string) sdk.Target {
	return sdk.Target{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 0), Network: "tcp"}
}

// ping makes one probe within limit.
func ping(t *testing.T, p *Pinger, addr, tries string, limit time.Duration) (sdk.Verdict, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	began := time.Now()
	v := p.Checker().Probe(ctx, pinged(addr), sdk.Options{"checkcount": tries})
	return v, time.Since(began)
}

// testPings runs in the namespace of TestConnections, for which it needs a loopback interface and no routes.
func testPings(t *testing.T) {
	for name, group := range map[string]string{"raw": "1 0", "datagram": "0 0"} {
		t.Run(name, func(t *testing.T) {
			sysctl(t, "ipv4/ping_group_range", group)
			p := NewPinger()
			for _, addr := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.5"} {
				if v, _ := ping(t, p, addr, "1", 5*time.Second); v.Status != sdk.StatusUp || v.Phases[0].Name != "echo" {
					t.Errorf("%s: %+v", addr, v)
				}
			}
			for i, s := range p.sockets {
				if s.dgram != (name == "datagram") {
					t.Errorf("socket %d: datagram %v", i, s.dgram)
				}
			}
			testSilence(t, p)
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if v, _ := ping(t, p, "127.0.0.1", "1", time.Second); v.Status != sdk.StatusUnknown {
				t.Errorf("after Close: %+v", v)
			}
		})
	}
	t.Run("not allowed", testPingNotAllowed)
	t.Run("thousands", testThousands)
}

// testSilence: servers that do not answer, or cannot be reached, or are not waited for.
func testSilence(t *testing.T, p *Pinger) {
	t.Run("silence", func(t *testing.T) {
		sysctl(t, "ipv4/icmp_echo_ignore_all", "1")
		sysctl(t, "ipv6/icmp/echo_ignore_all", "1")
		for _, addr := range []string{"127.0.0.1", "::1"} {
			v, took := ping(t, p, addr, "3", 300*time.Millisecond)
			if v.Status != sdk.StatusDown || v.Code != codeNoReply || v.Reason != "no answer to 3 echo requests" {
				t.Errorf("%s: %+v", addr, v)
			}
			if took < 290*time.Millisecond || took > 2*time.Second {
				t.Errorf("%s took %v of 300ms", addr, took)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		ctx, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		if v := p.Checker().Probe(ctx, pinged("127.0.0.1"), nil); v.Status != sdk.StatusUnknown {
			t.Errorf("cancelled: %+v", v)
		}
	})
	t.Run("a later try", func(t *testing.T) {
		sysctl(t, "ipv4/icmp_echo_ignore_all", "1")
		answer := time.AfterFunc(100*time.Millisecond, func() {
			_ = os.WriteFile("/proc/sys/net/ipv4/icmp_echo_ignore_all", []byte("0"), 0)
		})
		defer answer.Stop()
		if v, _ := ping(t, p, "127.0.0.1", "100", 30*time.Second); v.Status != sdk.StatusUp {
			t.Errorf("%+v", v)
		}
	})
	t.Run("no route", func(t *testing.T) {
		for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
			if v, _ := ping(t, p, addr, "2", 50*time.Millisecond); v.Status != sdk.StatusDown || v.Code != sdk.CodeUnreachable ||
				v.Reason != "send an echo request: network is unreachable" {
				t.Errorf("%s: %+v", addr, v)
			}
		}
	})
}

// testPingNotAllowed: without CAP_NET_RAW and without the group nothing can be said.
func testPingNotAllowed(t *testing.T) {
	sysctl(t, "ipv4/ping_group_range", "1 0")
	p := NewPinger()
	done := make(chan sdk.Verdict)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capset(&header, &data[0]); err != nil {
			done <- sdk.Down("capset: %v", err)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		done <- p.Checker().Probe(ctx, pinged("127.0.0.1"), nil)
	}()
	if v := <-done; v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "CAP_NET_RAW") {
		t.Errorf("%+v", v)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// testThousands: one socket for 5,000 servers that answer at once.
func testThousands(t *testing.T) {
	sysctl(t, "ipv4/ping_group_range", "1 0")
	p := NewPinger()
	const n = 5000
	due := make([]sdk.Due, n)
	for i := range due {
		due[i] = sdk.Due{ID: uint64(i + 1), Remaining: 20 * time.Second}
		p.Register(due[i].ID, pinged("127.1."+strconv.Itoa(i/250)+"."+strconv.Itoa(i%250+1)), nil)
	}
	p.Start(due)
	for got := 0; got < n; {
		batch := <-p.Results()
		got += len(batch)
		for _, r := range batch {
			if r.Verdict.Status != sdk.StatusUp {
				t.Fatalf("check %d: %+v", r.ID, r.Verdict)
			}
		}
	}
	if left := len(p.sockets[0].waiting); left != 0 {
		t.Errorf("%d requests are still waited for", left)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// An answer is taken by its address, sequence number, identifier and data together.
func TestWhoseEcho(t *testing.T) {
	s := newEchoSocket(icmp4())
	addr := netip.MustParseAddr("192.0.2.7")
	right := icmp.Echo{ID: s.id, Seq: 5, Data: append([]byte{}, s.nonce...)}
	for name, c := range map[string]struct {
		from  string
		echo  icmp.Echo
		dgram bool
		taken bool
	}{
		"the answer":         {from: "192.0.2.7", echo: right, taken: true},
		"another server":     {from: "192.0.2.8", echo: right},
		"another request":    {from: "192.0.2.7", echo: icmp.Echo{ID: right.ID, Seq: 6, Data: right.Data}},
		"another program":    {from: "192.0.2.7", echo: icmp.Echo{ID: right.ID ^ 1, Seq: 5, Data: right.Data}},
		"the kernel's id":    {from: "192.0.2.7", echo: icmp.Echo{ID: right.ID ^ 1, Seq: 5, Data: right.Data}, dgram: true, taken: true},
		"other data":         {from: "192.0.2.7", echo: icmp.Echo{ID: right.ID, Seq: 5, Data: []byte("abcdefgh")}},
		"a reply without it": {from: "192.0.2.7", echo: icmp.Echo{ID: right.ID, Seq: 5}},
	} {
		w := &echoWait{answered: make(chan struct{}, 1)}
		s.waiting = map[echoKey]*echoWait{{addr, 5}: w}
		s.dgram = c.dgram
		s.take(netip.MustParseAddr(c.from), &c.echo)
		if taken := len(w.answered) == 1; taken != c.taken {
			t.Errorf("%s: taken %v, want %v", name, taken, c.taken)
		}
	}
}

// What a router sends back counts for the request that it quotes.
func TestUnreachable(t *testing.T) {
	for name, c := range map[string]struct {
		family family
		addr   string
		header []byte // of the packet that is quoted
	}{
		"IPv4": {icmp4(), "192.0.2.7", append(append([]byte{0x45, 8: 64, 9: syscall.IPPROTO_ICMP, 15: 0}, 192, 0, 2, 7), []byte{}...)},
		"IPv6": {icmp6(), "2001:db8::7", append([]byte{0x60, 6: syscall.IPPROTO_ICMPV6, 23: 0}, netip.MustParseAddr("2001:db8::7").AsSlice()...)},
	} {
		s := newEchoSocket(c.family)
		w := &echoWait{mu: &s.mu, keys: make([]echoKey, 1)}
		s.waiting[echoKey{netip.MustParseAddr(c.addr), 5}] = w
		quote := func(id int) []byte {
			m, err := (&icmp.Message{Type: c.family.request, Body: &icmp.Echo{ID: id, Seq: 5}}).Marshal(nil)
			if err != nil {
				t.Fatal(err)
			}
			return append(append([]byte{}, c.header...), m...)
		}
		router := netip.MustParseAddr("198.51.100.1")
		for n := range quote(s.id) { // cut short anywhere
			s.refuse(quote(s.id)[:min(n, len(c.header)+4)], router)
		}
		s.refuse(quote(s.id^1), router)
		if w.refusal != "" {
			t.Errorf("%s: somebody else's packet counts: %s", name, w.refusal)
		}
		s.refuse(quote(s.id), router)
		if v := w.silence(); v.Code != sdk.CodeUnreachable || v.Reason != "destination unreachable, says 198.51.100.1" {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
