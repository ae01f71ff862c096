package config

import (
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	work := t.TempDir()
	t.Chdir(work)
	put := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	find := func(name, want string) {
		t.Helper()
		got, err := findIn(dir, name)
		if got != want || (want == "") != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("findIn(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	find("web.cf", "")
	put(filepath.Join(work, "web.cf"))
	find("web.cf", "web.cf")
	find(filepath.Join(work, "web.cf"), filepath.Join(work, "web.cf"))
	find("web.cf/x", "") // a file where a directory should be
	put(filepath.Join(dir, "conf", "web.cf"))
	find("web.cf", filepath.Join(dir, "conf", "web.cf"))
	if err := os.Mkdir(filepath.Join(dir, "web.cf"), 0o755); err != nil {
		t.Fatal(err)
	}
	find("web.cf", filepath.Join(dir, "conf", "web.cf")) // a directory is no configuration
	if _, err := findIn(dir, "conf"); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "conf")+" (a directory)") {
		t.Errorf("a directory: %v", err)
	}
	put(filepath.Join(dir, "mail.cf"))
	put(filepath.Join(dir, "conf", "mail.cf"))
	find("mail.cf", filepath.Join(dir, "mail.cf"))
	find("", "")
	put(filepath.Join(dir, "conf", "ldirectord.cf"))
	find("", filepath.Join(dir, "conf", "ldirectord.cf"))
}

func TestInstance(t *testing.T) {
	for name, want := range map[string]string{"": "ldirectord", "web.cf": "web.cf", "/x/y/web.cf": "web.cf", "./web": "web"} {
		if got := Instance(name); got != want {
			t.Errorf("Instance(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.cf")
	if _, err := fakeLoader().Load(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("quiescent=yes\nplugindir=/opt/p\npluginuser=nobody\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := fakeLoader()
	var dir, user string
	l.OpenCatalog = func(d, u string) Catalog {
		dir, user = d, u
		return fakeCatalog{}
	}
	c, err := l.Load(t.Context(), path)
	if err != nil || c.Instance != "web.cf" || c.File != path || c.Digest == [32]byte{} {
		t.Fatalf("%+v, %v", c, err)
	}
	if dir != "/opt/p" || user != "nobody" {
		t.Errorf("catalog opened with %q and %q", dir, user)
	}
	l.Instance = "ldirectord"
	if c, err = l.Load(t.Context(), path); err != nil || c.Instance != "ldirectord" {
		t.Errorf("%+v, %v", c, err)
	}
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err = l.Load(t.Context(), path); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a file of %d bytes: %v", maxFile+1, err)
	}
}

// A name that fails keeps the address it had; one that answers with several keeps the one in
// use; a new address counts.
func TestNamesOverReloads(t *testing.T) {
	l := fakeLoader()
	names := theNames()
	l.Resolver = names
	load := func() (Server, []Problem) {
		t.Helper()
		c, err := l.Parse(t.Context(), "web.cf", []byte("quiescent=yes\nvirtual=10.0.0.1:80\n    real=web1:80 gate\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c.Services[0].Servers[0], c.Warnings
	}
	expect := func(step, addr string, warnings int) {
		t.Helper()
		s, w := load()
		got := s.Addr.Addr().String()
		if s.Unresolved {
			got = "none"
		}
		if got != addr || len(w) != warnings {
			t.Errorf("%s: %s with %v, want %s", step, got, w, addr)
		}
	}
	expect("never resolved", "none", 1)
	names["ip4 web1"] = "192.0.2.1 192.0.2.2"
	expect("two answers", "192.0.2.1", 0)
	names["ip4 web1"] = "192.0.2.2 192.0.2.1"
	expect("the same, turned round", "192.0.2.1", 0)
	delete(names, "ip4 web1")
	expect("failing", "192.0.2.1", 1)
	names["ip4 web1"] = "192.0.2.9"
	expect("moved", "192.0.2.9", 0)
	if got := l.Last[LastKey("web1", false)]; got != netip.MustParseAddr("192.0.2.9") {
		t.Errorf("remembered %s", got)
	}
}

func TestBoundOnServers(t *testing.T) {
	l := fakeLoader()
	l.maxRange, l.maxServers = 4, 6
	parse := func(text string) int {
		t.Helper()
		c, err := l.Parse(t.Context(), "web.cf", []byte("quiescent=yes\nvirtual=5\n    checktype=on\n"+text))
		var all *Errors
		if errors.As(err, &all) {
			return -len(all.Problems)
		}
		return len(c.Services[0].Servers)
	}
	const four, five = "    real=10.0.0.1->10.0.0.4 gate\n", "    real=10.0.0.1->10.0.0.5 gate\n"
	for text, want := range map[string]int{four: 4, five: -1, four + four + four: -1} {
		if got := parse(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestProblem(t *testing.T) {
	for want, p := range map[string]Problem{
		`web.cf:12:5: virtual: found "..", expected a port`: {Pos{"web.cf", 12, 5}, "virtual", "..", "a port"},
		`web.cf:3: checkcount: deprecated`:                  {Pos{"web.cf", 3, 0}, "checkcount", "", "deprecated"},
		`web.cf: found "a\x1b", expected b`:                 {Pos{File: "web.cf"}, "", "a\x1b", "b"},
		`text`:                                              {Want: "text"},
	} {
		if got := p.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"request", "receive", "real", "service", "quiescent"}
	for word, want := range map[string]string{"recieve": "receive", "requst": "request", "reel": "real", "SERVICE": "service", "x": "", "foo": "", "": ""} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// Every directive of ldirectord(8), and those that its manual forgot, may stand where the
// manual says.
func TestDirectivesOfTheManual(t *testing.T) {
	global := strings.Fields(`checktimeout negotiatetimeout checkinterval checkcount failurecount autoreload callback fallback
		fallback6 fallbackcommand logfile emailalert emailalertfrom emailalertfreq emailalertstatus smtp execute supervised fork
		quiescent readdquiescent cleanstop maintenancedir
		plugindir pluginuser forkmax externaluser externalweight logformat notifycommand webhook statedir`)
	section := strings.Fields(`checktimeout negotiatetimeout checkinterval checkcount failurecount fallback fallback6
		fallbackcommand emailalert emailalertfreq emailalertstatus smtp quiescent cleanstop real real6 checktype service
		checkcommand checkport request receive httpmethod virtualhost login passwd database secret scheduler persistent netmask
		protocol monitorfile ops servicename comment load schedflags externalweight lua readdquiescent`)
	have := map[string]scope{}
	for _, d := range directives() {
		if have[d.name] != 0 {
			t.Errorf("%s stands twice in the table", d.name)
		}
		have[d.name] = d.in
	}
	for _, name := range global {
		if have[name]&inGlobal == 0 {
			t.Errorf("%s is not global", name)
		}
	}
	for _, name := range section {
		if have[name]&inSection == 0 {
			t.Errorf("%s is not for sections", name)
		}
	}
	for name, in := range have {
		if (in&inGlobal != 0) != slices.Contains(global, name) || (in&inSection != 0) != slices.Contains(section, name) {
			t.Errorf("%s stands where the manual does not say", name)
		}
	}
}

// Last holds what the last configuration that was accepted needs, and no more: it is kept
// over restarts.
func TestLastDoesNotGrow(t *testing.T) {
	l := fakeLoader()
	names := theNames()
	names["ip4 web1"], names["ip4 web2"] = "192.0.2.1", "192.0.2.2"
	l.Resolver = names
	load := func(text, want string, good bool) {
		t.Helper()
		before := maps.Clone(l.Last)
		old := l.Last
		if _, err := l.Parse(t.Context(), "web.cf", []byte("quiescent=yes\nvirtual=10.0.0.1:80\n"+text)); (err == nil) != good {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(l.Last)), ", "); got != want {
			t.Errorf("after %q: %s, want %s", text, got, want)
		}
		if !maps.Equal(before, old) {
			t.Errorf("%q: the map of the last one was changed, which others may hold", text)
		}
	}
	const one, two, gone = "    real=web1:80 gate\n", "    real=web2:80 gate\n", "    real=gone:80 gate\n"
	load(one, "ip4 web1", true)
	load(one+two+gone, "ip4 web1, ip4 web2", true)
	load(one+"    bogus=1\n", "ip4 web1, ip4 web2", false)
	load("    real=www:80 gate\n    bogus=1\n", "ip4 web1, ip4 web2", false)
	delete(names, "ip4 web2")
	load(two, "ip4 web2", true) // fails now, and keeps its address
	load("", "", true)
}
