package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ldirectord/ldirectord/host/control"
	"github.com/ldirectord/ldirectord/host/daemon"
)

// held are connections of a client that go on through whatever the director does.
type held struct{ conns []net.Conn }

// echo ADDRESS starts a server that sends back what it gets.
func echo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: echo ADDRESS")
	}
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection, which the client closes
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
}

// hold N ADDRESS holds N connections to ADDRESS, which must lead to an echo server. held sends something
// over each of them, and waits for it to come back.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hold N ADDRESS")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	h := ts.Value("held").(*held)
	for range n {
		var conn net.Conn
		wait(ts, false, func() (bool, string) { // until the director has found the server
			conn, err = net.DialTimeout("tcp", args[1], patience)
			return err == nil, fmt.Sprint(err)
		})
		ts.Defer(func() { conn.Close() })
		h.conns = append(h.conns, conn)
	}
	stillHeld(ts, false, nil)
}

func stillHeld(ts *testscript.TestScript, neg bool, args []string) {
	h := ts.Value("held").(*held)
	if neg || len(args) != 0 || len(h.conns) == 0 {
		ts.Fatalf("usage: held, after hold")
	}
	for i, conn := range h.conns {
		ts.Check(conn.SetDeadline(time.Now().Add(patience)))
		said := fmt.Sprintf("connection %d at %d\n", i, time.Now().UnixNano())
		_, err := io.WriteString(conn, said)
		ts.Check(err)
		if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || got != said {
			ts.Fatalf("connection %d of %d: %q, %v", i+1, len(h.conns), got, err)
		}
	}
}

// reloads N FILE... has the daemon take over N configurations one after the other, the files of the
// script by turns; each must be accepted.
func reloads(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: reloads N FILE...")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	socket := control.Dial(daemon.PathsOf(ts.Getenv("NAME")).Socket)
	for i := range n {
		rewrite(ts, false, []string{args[1+i%(len(args)-1)]})
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := socket.Reload(ctx)
		cancel()
		if err != nil {
			ts.Fatalf("reload %d: %v", i+1, err)
		}
	}
}

// conns SERVICE N: the kernel has counted N connections or more to the virtual service since it was
// made. Its counters lag by two seconds.
func conns(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: conns SERVICE N")
	}
	least, err := strconv.Atoi(args[1])
	ts.Check(err)
	wait(ts, false, func() (bool, string) {
		out, err := exec.Command("ipvsadm", "-Ln", "--stats").CombinedOutput()
		if err != nil {
			return false, fmt.Sprintf("ipvsadm: %v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			words := strings.Fields(line)
			if len(words) > 2 && words[1] == args[0] {
				n, err := strconv.Atoi(words[2])
				return err == nil && n >= least, line
			}
		}
		return false, "no such service:\n" + string(out)
	})
}

// footprint is what a daemon has of its machine.
type footprint struct {
	descriptors, threads, children int
	resident                       int // KiB
}

// footprintOf reads it from proc(5).
func footprintOf(pid string) (footprint, error) {
	var f footprint
	fds, err := os.ReadDir(filepath.Join("/proc", pid, "fd"))
	if err != nil {
		return f, err
	}
	f.descriptors = len(fds)
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(string(status)) {
		words := strings.Fields(line)
		switch {
		case len(words) < 2:
		case words[0] == "Threads:":
			f.threads, err = strconv.Atoi(words[1])
		case words[0] == "VmRSS:":
			f.resident, err = strconv.Atoi(words[1])
		}
		if err != nil {
			return f, err
		}
	}
	tasks, err := filepath.Glob(filepath.Join("/proc", pid, "task", "*", "children"))
	if err != nil {
		return f, err
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			return f, err
		}
		f.children += len(strings.Fields(string(children)))
	}
	return f, nil
}

// leaks note keeps what the daemon has of its machine; ! leaks waits until it has no more than that: no
// descriptor, thread or process, and at most a fifth more memory.
func leaks(ts *testscript.TestScript, neg bool, args []string) {
	if neg == (len(args) == 1 && args[0] == "note") {
		ts.Fatalf("usage: leaks note, or ! leaks")
	}
	pid, err := os.ReadFile(daemon.PathsOf(ts.Getenv("NAME")).PidFile)
	ts.Check(err)
	kept := ts.Value("footprint").(*footprint)
	if !neg {
		*kept, err = footprintOf(strings.TrimSpace(string(pid)))
		ts.Check(err)
		return
	}
	wait(ts, false, func() (bool, string) {
		now, err := footprintOf(strings.TrimSpace(string(pid)))
		if err != nil {
			return false, err.Error()
		}
		// The runtime makes a thread more now and then, and keeps it: what leaks is one each time.
		less := now.descriptors <= kept.descriptors && now.threads <= kept.threads+8 && now.children <= kept.children
		return less && now.resident <= kept.resident*6/5, fmt.Sprintf("before %+v, now %+v", *kept, now)
	})
	ts.Logf("before %+v", *kept)
}
