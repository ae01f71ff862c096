package systemd

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	configuration = "/etc/ha.d/web.cf"
	secret        = "hunter2-the-secret"
	checks        = `checkinterval = 1
checktimeout = 2
quiescent = no
`
	services = `virtual = 127.0.0.1:81
	real = 127.0.0.1:7001 masq
	service = pop
	login = joe
	passwd = "` + secret + `"
virtual = 127.0.0.1:82
	real = 127.0.0.1:7002 masq
	checktype = external
	checkcommand = /run/check
`
)

// service is a daemon as systemd runs it.
type service struct {
	*exec.Cmd
	notify *net.UnixConn
	told   []string
}

// run starts the daemon; the table is in memory: no kernel is needed.
func run(t *testing.T) *service {
	t.Helper()
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/run/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { notify.Close() })
	out, variable := stream(t)
	s := &service{Cmd: exec.Command(program, "--dry-run", configuration, "run"), notify: notify}
	s.Env = append(os.Environ(), variable, "NOTIFY_SOCKET=/run/notify", "WATCHDOG_USEC=1000000", "LDIRECTORD_PLUGIN_PATH=/run/bin/plugins")
	s.Stdout, s.Stderr = out, out
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Process.Kill() })
	return s
}

// hears waits until a message that fits has come, and drops all up to it.
func (s *service) hears(t *testing.T, pattern string) string {
	t.Helper()
	buf := make([]byte, 4096)
	if err := s.notify.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := s.notify.Read(buf)
		if err != nil {
			t.Fatalf("not told %q: %v; told %q", pattern, err, s.told)
		}
		message := string(buf[:n])
		s.told = append(s.told, message)
		if regexp.MustCompile(pattern).MatchString(message) {
			return message
		}
	}
}

// greeter is a real server that is content with every login over POP3.
func greeter(t *testing.T) (close func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:7001")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "+OK\r\n")
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if lines.Text() == "CAPA" {
					fmt.Fprint(conn, "-ERR unknown\r\n")
				} else {
					fmt.Fprint(conn, "+OK\r\n")
				}
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return func() { l.Close() }
}

func TestJournalOfADaemon(t *testing.T) {
	if !inside(t) {
		return
	}
	build(t)
	stop := journald(t)
	write(t, "/run/check", "#!/bin/sh\nenv >/run/script; echo 'forged\nPRIORITY=0'; test ! -e /run/sick\n")
	write(t, configuration, checks+services)
	closeGreeter := greeter(t)
	s := run(t)
	s.hears(t, `(?s)^READY=1\nSTATUS=2 virtual services, \d of 2 real servers up$`)
	s.hears(t, `^STATUS=2 virtual services, 2 of 2 real servers up$`)
	s.hears(t, `^WATCHDOG=1$`)

	// why was it down?
	closeGreeter()
	r := found(t, `^Deleted real server: 127\.0\.0\.1:7001 \(127\.0\.0\.1:81\) virtual=`, "LDIRECTORD_REAL=127.0.0.1:7001", "--priority=warning")
	for field, want := range map[string]string{
		"LDIRECTORD_VIRTUAL": "127.0.0.1:81", "LDIRECTORD_REASON": "connection refused", "LDIRECTORD_INSTANCE": "web.cf",
		"PRIORITY": "4", "SYSLOG_IDENTIFIER": "ldirectord", "_TRANSPORT": "journal", "_PID": strconv.Itoa(s.Process.Pid),
		"LDIRECTORD_CHECK": "pop tcp 127.0.0.1:7001",
	} {
		if !strings.Contains(r[field], want) {
			t.Errorf("%s=%q, want %q", field, r[field], want)
		}
	}
	s.hears(t, `^STATUS=2 virtual services, 1 of 2 real servers up$`)
	write(t, "/run/sick", "")
	if r = found(t, `^Deleted real server`, "LDIRECTORD_REAL=127.0.0.1:7002"); r["PRIORITY"] != "4" {
		t.Errorf("a script's words became %q", r)
	}
	nobodySpeaksForUs(t, s.Process.Pid)
	reloads(t, s)

	// a journal that goes and comes back
	stop()
	s.signal(t, syscall.SIGHUP)
	s.hears(t, `^RELOADING=1`)
	s.hears(t, `^READY=1`)
	journald(t)
	s.signal(t, syscall.SIGHUP)
	s.hears(t, `^READY=1`)
	found(t, "^Reloaded configuration", "LDIRECTORD_INSTANCE=web.cf")

	s.signal(t, syscall.SIGTERM)
	s.hears(t, `^STOPPING=1$`)
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	found(t, "^Stopped ldirectord", "LDIRECTORD_INSTANCE=web.cf")
	questions(t)
	for _, r := range records(t) {
		if text := fmt.Sprint(r); r["_COMM"] == "ldirectord" && (strings.Contains(text, secret) || r["_TRANSPORT"] != "journal") {
			t.Errorf("record %q", text)
		}
	}
}

// questions asks what docs/systemd.md asks, of the servers that are here. -u is left out: journald learns the
// unit from systemd's control groups.
func questions(t *testing.T) {
	t.Helper()
	page, err := os.ReadFile("../../docs/systemd.md")
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("10.0.0.5:80", "127.0.0.1:7001", "192.0.2.10:80", "127.0.0.1:81", " -f", "", " -u ldirectord@web.cf", "")
	asked := regexp.MustCompile(`(?m)^    journalctl(.*)$`).FindAllStringSubmatch(string(page), -1)
	if len(asked) < 4 {
		t.Errorf("docs/systemd.md asks %q only", asked)
	}
	for _, line := range asked {
		args := append([]string{"--directory=/run/log/journal", "--quiet"}, strings.Fields(here.Replace(line[1]))...)
		out, err := tool("journalctl", args...).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("connection refused")) {
			t.Errorf("journalctl %q: %v, does not say why:\n%s", args, err, out)
		}
	}
}

func (s *service) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := s.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// reloads: one that succeeds, one that does not, and one that makes good for it.
func reloads(t *testing.T, s *service) {
	t.Helper()
	const fine = `^READY=1\nSTATUS=2 virtual services, 0 of 2 real servers up$`
	s.signal(t, syscall.SIGHUP)
	s.hears(t, `^RELOADING=1\nMONOTONIC_USEC=[1-9]\d+$`)
	s.hears(t, fine)
	write(t, configuration, "autoreload = maybe\n")
	s.signal(t, syscall.SIGHUP)
	s.hears(t, `^RELOADING=1\n`)
	s.hears(t, `^READY=1\nSTATUS=2 virtual services, 0 of 2 real servers up; the last reload changed nothing: .*web\.cf:1`)
	write(t, configuration, checks+services)
	s.signal(t, syscall.SIGHUP)
	s.hears(t, fine)
}

// nobodySpeaksForUs: what the daemon started knows nothing of systemd.
func nobodySpeaksForUs(t *testing.T, daemon int) {
	t.Helper()
	files := []string{"/run/script"}
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	plugins := 0
	for _, path := range environs {
		name, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "comm"))
		if bytes.HasPrefix(name, []byte("ldirectord-check")[:15]) {
			plugins++
			files = append(files, path)
		}
	}
	if plugins != 1 {
		t.Errorf("%d plugin processes of %d", plugins, daemon)
	}
	for _, path := range files {
		until(t, path, func() bool {
			text, err := os.ReadFile(path)
			if bytes.Contains(text, []byte("NOTIFY_SOCKET")) || bytes.Contains(text, []byte("WATCHDOG_")) {
				t.Fatalf("%s has %q", path, text)
			}
			return err == nil && bytes.Contains(text, []byte("PATH="))
		})
	}
}
