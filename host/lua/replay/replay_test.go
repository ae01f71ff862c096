package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/host/lua/ld"
	"github.com/ldirectord/ldirectord/sdk"
)

// server speaks a little of redis: AUTH and INFO.
func server(t *testing.T) sdk.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(c)
			for line, err := in.ReadString('\n'); err == nil; line, err = in.ReadString('\n') {
				switch {
				case strings.HasPrefix(line, "AUTH"):
					io.WriteString(c, "+OK you said "+line)
				case line == "INFO\r\n":
					io.WriteString(c, "role:master\r\nload:7\r\n")
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return target(t, l.Addr().String())
}

func target(t *testing.T, addr string) sdk.Target {
	return sdk.Target{Service: "external-lua", Network: "tcp", Addr: netip.MustParseAddrPort(addr), Virtual: netip.MustParseAddrPort("192.0.2.1:6379")}
}

func file(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const script = `local c = ld.tcp(ld.host, ld.port)
local pass = ld.option("passwd")
if pass then c:send("AUTH " .. pass .. "\r\n") assert(c:recv():match("^%+OK")) end
c:send("INFO\r\n")
local role = c:expect("role:(\\w+)\r")
c:recv()
local load = tonumber(c:expect("load:(\\d+)\r"))
if role ~= ld.args[5] then return ld.down("l7-role", "role " .. role) end
return ld.up("at " .. math.floor(ld.now() * 0) .. ld.random(1), {weight = 100 - load})
`

func record(t *testing.T, path string, to sdk.Target, o sdk.Options, keep bool) (*ld.Recording, sdk.Verdict, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return Record(ctx, lua.New(lua.Options{}), to, o, []string{"passwd", "secret"}, keep)
}

// What was recorded plays without the server, its text and all; scripts that do something else are
// told where.
func TestRecordAndReplay(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "my script.lua"), script)
	options := sdk.Options{"checkcommand": `"` + path + `" master`, "passwd": "sesame"}
	r, v, err := record(t, path, server(t), options, false)
	if err != nil || v.Status != sdk.StatusUp || *v.Weight != 93 {
		t.Fatalf("%v %+v", err, v)
	}
	text := string(r.Encode())
	if strings.Contains(text, "sesame") || !strings.Contains(text, "AUTH ******") {
		t.Errorf("the secret:\n%s", text)
	}
	rec := file(t, path+".d/master.rec", text)
	for name, c := range map[string]struct {
		script, recording string
		want              string // of the problems; empty: none
	}{
		"same":            {script, text, ""},
		"cut otherwise":   {strings.Replace(script, `c:send("INFO\r\n")`, `c:send("IN") c:send("FO\r\n")`, 1), text, ""},
		"reads otherwise": {strings.Replace(script, `c:expect("role:(\\w+)\r")`, `c:recv(11):sub(6) c:recv(1)`, 1), text, ""},
		"reads less":      {`local c = ld.tcp(ld.host, ld.port) c:send("AUTH ") c:send("******\r\n") c:send("INFO\r\n") ld.now() ld.random(1) return ld.up({weight = 93})`, strings.Replace(text, `"at 01"`, "", 1), ""},
		"sends otherwise": {strings.Replace(script, `INFO`, `PING`, 1), text, `.rec:14: diverged at exchange 4: the recording has: send 1 "INFO\r\n"; the script does: send 1 "PING\r\n"`},
		"does more":       {strings.Replace(script, `return ld.up`, `ld.sleep(9) return ld.up`, 1), text, `the recording has: now; the script does: sleep 9`},
		"does less":       {`return ld.up({weight = 93})`, text, `diverged at exchange 1: the recording has: connect 1 tcp 127.0.0.1`},
		"ends early":      {strings.Replace(script, `return ld.up`, `do return 0 end return ld.up`, 1), text, `the recording has: now; the script ended`},
		"other verdict":   {strings.Replace(script, `100 - load`, `50`, 1), text, `came to up "at 01", weight 50|instead of up "at 01", weight 93`},
		"edited verdict":  {script, strings.Replace(text, "verdict up", "verdict down", 1), `instead of down`},
		"caught":          {strings.Replace(script, `c:send("INFO\r\n")`, `pcall(c.send, c, "X") do return 0 end`, 1), text, `the script does: send 1 X`},
		"no verdict":      {script, strings.Replace(text, "\nverdict", "\n#", 1), "the lines `target` and `verdict` are required"},
		"bad line":        {script, text + "\nfly 1\n", `.rec:20: unknown word "fly"`},
	} {
		t.Run(name, func(t *testing.T) {
			file(t, path, c.script)
			file(t, rec, c.recording)
			results := Scripts(t.Context(), []string{path})
			if len(results) != 1 {
				t.Fatalf("%d results", len(results))
			}
			if got := strings.Join(results[0].Problems, "|"); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got  %q\nwant %q\n%s", got, c.want, c.recording)
			}
		})
	}
}

func TestNothingToReplay(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "x.lua"), "return 0")
	results := Scripts(t.Context(), []string{path, path + ".none"})
	if len(results) != 2 || !strings.Contains(results[0].Problems[0], "no recordings in "+path+".d") || !strings.Contains(results[1].Problems[0], "no such file") {
		t.Errorf("%+v", results)
	}
}

// A secret that goes out in another form cannot be taken out: then there is no recording, unless
// it may hold it.
func TestSecretInAnotherForm(t *testing.T) {
	to := server(t)
	path := file(t, filepath.Join(t.TempDir(), "x.lua"), strings.Replace(script, `.. pass ..`, `.. ld.base64.encode(pass) ..`, 1))
	options := sdk.Options{"checkcommand": path + " master", "passwd": "sesame"}
	if r, _, err := record(t, path, to, options, false); !errors.Is(err, ErrSecret) || r != nil {
		t.Errorf("%v %v", r, err)
	}
	r, _, err := record(t, path, to, options, true)
	if err != nil || !strings.Contains(string(r.Encode()), "sesame") {
		t.Error(err)
	}
}

// Everything that touches the world can be recorded: failures, http, udp, dns, TLS.
func TestAllVerbs(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprintf(w, "%s %s\x00\xff", q.Method, q.URL)
	}))
	defer web.Close()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() { // ends with packets
		buf := make([]byte, 100)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			packets.WriteTo(append([]byte("echo "), buf[:n]...), from)
		}
	}()
	port := netip.MustParseAddrPort(packets.LocalAddr().String()).Port()
	path := file(t, filepath.Join(t.TempDir(), "x.lua"), fmt.Sprintf(`
local r = ld.http{url = "/a", tls = true, method = "POST", body = "x", headers = {["X-A"] = "1"}}
assert(r.status == 200 and r.body == "POST /a\0\255", r.body)
local u = ld.udp("127.0.0.1", %d)
u:send("one") assert(u:recv() == "echo one")
local c = ld.tcp(ld.host, ld.port, {tls = true})
c:send("GET / HTTP/1.0\r\n\r\n") c:shutdown("w")
assert(c:recv("*a"):match("200 OK")) assert(c:peercert().not_after > 0)
local ok, e = pcall(ld.tcp, "127.0.0.1", 1) assert(not ok and e.code == "l4-refused")
ok, e = pcall(ld.dns, "x.test", "A", "127.0.0.1:1") assert(not ok)
ld.sleep(0.01)
return ld.down("l7-all", "done")`, port))
	r, v, err := record(t, path, target(t, web.Listener.Addr().String()), sdk.Options{"checkcommand": path}, false)
	if err != nil || v.Code != "l7-all" {
		t.Fatalf("%v %+v", err, v)
	}
	file(t, path+".d/all.rec", string(r.Encode()))
	web.Close()
	packets.Close()
	if results := Scripts(t.Context(), []string{path}); len(results[0].Problems) > 0 {
		t.Errorf("%q\n%s", results[0].Problems, r.Encode())
	}
}

// The deadline has the code of the layer at which it found the script, live and replayed alike.
func TestDeadlineHasItsLayer(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "x.lua"), `local c = ld.tcp(ld.host, ld.port) c:send("x\n") c:recv()`)
	hang := func(ctx context.Context, network, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	for want, dial := range map[sdk.Code]func(context.Context, string, string) (net.Conn, error){"l7-timeout": nil, "l4-timeout": hang} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		r, v, err := Record(ctx, lua.New(lua.Options{Dial: dial}), server(t), sdk.Options{"checkcommand": path}, nil, false)
		cancel()
		if err != nil || v.Code != want {
			t.Fatalf("%+v, want %s", v, want)
		}
		file(t, path+".d/late.rec", string(r.Encode()))
		if results := Scripts(t.Context(), []string{path}); len(results[0].Problems) > 0 {
			t.Errorf("%q\n%s", results[0].Problems, r.Encode())
		}
	}
}
