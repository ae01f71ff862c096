package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

func TestFiles(t *testing.T) { sdktest.RunFiles(t, newCheck(), "testdata/*.txtar") }

func TestDocuments(t *testing.T) { sdktest.Documents(t, newCheck(), "README.md", "services") }

const greeted = "send \"220 ready\\r\\n\"\nline\nsend \"331 password\\r\\n\"\nline\nsend \"230 in\\r\\n\"\n"

func TestContract(t *testing.T) {
	const dialogue = greeted + "line\nsend \"502 no\\r\\n\"\nline\nsend \"200 binary\\r\\n\"\nline\nsend \"221 bye\\r\\n\"\n"
	o := sdk.Options{"login": "alice", "passwd": "sesame"}
	sdktest.Run(t, newCheck(), sdktest.Cases{
		"healthy": {Server: sdktest.Script(dialogue, nil), Options: o, Want: sdk.StatusUp},
		"refused": {Options: o, Want: sdk.StatusDown, Code: sdk.CodeRefused},
		"closing": {Server: sdktest.Closing(), Options: o, Want: sdk.StatusDown, Code: sdk.CodeClosed},
	})
}

func TestOptions(t *testing.T) {
	for name, value := range map[string]string{"receive": "(", "max-body": "0", "login": "a\r\nDELE x", "request": "x\n", "passwd": "\x00"} {
		if newCheck().Checker().Validate(t.Context(), "ftp", sdk.Options{name: value}) == nil {
			t.Errorf("%s = %s was accepted", name, value)
		}
	}
	t.Setenv("HOSTNAME", "director.example.com")
	if o := (options{Request: "pub/x"}).filled(); o.Passwd != "ldirectord@director.example.com" || o.Request != "/pub/x" {
		t.Errorf("%+v", o)
	}
}

// files is a server with one connection for data, over which send speaks; passive is the
// answer to PASV and EPSV, and end the last one.
type files struct {
	passive string // PORT in it is the port, as PASV has it; empty: as it should be
	send    func(net.Conn)
	end     string
}

func (f files) server() sdktest.Server {
	return sdktest.TCP(func(c net.Conn) {
		host := netip.MustParseAddrPort(c.LocalAddr().String()).Addr()
		l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			return
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		in := bufio.NewReader(c)
		fmt.Fprint(c, "220 ready\r\n")
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			switch word := strings.ToUpper(strings.Fields(line + " x")[0]); {
			case word == "USER":
				fmt.Fprint(c, "230-welcome\r\n230 in\r\n")
			case word == "TYPE":
				fmt.Fprint(c, "200 binary\r\n")
			case (word == "PASV" || word == "EPSV") && f.passive != "":
				io.WriteString(c, strings.ReplaceAll(f.passive, "PORT", fmt.Sprintf("%d,%d", port/256, port%256))+"\r\n")
			case word == "PASV":
				fmt.Fprintf(c, "227 Entering (127,0,0,1,%d,%d).\r\n", port/256, port%256)
			case word == "EPSV":
				fmt.Fprintf(c, "229 Entering (|||%d|)\r\n", port)
			case word == "RETR" && strings.HasPrefix(line, "RETR /pub/x\r"):
				f.transfer(c, l)
			case word == "RETR":
				fmt.Fprint(c, "550 no such file\r\n")
			case word == "QUIT":
				fmt.Fprint(c, "221 bye\r\n")
				return
			default:
				fmt.Fprint(c, "502 no\r\n")
			}
		}
	})
}

func (f files) transfer(c net.Conn, l net.Listener) {
	data, err := l.Accept()
	if err != nil {
		return
	}
	defer data.Close()
	fmt.Fprint(c, "150 here it comes\r\n")
	f.send(data)
	data.Close()
	if f.end != "" {
		fmt.Fprint(c, f.end+"\r\n")
	}
}

func say(text string) func(net.Conn) { return func(c net.Conn) { io.WriteString(c, text) } }

// endless sends until nobody listens, 100 MB at most.
func endless(c net.Conn) {
	for range 100 {
		if _, err := io.WriteString(c, strings.Repeat("x", 1_000_000)); err != nil {
			return
		}
	}
}

func drip(c net.Conn) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		<-tick.C
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
	}
}

func mute(c net.Conn) { io.Copy(io.Discard, c) }

func reset(c net.Conn) {
	io.WriteString(c, "hello")
	c.(*net.TCPConn).SetLinger(0)
}

// TestTransfer is about the connection for data.
func TestTransfer(t *testing.T) {
	const ok = "226 done"
	for name, c := range map[string]struct {
		f            files
		more         sdk.Options
		want, reason string
	}{
		"healthy":              {files{send: say("hello\n"), end: ok}, sdk.Options{"receive": "^hello$"}, "up ", ""},
		"no receive":           {files{send: say("hello\n"), end: ok}, nil, "up ", ""},
		"no slash":             {files{send: say("hello\n"), end: ok}, sdk.Options{"request": "pub/x"}, "up ", ""},
		"250":                  {files{send: say("hello\n"), end: "250 done"}, nil, "up ", ""},
		"empty file":           {files{send: say(""), end: ok}, nil, "up ", ""},
		"wrong content":        {files{send: say("hello\n"), end: ok}, sdk.Options{"receive": "bye"}, "down l7-match", "receive does not match the file of 6 bytes"},
		"no such file":         {files{send: say("hello\n"), end: ok}, sdk.Options{"request": "/y"}, "down l7-status", `request: the server answers "550 no such file"`},
		"elsewhere":            {files{passive: "227 Entering (192,0,2,1,PORT).", send: say("hello\n"), end: ok}, nil, "up ", ""},
		"huge, match":          {files{send: endless, end: ok}, sdk.Options{"receive": "^xxx"}, "up ", ""},
		"huge, no match":       {files{send: endless, end: ok}, sdk.Options{"receive": "y"}, "down l7-match", "receive does not match the first 1048576 bytes of the file"},
		"huge, no receive":     {files{send: endless, end: ok}, nil, "up ", ""},
		"bound":                {files{send: say("12345"), end: ok}, sdk.Options{"max-body": "4", "receive": "5"}, "down l7-match", "the first 4 bytes"},
		"just within":          {files{send: say("12345"), end: ok}, sdk.Options{"max-body": "5", "receive": "5"}, "up ", ""},
		"aborted":              {files{send: say("hello\n"), end: "426 broken"}, sdk.Options{"receive": "hello"}, "down l7-status", `transfer: the server answers "426 broken"`},
		"reset":                {files{send: reset, end: ok}, nil, "down l7-closed", "reset by peer"},
		"drip":                 {files{send: drip, end: ok}, nil, "down l7-timeout", ""},
		"mute":                 {files{send: mute, end: ok}, nil, "down l7-timeout", ""},
		"no last word":         {files{send: say("hello\n")}, nil, "down l7-timeout", ""},
		"parentheses reversed": {files{passive: "227 )(", send: say("")}, nil, "down l7-protocol", ""},
		"no port":              {files{passive: "227 somewhere", send: say("")}, nil, "down l7-protocol", ""},
		"port too large":       {files{passive: "227 (127,0,0,1,999,9)", send: say("")}, nil, "down l7-protocol", "the server names the port 255753 for data"},
		"port below zero":      {files{passive: "227 (127,0,0,1,-1,0)", send: say("")}, nil, "down l7-protocol", "port -256"},
		"port 0":               {files{passive: "227 (127,0,0,1,0,0)", send: say("")}, nil, "down l7-protocol", "port 0"},
		"closed port":          {files{passive: "227 (127,0,0,1,0,1)", send: say("")}, nil, "down l4-refused", ""},
		"no passive mode":      {files{passive: "502 no", send: say("")}, nil, "down l7-status", `request: the server answers "502 no"`},
		"endless answer":       {files{passive: "227-" + strings.Repeat("x", 70_000), send: say("")}, nil, "down l7-protocol", "more than 65536 bytes"},
	} {
		for _, host := range []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()} {
			t.Run(name+"/"+host.String(), func(t *testing.T) {
				t.Parallel()
				addr, stop, err := c.f.server()(host)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(stop)
				o := sdk.Options{"request": "/pub/x"}
				for name, value := range c.more {
					o[name] = value
				}
				try(t, addr, o, limit(c.want), c.want, c.reason)
			})
		}
	}
}

// limit is the deadline of a probe that deserves want: short when it is waited for.
func limit(want string) time.Duration {
	if strings.HasSuffix(want, "-timeout") {
		return 500 * time.Millisecond
	}
	return 10 * time.Second
}

// try probes once, and looks at the verdict and at the time it took: until the deadline when something is
// waited for, and else not.
func try(t *testing.T, addr netip.AddrPort, o sdk.Options, limit time.Duration, want, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begun := time.Now()
	v := newCheck().Checker().Probe(ctx, sdk.Target{Service: "ftp", Addr: addr, Network: "tcp"}, o)
	took := time.Since(begun)
	if got := v.Status.String() + " " + string(v.Code); got != want || !strings.Contains(v.Reason, reason) {
		t.Errorf("%s %v: %s (%s), want %s (%s)\n%s", addr, o, got, v.Reason, want, reason, v.Transcript)
	}
	if passwd := o["passwd"]; passwd != "" && strings.Contains(v.Transcript, passwd) {
		t.Errorf("the password is in the transcript:\n%s", v.Transcript)
	}
	waits := strings.HasSuffix(string(v.Code), "-timeout")
	if early := took < limit-50*time.Millisecond; waits == early || took > limit+2*time.Second {
		t.Errorf("%s %s: after %v, with a deadline of %v", v.Code, v.Reason, took, limit)
	}
}
