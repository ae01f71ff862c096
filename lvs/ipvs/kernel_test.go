package ipvs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/lvs/lvstest"
)

// namespace is a network namespace of a test's own, with an empty table.
type namespace struct {
	file *os.File
}

// newNamespace needs a kernel with IPVS. Where the tests run without one, they say so; where one
// was promised (LDIRECTORD_KERNEL=1), its absence is a failure.
func newNamespace(t testing.TB) namespace {
	t.Helper()
	if os.Getenv("LDIRECTORD_KERNEL") != "1" {
		t.Skip("run `make test`: needs a kernel with IPVS")
	}
	opened := make(chan *os.File)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		defer close(opened)
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error("make a network namespace:", err)
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			t.Error(err)
			return
		}
		opened <- f
	}()
	f := <-opened
	if f == nil {
		t.FailNow()
	}
	t.Cleanup(func() { f.Close() })
	n := namespace{f}
	n.run(t, "ip", "link", "set", "lo", "up") // until an interface is up, no address is unicast
	return n
}

func (n namespace) path() string { return fmt.Sprintf("/proc/self/fd/%d", n.file.Fd()) }

// run runs a command inside and returns what it prints.
func (n namespace) run(t testing.TB, command ...string) string {
	t.Helper()
	c := exec.Command("nsenter", append([]string{"--net=/proc/self/fd/3"}, command...)...)
	c.ExtraFiles = []*os.File{n.file}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// open returns a Controller over the namespace's table.
func (n namespace) open(t testing.TB) *Controller {
	t.Helper()
	c, err := Open(Options{NetNS: n.path(), Timeout: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestKernelSuite runs the suite over this kernel both ways: edit by edit through the library,
// and all over the wire; ipvsadm(8) is the witness.
func TestKernelSuite(t *testing.T) {
	for name, few := range map[string]int{"as used": fewEdits, "one by one": 1 << 30, "pipelined": -1} {
		t.Run(name, func(t *testing.T) {
			now := map[string]namespace{}
			lvstest.Run(t, lvstest.Suite{
				Open: func(t *testing.T) lvs.Controller {
					n := newNamespace(t)
					now[t.Name()] = n
					c := n.open(t)
					c.few = few
					return c
				},
				Witness: func(t *testing.T) lvs.Table { return ipvsadm(t, now[t.Name()]) },
				Rounds:  24,
			})
		})
	}
}

// ipvsadm reads the table with ipvsadm(8).
func ipvsadm(t *testing.T, n namespace) lvs.Table {
	t.Helper()
	table := lvs.Table{}
	for line := range strings.Lines(n.run(t, "ipvsadm", "-Sn")) {
		addSaved(t, table, strings.Fields(line))
	}
	addThresholds(t, table, n.run(t, "ipvsadm", "-Ln", "--thresholds"))
	return table
}

// addSaved understands one line of ipvsadm -Sn.
func addSaved(t *testing.T, table lvs.Table, words []string) {
	t.Helper()
	var k lvs.ServiceKey
	var v lvs.VirtualService
	var at lvs.ServerKey
	var r lvs.RealServer
	for i := 1; i < len(words); i++ {
		next := func() string {
			if i++; i >= len(words) {
				t.Fatalf("ipvsadm wrote %q", words)
			}
			return words[i]
		}
		switch words[i] {
		case "-t":
			k = lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort(next()))
		case "-u":
			k = lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort(next()))
		case "-f":
			k = lvs.ServiceMark(number(t, next()), lvs.IPv4)
		case "-6":
			k.Family = lvs.IPv6
		case "-s":
			v.Scheduler = next()
		case "-p":
			v.Persistence = number(t, next())
			v.PrefixLen = k.Family.Bits()
		case "-M":
			v.PrefixLen = prefixLength(t, next())
		case "-o":
			v.OnePacket = true
		case "-b":
			v.Flags = schedFlags(t, next())
		case "--pe":
			v.PEName = next()
		case "-r":
			at = lvs.ServerKey(netip.MustParseAddrPort(next()))
		case "-w":
			r.Weight = number(t, next())
		case "-g":
			r.Method = lvs.Gate
		case "-i":
			r.Method = lvs.IPIP
		case "-m":
			r.Method = lvs.Masq
		case "--tun-type":
			next()
		default:
			t.Fatalf("ipvsadm wrote %q: %s is not understood", words, words[i])
		}
	}
	if words[0] == "-A" {
		table[k] = lvs.Service{VirtualService: v, Servers: map[lvs.ServerKey]lvs.RealServer{}}
	} else {
		table[k].Servers[at] = r
	}
}

// addThresholds understands ipvsadm -Ln --thresholds.
func addThresholds(t *testing.T, table lvs.Table, text string) {
	t.Helper()
	var k lvs.ServiceKey
	s := bufio.NewScanner(strings.NewReader(text))
	for s.Scan() {
		words := strings.Fields(s.Text())
		switch words[0] {
		case "TCP":
			k = lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort(words[1]))
		case "UDP":
			k = lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort(words[1]))
		case "FWM":
			k = lvs.ServiceMark(number(t, words[1]), lvs.IPv4)
			if words[2] == "IPv6" {
				k.Family = lvs.IPv6
			}
		case "->":
			if words[1] == "RemoteAddress:Port" {
				continue
			}
			at := lvs.ServerKey(netip.MustParseAddrPort(words[1]))
			r := table[k].Servers[at]
			r.Upper, r.Lower = number(t, words[2]), number(t, words[3])
			table[k].Servers[at] = r
		}
	}
}

func number(t *testing.T, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64) // the mark 4294967295 is written as -1
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

func prefixLength(t *testing.T, s string) uint8 {
	t.Helper()
	if strings.Contains(s, ".") {
		ones, _ := net.IPMask(net.ParseIP(s).To4()).Size()
		return uint8(ones)
	}
	return uint8(number(t, s))
}

func schedFlags(t *testing.T, s string) (flags lvs.SchedFlags) {
	t.Helper()
	for name := range strings.SplitSeq(s, ",") {
		switch name {
		case "sh-fallback", "mh-fallback", "flag-1":
			flags |= lvs.SchedFlag1
		case "sh-port", "mh-port", "flag-2":
			flags |= lvs.SchedFlag2
		case "flag-3":
			flags |= lvs.SchedFlag3
		default:
			t.Fatalf("scheduler flag %q", name)
		}
	}
	return flags
}

// What ipvsadm made is read as it is, persistence engines and tunnels of other programs included,
// and an edit of the service keeps its real servers.
func TestKernelReadsOthers(t *testing.T) {
	n := newNamespace(t)
	c := n.open(t)
	n.run(t, "ipvsadm", "-A", "-u", "192.0.2.1:5060", "-s", "rr", "-p", "60", "--pe", "sip")
	n.run(t, "ipvsadm", "-a", "-u", "192.0.2.1:5060", "-r", "198.51.100.7:5060", "-i", "--tun-type", "gre", "-w", "7")
	n.run(t, "ipvsadm", "-A", "--sctp-service", "192.0.2.1:99", "-s", "rr")
	k := lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort("192.0.2.1:5060"))
	want := lvs.Table{k: {
		VirtualService: lvs.VirtualService{Scheduler: "rr", Persistence: 60, PrefixLen: 32, PEName: "sip"},
		Servers: map[lvs.ServerKey]lvs.RealServer{
			lvs.ServerKey(netip.MustParseAddrPort("198.51.100.7:5060")): {Method: lvs.IPIP, Weight: 7},
		},
	}}
	got, err := c.Table(t.Context())
	if err != nil || !got.Equal(want) {
		t.Fatalf("got %v %v, want %v", got, err, want)
	}
	s := want[k]
	s.Scheduler = "wrr"
	want[k] = s
	if err := c.Apply(t.Context(), lvs.Plan(got, want)); err != nil {
		t.Fatal(err)
	}
	if got, err = c.Table(t.Context()); err != nil || !got.Equal(want) {
		t.Errorf("after the edit: %v %v, want %v", got, err, want)
	}
}

// Validate is not stricter than this kernel, nor laxer: what it refuses is sent all the same.
func TestKernelRefusesWhatValidateRefuses(t *testing.T) {
	n := newNamespace(t)
	c := n.open(t)
	web, web6 := lvstest.Keys()[0], lvstest.Keys()[3]
	for _, k := range []lvs.ServiceKey{web, web6} {
		if err := c.Apply(t.Context(), []lvs.Edit{{Op: lvs.EnsureService, Key: k, Service: lvs.VirtualService{Scheduler: "rr"}}}); err != nil {
			t.Fatal(err)
		}
	}
	at := lvs.ServerKey(netip.MustParseAddrPort("198.51.100.7:80"))
	for name, c2 := range map[string]struct {
		edit lvs.Edit
		want syscall.Errno
	}{
		"weight":       {lvs.Edit{Op: lvs.EnsureServer, Key: web, At: at, Server: lvs.RealServer{Weight: 1 << 31}}, syscall.ERANGE},
		"thresholds":   {lvs.Edit{Op: lvs.EnsureServer, Key: web, At: at, Server: lvs.RealServer{Lower: 2, Upper: 1}}, syscall.ERANGE},
		"lower alone":  {lvs.Edit{Op: lvs.EnsureServer, Key: web, At: at, Server: lvs.RealServer{Lower: 2}}, syscall.ERANGE},
		"mapped":       {lvs.Edit{Op: lvs.EnsureServer, Key: web6, At: lvs.ServerKey(netip.MustParseAddrPort("[::ffff:198.51.100.7]:80"))}, syscall.EINVAL},
		"mixed gate":   {lvs.Edit{Op: lvs.EnsureServer, Key: web6, At: at}, syscall.EINVAL},
		"mixed masq":   {lvs.Edit{Op: lvs.EnsureServer, Key: web6, At: at, Server: lvs.RealServer{Method: lvs.Masq}}, syscall.EINVAL},
		"prefix":       {lvs.Edit{Op: lvs.EnsureService, Key: lvstest.Keys()[4], Service: lvs.VirtualService{Scheduler: "rr", Persistence: 1, PrefixLen: 129}}, syscall.EINVAL},
		"no scheduler": {lvs.Edit{Op: lvs.EnsureService, Key: lvstest.Keys()[1]}, syscall.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			if c2.edit.Validate() == nil {
				t.Error("Validate allows it")
			}
			err := c.do(t.Context(), "test", func(ctx context.Context, h *handle) error {
				got, err := h.wire.acks(ctx, [][]byte{encodeEdit(commandOf(c2.edit.Op, 0), c2.edit)})
				if err == nil && got[0] != c2.want {
					err = fmt.Errorf("the kernel says %v, want %v", got[0], c2.want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKernelCounters(t *testing.T) {
	n := newNamespace(t)
	c := n.open(t)
	k := lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort("127.0.0.2:53"))
	at := lvs.ServerKey(netip.MustParseAddrPort("127.0.0.1:53"))
	err := c.Apply(t.Context(), []lvs.Edit{
		{Op: lvs.EnsureService, Key: k, Service: lvs.VirtualService{Scheduler: "rr"}},
		{Op: lvs.EnsureServer, Key: k, At: at, Server: lvs.RealServer{Method: lvs.Masq, Weight: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.run(t, "bash", "-c", "for i in 1 2 3; do echo x >/dev/udp/127.0.0.2/53; done")
	// The kernel sums up every two seconds.
	deadline, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		all, err := c.Counters(deadline)
		if err != nil {
			t.Fatal(err)
		}
		got := all[k][at]
		if got.Active+got.Inactive == 3 && got.Connections == 3 && got.PacketsIn == 3 && got.BytesIn == 3*30 {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-deadline.Done():
			t.Fatalf("counters are %+v", got)
		}
	}
}

// A thousand virtual services and a thousand real servers in one need several reads each.
func TestKernelLargeTable(t *testing.T) {
	n := newNamespace(t)
	c := n.open(t)
	want := lvs.Table{}
	for i := range 1000 {
		k := lvs.ServiceMark(uint32(i+1), lvs.IPv4)
		want[k] = lvs.Service{VirtualService: lvs.VirtualService{Scheduler: "wlc"}}
	}
	many := lvs.Service{VirtualService: lvs.VirtualService{Scheduler: "rr"}, Servers: map[lvs.ServerKey]lvs.RealServer{}}
	for i := range 1000 {
		a := netip.AddrFrom4([4]byte{198, 51, byte(i / 250), byte(i%250 + 1)})
		many.Servers[lvs.ServerKey(netip.AddrPortFrom(a, 80))] = lvs.RealServer{Weight: uint32(i)}
	}
	want[lvstest.Keys()[0]] = many
	if err := c.Apply(t.Context(), lvs.Plan(nil, want)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Table(t.Context())
	if err != nil || !got.Equal(want) {
		t.Errorf("%d deviations, %v", len(lvs.Drift(want, got)), err)
	}
}

// Other programs' edits during a read neither fail it nor hide what stays.
func TestKernelReadWhileOthersEdit(t *testing.T) {
	n := newNamespace(t)
	reader, writer := n.open(t), n.open(t)
	var stays, flaps []lvs.Edit
	for i := range 400 {
		e := lvs.Edit{Op: lvs.EnsureService, Key: lvs.ServiceMark(uint32(i+1), lvs.IPv4), Service: lvs.VirtualService{Scheduler: "rr"}}
		if i%10 == 0 {
			flaps = append(flaps, e, lvs.Edit{Op: lvs.RemoveService, Key: e.Key})
		} else {
			stays = append(stays, e)
		}
	}
	if err := writer.Apply(t.Context(), stays); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		for ctx.Err() == nil {
			if err := writer.Apply(t.Context(), flaps); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 15 {
		got, err := reader.Table(t.Context())
		if err != nil {
			t.Error(err)
		}
		for _, e := range stays {
			if _, ok := got[e.Key]; !ok {
				t.Errorf("%s was missed", e.Key)
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A given-up call leaves the controller fit for the next one.
func TestKernelAfterTimeout(t *testing.T) {
	n := newNamespace(t)
	c := n.open(t)
	var edits []lvs.Edit
	for i := range 20000 {
		edits = append(edits, lvs.Edit{Op: lvs.EnsureService, Key: lvs.ServiceMark(uint32(i+1), lvs.IPv4), Service: lvs.VirtualService{Scheduler: "rr"}})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var apply *lvs.ApplyError
	if err := c.Apply(ctx, edits); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &apply) {
		t.Fatalf("got %v, want the deadline", err)
	}
	if err := c.Apply(t.Context(), edits[:100]); err != nil {
		t.Fatal(err)
	}
	got, err := c.Table(t.Context())
	if err != nil || len(got) < 100 || len(got) == len(edits) {
		t.Errorf("%d virtual services, %v", len(got), err)
	}
}

func TestKernelNotPermitted(t *testing.T) {
	n := newNamespace(t)
	err := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread without rights ends here
		if e := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); e != nil {
			err <- e
			return
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if e := unix.Capset(&header, &none[0]); e != nil {
			err <- e
			return
		}
		l, e := newSocket()
		if e == nil {
			defer l.close()
			_, e = connect(l)
		}
		err <- e
	}()
	if got := <-err; !errors.Is(got, ErrNotPermitted) || !errors.Is(got, syscall.EPERM) {
		t.Errorf("got %v, want %v", got, ErrNotPermitted)
	}
}

// BenchmarkKernelApply programs 10,000 real servers, edit by edit and pipelined.
func BenchmarkKernelApply(b *testing.B) {
	want := lvs.Table{}
	for i := range 100 {
		s := lvs.Service{VirtualService: lvs.VirtualService{Scheduler: "rr"}, Servers: map[lvs.ServerKey]lvs.RealServer{}}
		for j := range 100 {
			a := netip.AddrFrom4([4]byte{198, 51, 100, byte(j + 1)})
			s.Servers[lvs.ServerKey(netip.AddrPortFrom(a, 80))] = lvs.RealServer{Weight: 1}
		}
		want[lvs.ServiceAt(lvs.TCP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 80))] = s
	}
	plan := lvs.Plan(nil, want)
	for name, few := range map[string]int{"one by one": 1 << 30, "pipelined": -1} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				c := newNamespace(b).open(b)
				c.few = few
				b.StartTimer()
				if err := c.Apply(b.Context(), plan); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("read", func(b *testing.B) {
		c := newNamespace(b).open(b)
		if err := c.Apply(b.Context(), plan); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := c.Table(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
