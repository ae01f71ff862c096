package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const greets = `local c = ld.tcp(ld.host, ld.port)
c:send((ld.option("passwd") or "") FORM)
return ld.up(c:expect("^220 (\\w+)"))
`

const recorded = `
virtual = 192.0.2.1:25
	real = AT masq
	checktype = external-lua
	checkcommand = "SCRIPT"
	passwd = "sesame"
virtual = 192.0.2.2:25
	real = AT masq
	checktype = connect
`

func TestProbeRecord(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "greets.lua")
	write := func(text string) {
		if err := os.WriteFile(script, []byte(strings.Replace(greets, "FORM", text, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(`.. "\n"`)
	file := probeFile(t, strings.Replace(recorded, "SCRIPT", script, 1))
	path := script + ".d/up.rec"
	if code, out, errs := command(file, "probe", "--record", path, "192.0.2.1:25", "127.0.0.1"); code != exitOK || !strings.Contains(out, "ready") {
		t.Fatalf("code %d: %s%s", code, out, errs)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), "sesame") || !strings.Contains(string(text), "send 1 \"******\\n\"\n") {
		t.Fatalf("%v\n%s", err, text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if code, out, errs := command("lua", "test", script); code != exitOK || !strings.Contains(out, "ok    "+script+"  up.rec") || errs != "" {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	write(`.. "x\n"`)
	if code, out, _ := command("lua", "test", script); code != exitFailed || !strings.Contains(out, "diverged at exchange 2") || !strings.HasSuffix(out, "0 passed, 1 failed\n") {
		t.Errorf("code %d: %s", code, out)
	}
	write(`:reverse() .. "\n"`)
	other := filepath.Join(dir, "other.rec")
	if code, _, errs := command(file, "probe", "--record", other, "192.0.2.1:25", "127.0.0.1"); code != exitUnknown || !strings.Contains(errs, "--secrets") {
		t.Errorf("code %d: %s", code, errs)
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("it was written all the same")
	}
	if code, _, errs := command(file, "probe", "--record", other, "--secrets", "192.0.2.1:25", "127.0.0.1"); code != exitOK {
		t.Errorf("code %d: %s", code, errs)
	}
}

func TestLuaCommandRefuses(t *testing.T) {
	file := probeFile(t, strings.Replace(recorded, "SCRIPT", "/bin/true", 1))
	for _, c := range []struct {
		args []string
		code int
		err  string
	}{
		{[]string{"lua"}, exitUsage, "usage: ldirectord lua test"},
		{[]string{"lua", "test"}, exitUsage, "usage: ldirectord lua test"},
		{[]string{"lua", "run", "x"}, exitUsage, "usage: ldirectord lua test"},
		{[]string{"lua", "test", "--loud", "x"}, exitUsage, "usage: ldirectord lua test"},
		{[]string{file, "probe", "--secrets", "192.0.2.2:25", "127.0.0.1"}, exitUsage, "usage"},
	} {
		if code, _, errs := command(c.args...); code != c.code || !strings.Contains(errs, c.err) {
			t.Errorf("%q: code %d: %s", c.args, code, errs)
		}
	}
	connect := probeFile(t, strings.SplitAfterN(recorded, "sesame\"\n", 2)[1])
	if code, _, errs := command(connect, "probe", "--record", "x", "192.0.2.2:25", "127.0.0.1"); code != exitUnknown || !strings.Contains(errs, "external-lua alone") {
		t.Errorf("code %d: %s", code, errs)
	}
	if code, out, _ := command("lua", "test", "/nowhere.lua"); code != exitFailed || !strings.Contains(out, "no such file") {
		t.Errorf("code %d: %s", code, out)
	}
	if code, out, _ := command("lua", "test", "--json", "/nowhere.lua"); code != exitFailed || !strings.Contains(out, `"failed": 1`) {
		t.Errorf("code %d: %s", code, out)
	}
}

func TestRecordingsAreForTheirOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.rec")
	if err := os.WriteFile(path, []byte("of others"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writePrivately(path, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}
