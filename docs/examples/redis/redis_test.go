package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// redisServer is how to run Debian's redis-server out of a directory of its own. Where it cannot
// be had the test is left out, loudly, and fails in CI.
func redisServer(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("../../../scripts/private-root", "redis-server")
	var says bytes.Buffer
	cmd.Stderr = &says
	root, err := cmd.Output()
	if err == nil {
		return []string{filepath.Join(strings.TrimSpace(string(root)), "exec"), "redis-server"}
	}
	if installed, err := exec.LookPath("redis-server"); err == nil {
		return []string{installed}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%v: %s", err, &says)
	}
	t.Skipf("NOT TESTED against a real Redis: %s", &says)
	return nil
}

// start runs a server on a free port of both loopback addresses until the test ends.
func start(t *testing.T, program []string, settings ...string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	cmd := exec.Command(program[0], append(program[1:len(program):len(program)], "-")...)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("port %s\nbind 127.0.0.1 ::1\nsave \"\"\ndir %s\n%s\n",
		port, t.TempDir(), strings.Join(settings, "\n")))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var says bytes.Buffer
	cmd.Stdout, cmd.Stderr = &says, &says
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("redis-server on port %s:\n%s", port, &says)
		}
	})
	await(t, "redis-server on port "+port, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return port
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// at is a server that runs already.
func at(port string) sdktest.Server {
	return func(host netip.Addr) (netip.AddrPort, func(), error) {
		addr, err := netip.ParseAddrPort(net.JoinHostPort(host.String(), port))
		return addr, func() {}, err
	}
}

func TestRedis(t *testing.T) {
	program := redisServer(t)
	plain := start(t, program)
	master := start(t, program, "requirepass sesame", "user monitor on >open +ping +role", "user pinger on >open +ping")
	replica := start(t, program, "replicaof 127.0.0.1 "+master, "masterauth sesame")
	orphan := start(t, program, "replicaof 127.0.0.1 1")
	isReplica := func() bool {
		addr, _, err := at(replica)(loopback)
		v := newCheck().Checker().Probe(t.Context(), sdk.Target{Addr: addr, Network: "tcp"}, sdk.Options{"role": "replica"})
		return err == nil && v.Status == sdk.StatusUp
	}
	await(t, "the replica's link", isReplica)

	cases := sdktest.Cases{}
	for _, c := range []struct{ name, port, options, want string }{
		{"no password", plain, "", "up"},
		{"a master without password", plain, "role=master", "up"},
		{"password for nothing", plain, "passwd=sesame", "down l7-auth without any password configured"},
		{"password", master, "passwd=sesame role=master", "up"},
		{"wrong password", master, "passwd=simsalabim", "down l7-auth WRONGPASS"},
		{"password forgotten", master, "", "down l7-auth NOAUTH"},
		{"user", master, "login=monitor passwd=open role=master", "up"},
		{"wrong user", master, "login=root passwd=open", "down l7-auth WRONGPASS"},
		{"user without rights", master, "login=pinger passwd=open role=master", "down l7-auth NOPERM"},
		{"user without need", master, "login=pinger passwd=open", "up"},
		{"master for a replica", master, "passwd=sesame role=replica", "down l7-role its role is master, want replica"},
		{"replica", replica, "role=replica", "up"},
		{"replica for a master", replica, "role=master", "down l7-role its role is replica, want master"},
		{"replica without master", orphan, "role=replica", "down l7-role not connected"},
		{"any", orphan, "role=any", "up"},
	} {
		o := sdk.Options{}
		for _, one := range strings.Fields(c.options) {
			name, value, _ := strings.Cut(one, "=")
			o[name] = value
		}
		one := sdktest.Case{Server: at(c.port), Options: o, Want: sdk.StatusUp}
		if rest, ok := strings.CutPrefix(c.want, "down "); ok {
			code, reason, _ := strings.Cut(rest, " ")
			one.Want, one.Code, one.Reason = sdk.StatusDown, sdk.Code(code), reason
		}
		cases[c.name] = one
	}
	sdktest.Run(t, newCheck(), cases)
}
