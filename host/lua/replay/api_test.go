package replay

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/sdk"
)

const apiPage = "../../../docs/lua-api.md"

// apiServers are what the examples of the page are for, by the word behind ```lua.
func apiServers(t *testing.T) map[string]netip.AddrPort {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	lines, shut := listen(), listen()
	shut.Close()
	go func() { // ends with lines
		for {
			c, err := lines.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 ready\r\n")
			for in := bufio.NewScanner(c); in.Scan(); {
				fmt.Fprintf(c, "250 %s\r\n", in.Text())
			}
			c.Close()
		}
	}()
	page := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"host":%q}`, q.Host)
	})
	web, secure := httptest.NewServer(page), httptest.NewTLSServer(page)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with packets
		buf := make([]byte, 100)
		for n, from, err := packets.ReadFrom(buf); err == nil; n, from, err = packets.ReadFrom(buf) {
			packets.WriteTo(buf[:n], from)
		}
	}()
	questions, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{PacketConn: questions, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		soa, _ := dns.NewRR("example.com. 60 SOA ns.example.com. admin.example.com. 2026112201 60 60 60 60")
		answer.Answer, answer.Authoritative = []dns.RR{soa}, true
		w.WriteMsg(answer)
	})}
	go names.ActivateAndServe() // ends with questions
	t.Cleanup(func() { lines.Close(); web.Close(); secure.Close(); packets.Close(); names.Shutdown() })
	at := map[string]netip.AddrPort{}
	for name, addr := range map[string]net.Addr{
		"lines": lines.Addr(), "refused": shut.Addr(), "http": web.Listener.Addr(), "tls": secure.Listener.Addr(),
		"udp": packets.LocalAddr(), "dns": questions.LocalAddr(),
	} {
		at[name] = netip.MustParseAddrPort(addr.String())
	}
	return at
}

// Every example of the page does what it says: it is up, or down as its comment says.
func TestExamplesOfTheAPI(t *testing.T) {
	text, err := os.ReadFile(apiPage)
	if err != nil {
		t.Fatal(err)
	}
	at := apiServers(t)
	examples := regexp.MustCompile("(?ms)^```lua ?(\\w*)\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
	if len(examples) < 12 {
		t.Fatalf("%d examples", len(examples))
	}
	said := regexp.MustCompile(`-- (down \S+)`)
	for _, e := range examples {
		addr, known := at[e[1]]
		if !known {
			t.Errorf("which server is this for?\n%s", e[2])
			continue
		}
		want := "up "
		if m := said.FindStringSubmatch(e[2]); m != nil {
			want = m[1]
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		v := lua.New(lua.Options{}).Probe(ctx, sdk.Target{Service: "external-lua", Network: "tcp", Addr: addr}, sdk.Options{"lua": e[2]})
		cancel()
		if got := v.Status.String() + " " + string(v.Code); got != want {
			t.Errorf("%s %s, want %s\n%s", got, v.Reason, want, e[2])
		}
	}
}

// Every function has its heading.
func TestAPIIsWhole(t *testing.T) {
	text, err := os.ReadFile(apiPage)
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "### ") {
			headings = append(headings, line)
		}
	}
	all := strings.Join(headings, "")
	const names = `local out = {}
local function list(prefix, t)
	for name, v in pairs(t) do
		if v == ld.json or v == ld.base64 then list(prefix .. name .. ".", v) else out[#out + 1] = prefix .. name end
	end
end
list("ld.", ld)
return ld.up(table.concat(out, " "))`
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	v := lua.New(lua.Options{}).Probe(ctx, sdk.Target{Addr: netip.MustParseAddrPort("127.0.0.1:1")}, sdk.Options{"lua": names})
	found := strings.Fields(v.Reason)
	if len(found) < 25 {
		t.Fatalf("%+v", v)
	}
	found = append(found, "c:send", "c:recv", "c:expect", "c:starttls", "c:peer", "c:peercert", "c:shutdown", "c:close", "ld.args", "ld.host")
	for _, name := range found {
		if !regexp.MustCompile("`" + regexp.QuoteMeta(name) + "[(`{]").MatchString(all) {
			t.Errorf("%s has no heading in docs/lua-api.md", name)
		}
	}
}

// The recordings beside scripts of the cookbook play.
func TestRecordingsOfTheCookbook(t *testing.T) {
	scripts, err := filepath.Glob("../../../docs/examples/lua/*.lua.d")
	if err != nil || len(scripts) == 0 {
		t.Fatal("there are none", err)
	}
	for i := range scripts {
		scripts[i] = strings.TrimSuffix(scripts[i], ".d")
	}
	for _, r := range Scripts(t.Context(), scripts) {
		if len(r.Problems) > 0 {
			t.Errorf("%s: %q", r.Recording, r.Problems)
		}
	}
}
