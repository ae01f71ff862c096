package builtin

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/ldirectord/ldirectord/sdk"
)

// inNamespace marks the process that runs the tests of real connections.
const inNamespace = "LDIRECTORD_TEST_NAMESPACE"

// TestConnections runs the tests below in a network namespace of their own, with a
// loopback interface, no route, and local ports that the tests may restrict.
func TestConnections(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestNamespaced$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && len(out) == 0 && os.Getenv("CI") != "true":
		t.Logf("NOT RUN: real connections: this machine gives no network namespace: %v", err)
	case err != nil || !strings.Contains(string(out), "--- PASS: TestNamespaced"):
		t.Fatalf("%v\n%s", err, out)
	}
}

// runner is what both ways to make connections have in common.
type runner interface {
	Register(id uint64, t sdk.Target, o sdk.Options)
	Forget(id uint64)
	Start(due []sdk.Due)
	Results() <-chan []sdk.Result
	Close(ctx context.Context) error
}

// connectors are the two, and both pass every test.
func connectors(t *testing.T) map[string]runner {
	c, err := NewConnector()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]runner{"Pool": Runner(Connect(), Options{}), "Connector": c}
}

func TestNamespaced(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		return // TestConnections runs it
	}
	loopbackUp(t)
	t.Run("ping", testPings)
	for name, f := range map[string]func(*testing.T, runner){
		"up": testUp, "down": testDown, "black hole": testBlackHole, "late": testLate, "local faults": testLocalFaults,
		"local ports are shared": testSharedPorts, "to itself": testToItself, "bulk": testBulk,
		"forget": testForget, "misuse": testMisuse,
	} {
		t.Run(name, func(t *testing.T) {
			for kind, r := range connectors(t) {
				t.Run(kind, func(t *testing.T) {
					f(t, r)
					if err := r.Close(t.Context()); err != nil {
						t.Error(err)
					}
					if _, open := <-r.Results(); open {
						t.Error("a result after Close")
					}
				})
			}
		})
	}
}

// loopbackUp gives the namespace its loopback interface.
func loopbackUp(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP}
	copy(request.name[:], "lo")
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS,
		uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Fatal("bring lo up:", errno)
	}
}

// localPorts sets the ports of outgoing connections until the test ends.
func localPorts(t *testing.T, from, to int) {
	const file = "/proc/sys/net/ipv4/ip_local_port_range"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, "%d %d", from, to), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0); err != nil {
			t.Error(err)
		}
	})
}

// listen accepts and holds connections until the test ends.
func listen(t *testing.T, addr string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

var ids uint64 // of checks; every test of this process has a namespace's worth of them

// probeOnce registers a target, starts its probe and gives the verdict and how long it took.
func probeOnce(t *testing.T, r runner, to sdk.Target, remaining time.Duration) (sdk.Verdict, time.Duration) {
	t.Helper()
	ids++
	r.Register(ids, to, sdk.Options{"request": "ignored"})
	began := time.Now()
	r.Start(due(remaining, ids))
	return result(t, r, ids), time.Since(began)
}

// result waits for the one result of id.
func result(t *testing.T, r runner, id uint64) sdk.Verdict {
	t.Helper()
	select {
	case batch := <-r.Results():
		if len(batch) != 1 || batch[0].ID != id {
			t.Fatalf("results %+v, want one of %d", batch, id)
		}
		return batch[0].Verdict
	case <-time.After(20 * time.Second):
		t.Fatal("no result")
		return sdk.Verdict{}
	}
}

func tcp(a netip.AddrPort) sdk.Target {
	return sdk.Target{Service: "http", Addr: a, Network: "tcp"}
}

func expect(t *testing.T, what string, v sdk.Verdict, status sdk.Status, code sdk.Code) {
	t.Helper()
	if v.Status != status || v.Code != code || (status == sdk.StatusUp) != (v.Reason == "") {
		t.Errorf("%s: %+v, want %v %q", what, v, status, code)
	}
}

func testUp(t *testing.T, r runner) {
	four, six := listen(t, "127.0.0.1:0"), listen(t, "[::1]:0")
	mapped := netip.AddrPortFrom(netip.AddrFrom16(four.Addr().As16()), four.Port())
	for _, a := range []netip.AddrPort{four, six, mapped} {
		v, _ := probeOnce(t, r, tcp(a), 5*time.Second)
		expect(t, a.String(), v, sdk.StatusUp, sdk.CodeOK)
		if len(v.Phases) != 1 || v.Phases[0].Name != "connect" || v.Phases[0].Took <= 0 {
			t.Errorf("%v: phases %+v", a, v.Phases)
		}
	}
}

func testDown(t *testing.T, r runner) {
	for addr, code := range map[string]sdk.Code{
		"127.0.0.1:9": sdk.CodeRefused, "[::1]:9": sdk.CodeRefused,
		"192.0.2.1:80": sdk.CodeUnreachable, "[2001:db8::1]:80": sdk.CodeUnreachable,
	} {
		v, took := probeOnce(t, r, tcp(netip.MustParseAddrPort(addr)), 5*time.Second)
		expect(t, addr, v, sdk.StatusDown, code)
		if took > time.Second {
			t.Errorf("%s: told after %v, want at once", addr, took)
		}
	}
}

// fullListener gives a listener whose queue is full: the kernel drops what else comes.
func fullListener(t *testing.T) (netip.AddrPort, *net.TCPListener) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	// net.FileListener may listen anew with a longer queue.
	raw, _ := l.(*net.TCPListener).SyscallConn()
	raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort(), l.(*net.TCPListener)
}

func testBlackHole(t *testing.T, r runner) {
	a, _ := fullListener(t)
	v, took := probeOnce(t, r, tcp(a), 300*time.Millisecond)
	expect(t, "black hole", v, sdk.StatusDown, sdk.CodeL4Timeout)
	if took < 300*time.Millisecond || took > 2*time.Second {
		t.Errorf("told after %v, want 300ms", took)
	}
}

// testLate: a connection that is made only when the first packet is sent again.
func testLate(t *testing.T, r runner) {
	a, l := fullListener(t)
	ids++
	r.Register(ids, tcp(a), nil)
	ids++
	r.Register(ids, tcp(a), nil)
	r.Start(due(100*time.Millisecond, ids))
	expect(t, "while the queue is full", result(t, r, ids), sdk.StatusDown, sdk.CodeL4Timeout)
	r.Start(due(15*time.Second, ids-1))
	r.Start(due(100*time.Millisecond, ids)) // its end shows that the other's first packet is lost
	expect(t, "while the queue is full", result(t, r, ids), sdk.StatusDown, sdk.CodeL4Timeout)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	expect(t, "when the queue is not full any more", result(t, r, ids-1), sdk.StatusUp, sdk.CodeOK)
}

func testLocalFaults(t *testing.T, r runner) {
	a := listen(t, "127.0.0.1:0")
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := syscall.Rlimit{Cur: 3, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	v, _ := probeOnce(t, r, tcp(a), time.Second)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	expect(t, "out of descriptors", v, sdk.StatusUnknown, sdk.CodeFault)

	localPorts(t, 40100, 40101)
	for range 2 {
		c, err := net.Dial("tcp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	v, _ = probeOnce(t, r, tcp(a), time.Second)
	expect(t, "out of local ports", v, sdk.StatusUnknown, sdk.CodeFault)
}

// testSharedPorts: ten local ports are enough for any number of destinations, unless
// somebody binds them.
func testSharedPorts(t *testing.T, r runner) {
	port := listen(t, "0.0.0.0:0").Port()
	localPorts(t, 40200, 40209)
	for i := range 60 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)}), port)
		v, _ := probeOnce(t, r, tcp(a), time.Second)
		expect(t, a.String(), v, sdk.StatusUp, sdk.CodeOK)
	}
}

// testToItself: two local ports, of which the kernel takes the first for this end.
func testToItself(t *testing.T, r runner) {
	port := 40300 + 2*int(ids%1000) // one that no test has left in TIME_WAIT
	localPorts(t, port, port+1)
	a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
	v, _ := probeOnce(t, r, tcp(a), time.Second)
	expect(t, a.String(), v, sdk.StatusDown, sdk.CodeRefused)
}

func testBulk(t *testing.T, r runner) {
	port := listen(t, "0.0.0.0:0").Port()
	var all []sdk.Due
	want := map[uint64]sdk.Status{}
	for i := range 300 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 2, byte(i)}), port)
		status := sdk.StatusUp
		if i%3 == 0 {
			a, status = netip.AddrPortFrom(a.Addr(), 9), sdk.StatusDown
		}
		ids++
		r.Register(ids, tcp(a), nil)
		all = append(all, due(10*time.Second, ids)...)
		want[ids] = status
	}
	r.Start(all)
	for len(want) > 0 {
		for _, res := range <-r.Results() {
			if s, ok := want[res.ID]; !ok || s != res.Verdict.Status {
				t.Fatalf("%d: %+v, want %v", res.ID, res.Verdict, s)
			}
			delete(want, res.ID)
		}
	}
}

func testForget(t *testing.T, r runner) {
	hole, _ := fullListener(t)
	ids++
	r.Register(ids, tcp(hole), nil)
	r.Start(due(200*time.Millisecond, ids))
	r.Forget(ids)
	// Another black hole with more time ends after the forgotten one would have.
	v, took := probeOnce(t, r, tcp(hole), 400*time.Millisecond)
	expect(t, "the other", v, sdk.StatusDown, sdk.CodeL4Timeout)
	if took < 400*time.Millisecond {
		t.Errorf("told after %v", took)
	}
	ids++
	r.Register(ids, tcp(hole), nil)
	r.Start(due(time.Hour, ids)) // Close ends it
}

func testMisuse(t *testing.T, r runner) {
	v, _ := probeOnce(t, r, sdk.Target{Network: "udp", Addr: netip.MustParseAddrPort("127.0.0.1:9")}, time.Second)
	expect(t, "udp", v, sdk.StatusUnknown, sdk.CodeFault)
	r.Start(due(time.Second, 1<<40))
	expect(t, "not registered", result(t, r, 1<<40), sdk.StatusUnknown, sdk.CodeFault)
	hole, _ := fullListener(t)
	ids++
	r.Register(ids, tcp(hole), nil)
	r.Start(due(300*time.Millisecond, ids))
	r.Start(due(300*time.Millisecond, ids))
	expect(t, "started twice", result(t, r, ids), sdk.StatusUnknown, sdk.CodeFault)
	expect(t, "the first of the two", result(t, r, ids), sdk.StatusDown, sdk.CodeL4Timeout)
}
