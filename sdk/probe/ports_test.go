package probe

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/ldirectord/ldirectord/sdk"
)

// ownNetwork moves the test's goroutine into a network namespace of its own, which ends with it.
func ownNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		const lack = "NOT TESTED that local ports are shared: a network namespace needs root"
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s: %v", lack, err)
		}
		t.Skipf("%s: %v", lack, err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	request := struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}{name: [16]byte{'l', 'o'}, flags: syscall.IFF_UP}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Fatalf("bring lo up: %v", errno)
	}
}

// One local port serves any number of destinations: a probe that bound one for itself would
// run out of them at 28,000 probes a minute.
func TestDialSharesPorts(t *testing.T) {
	ownNetwork(t)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40000"), 0); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
		addr := netip.MustParseAddrPort(host + ":80")
		l, err := net.Listen("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := Dial(t.Context(), sdk.Target{Addr: addr, Network: "tcp"}, nil)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		defer c.Close()
	}
}
