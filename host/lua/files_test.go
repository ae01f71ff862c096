package lua_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/sdk"
)

// write makes a file, whose modification time is later than that of any before.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
}

var now = time.Now().Add(-time.Hour)

func TestFiles(t *testing.T) {
	c := lua.New(lua.Options{})
	dir := t.TempDir()
	path := filepath.Join(dir, "check.lua")
	write(t, path, "#!/usr/bin/lua\nreturn false, table.concat(arg, ' ')")
	probe, err := c.(sdk.Preparer).Prepare("", sdk.Options{"checkcommand": path + ` one "two three" 'x' ""`})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	want := func(status sdk.Status, reason string) {
		t.Helper()
		v := probe(ctx, target)
		if v.Status != status || v.Reason != reason {
			t.Errorf("got %v %q, want %v %q", v.Status, v.Reason, status, reason)
		}
	}
	want(sdk.StatusDown, "192.0.2.1 80 192.0.2.2 8080 one two three x ")
	write(t, path, "return true, 'mine'")
	want(sdk.StatusUp, "mine")
	write(t, path, "return true, 'more'") // of the same size
	want(sdk.StatusUp, "more")
	other := filepath.Join(dir, "other.lua")
	write(t, other, "return true, 'else'")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chtimes(other, info.ModTime(), info.ModTime()), os.Rename(other, path)); err != nil {
		t.Fatal(err)
	}
	want(sdk.StatusUp, "else") // of the same size and time
	write(t, path, "local x = 1\n\nreturn x +")
	want(sdk.StatusUnknown, path+":3: syntax error at the end of the script")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want(sdk.StatusUnknown, "stat "+path+": no such file or directory")
	write(t, path, "return 0")
	want(sdk.StatusUp, "")
	write(t, path, "\n\nerror('here')")
	want(sdk.StatusDown, path+":3: here")
}

func TestArguments(t *testing.T) {
	c := lua.New(lua.Options{})
	mark := sdk.Target{FWMark: 5, Addr: sdk.Target{}.Addr, Network: "tcp"}
	mark.Addr = target.Addr
	six := target
	six.Addr, six.Virtual = mustPort("[2001:db8::2]:80"), mustPort("[2001:db8::1]:443")
	for want, target := range map[string]sdk.Target{
		"5 0 192.0.2.2 8080": mark, "[2001:db8::1] 443 [2001:db8::2] 80": six,
	} {
		v := c.Probe(t.Context(), target, sdk.Options{"lua": `return true, table.concat(ld.args, " ")`})
		if v.Reason != want {
			t.Errorf("got %q, want %q", v.Reason, want)
		}
	}
}

func TestInvalidScripts(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.lua")
	write(t, bad, "local a = 1\nif a then\n")
	deep := strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000)
	tests := []struct {
		options sdk.Options
		option  string
		offset  int
		says    string
	}{
		{sdk.Options{}, "checkcommand", 0, "no script"},
		{sdk.Options{"checkcommand": "check.lua"}, "checkcommand", 0, "not the absolute path"},
		{sdk.Options{"checkcommand": dir + "/none.lua x"}, "checkcommand", 0, dir + "/none.lua: no such file"},
		{sdk.Options{"checkcommand": dir}, "checkcommand", 0, "is no file"},
		{sdk.Options{"checkcommand": bad}, "checkcommand", 0, bad + ":2: "},
		{sdk.Options{"lua": "local x = 1\nlocal y = = 2\n"}, "lua", 22, "syntax error near \"=\""},
		{sdk.Options{"lua": "local x = 1\nlocal y == 2\n"}, "lua", 20, "syntax error near \"==\""},
		{sdk.Options{"lua": "x = 1 local local y"}, "lua", 12, "syntax error near \"local\""},
		{sdk.Options{"lua": "x = 'abc"}, "lua", 0, "unterminated string"},
		{sdk.Options{"lua": "break"}, "lua", 0, "no loop to break"},
		{sdk.Options{"lua": "\n goto nowhere"}, "lua", 1, "no visible label 'nowhere'"},
		{sdk.Options{"lua": "x =\n" + strings.Repeat("-", 1) + strings.Repeat("{", 5000) + strings.Repeat("}", 5000)}, "lua", 4, "nested more than"},
		{sdk.Options{"lua": "return " + deep}, "lua", 0, ""},
		{sdk.Options{"lua": "x = [[" + strings.Repeat("x", 1<<20) + "]]"}, "lua", 0, "a script of more than"},
	}
	c := lua.New(lua.Options{})
	for _, tt := range tests {
		err := c.Validate(t.Context(), lua.Kind, tt.options)
		if tt.says == "" {
			if err != nil {
				t.Errorf("got %v", err)
			}
			continue
		}
		bad, ok := errors.AsType[*sdk.OptionError](err)
		if !ok || bad.Option != tt.option || bad.Offset != tt.offset || !strings.Contains(bad.Want, tt.says) {
			t.Errorf("%.60v: got %+v, want %q at %d: %s", tt.options, err, tt.option, tt.offset, tt.says)
		}
		if v := c.Probe(t.Context(), target, tt.options); v.Status != sdk.StatusUnknown {
			t.Errorf("%.60v: probed: %+v", tt.options, v)
		}
	}
}

// catalog is the check as a configuration sees it.
type catalog struct{ c sdk.Checker }

func (c catalog) Services() []string { return []string{"none"} }

func (c catalog) Lookup(service string) (config.ServiceInfo, error) {
	if service != lua.Kind {
		return config.ServiceInfo{}, config.ErrUnknownService
	}
	info, err := c.c.Describe(context.Background())
	out := config.ServiceInfo{IPv6: info.IPv6}
	for _, o := range info.Options {
		out.Options = append(out.Options, config.OptionInfo{Name: o.Name, Default: o.Default, Required: o.Required, Secret: o.Secret})
	}
	return out, err
}

func (c catalog) Validate(service string, options map[string]string) error {
	return c.c.Validate(context.Background(), service, options)
}

// What is wrong with a script is reported at its line of the configuration.
func TestConfiguration(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.lua")
	write(t, bad, "local a = 1\nlocal b = = 1\n")
	section := "quiescent = yes\nvirtual = 192.0.2.1:80\n\treal = 192.0.2.2:80 gate\n\tservice = none\n\tchecktype = external-lua\n"
	tests := []struct {
		text  string
		wants []string
	}{
		{section + "\tlua = <<END\nreturn true\nEND\n\trequest = \"x\"\n\tlogin = \"me\"\n\toption.role = \"master\"\n", nil},
		{section + "\tlua = <<END\n\t\tlocal x = 1\n\t\tlocal y = = 2\n\tEND\n", []string{":8:13: lua: ", "near \"=\""}},
		{section + "\tlua = <<END\n\t\tif x then\n\t\t\ty()\n\n\tEND\n", []string{":8:", "lua: ", "at the end of the script"}},
		{section + "\tcheckcommand = \"" + bad + " x\"\n", []string{":6:18: checkcommand: ", bad + ":2: ", "near \"=\""}},
		{section + "\tcheckcommand = \"" + dir + "/none.lua\"\n", []string{":6:18: checkcommand: ", "no such file"}},
	}
	for _, tt := range tests {
		l := &config.Loader{OpenCatalog: func(string, string) config.Catalog { return catalog{lua.New(lua.Options{})} }}
		c, err := l.Parse(t.Context(), "ldirectord.cf", []byte(tt.text))
		if len(tt.wants) == 0 && (err != nil || len(c.Warnings) > 0) {
			t.Errorf("%s: got %v, %v", tt.text, err, c)
		}
		for _, want := range tt.wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", tt.text, err, want)
			}
		}
	}
}

// What one run leaves behind is nothing to the next, which may be another real server's.
func TestNothingLeaks(t *testing.T) {
	leaks := []string{
		`leak = 1`,
		`_G.leak = 1`,
		`rawset(_G, "leak", 1)`,
		`_G[1] = 1`,
		`string.leak = 1`,
		`string[1] = 1`,
		`string.format = nil`,
		`function string.format() return "leak" end`,
		`table.insert(math, 1)`,
		`setmetatable(string, {__index = function() return "leak" end})`,
		`setmetatable(_G, {__index = function() return "leak" end})`,
		`ld.leak = 1`,
		`ld.json.encode = nil`,
		`ld.json.leak = 1`,
		`ld.args[1] = "leak"`,
		`arg[1] = "leak"`,
		`arg = nil`,
		`string = nil`,
		`assert = nil`,
		`for k in pairs(_G) do _G[k] = nil end`,
		`for k in pairs(string) do string[k] = nil end`,
		`coroutine.wrap(function() leak = 1 coroutine.yield() end)()`,
		`error("leak")`,
		`exit(1)`,
	}
	clean := `
		assert(leak == nil and string.leak == nil and math[1] == nil and ld.leak == nil and ld.json.leak == nil, "a field")
		assert(_G[1] == nil and string[1] == nil, "an index")
		assert(string.format("%d", 1) == "1" and ("x"):format() == "x", "a function")
		assert(getmetatable(_G) == nil and getmetatable(string) == nil, "a metatable")
		assert(ld.json.encode({1}) == "[1]" and ld.args[1] == arg[1] and arg[1] == "192.0.2.1", "ld")`
	c := lua.New(lua.Options{})
	for _, leak := range leaks {
		for range 3 { // in whichever state comes
			run(t, c, leak, time.Second)
			if v := run(t, c, clean, time.Second); v.Status != sdk.StatusUp {
				t.Errorf("%s: %s", leak, v.Reason)
			}
		}
	}
}

// A script that does not come back is not started again, by no check that runs it.
func TestStuckScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, calls := make(chan struct{}), 0
		c := lua.New(lua.Options{Dial: func(context.Context, string, string) (net.Conn, error) {
			calls++
			<-stuck
			return nil, errors.New("at last")
		}})
		o := sdk.Options{"lua": `ld.tcp("192.0.2.2", 80)`}
		first := make(chan sdk.Verdict)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { first <- c.Probe(ctx, target, o) }() // received below
		time.Sleep(2500 * time.Millisecond)
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			v := c.Probe(ctx, target, o)
			cancel()
			if v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "has not come back") {
				t.Errorf("got %+v", v)
			}
		}
		if v := c.Probe(t.Context(), target, sdk.Options{"lua": "return true"}); v.Status != sdk.StatusUp {
			t.Errorf("another script: %+v", v)
		}
		close(stuck)
		<-first
		ctx, again := context.WithTimeout(t.Context(), time.Second)
		defer again()
		if v := c.Probe(ctx, target, o); v.Status != sdk.StatusDown || calls != 2 {
			t.Errorf("after it came back: %+v, %d calls", v, calls)
		}
	})
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if v := lua.New(lua.Options{}).Probe(ctx, target, sdk.Options{"lua": "while true do end"}); v.Status != sdk.StatusUnknown {
		t.Errorf("got %+v", v)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	v := lua.New(lua.Options{}).Probe(t.Context(), target, sdk.Options{
		"passwd": "hunter2", "lua": `print("with " .. ld.option("passwd")) return false, "not " .. ld.option("passwd")`,
	})
	if v.Reason != "not ***" || strings.Contains(v.Transcript, "hunter2") {
		t.Errorf("got %+v", v)
	}
}

func TestDescribe(t *testing.T) {
	info, err := lua.New(lua.Options{}).Describe(t.Context())
	if err != nil || info.Name != lua.Kind || !info.IPv6 || !slices.ContainsFunc(info.Options, func(o sdk.Option) bool {
		return o.Name == "passwd" && o.Secret
	}) {
		t.Errorf("got %+v, %v", info, err)
	}
}

// The examples of the documentation are what it says.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/lua.md")
	if err != nil {
		t.Fatal(err)
	}
	inline := 0
	for i, block := range strings.Split(string(text), "```conf\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		path := filepath.Join(t.TempDir(), "redis.lua")
		write(t, path, "return arg[5] == 'master'")
		block = "quiescent = yes\n" + strings.ReplaceAll(block, "/etc/ha.d/redis.lua", path)
		l := &config.Loader{OpenCatalog: func(string, string) config.Catalog { return catalog{lua.New(lua.Options{})} }}
		c, err := l.Parse(t.Context(), "ldirectord.cf", []byte(block))
		if err != nil || len(c.Warnings) > 0 {
			t.Errorf("example %d: %v, %v", i+1, err, c)
			continue
		}
		inline += strings.Count(block, "<<END")
	}
	if inline == 0 {
		t.Error("no example has a script")
	}
}
