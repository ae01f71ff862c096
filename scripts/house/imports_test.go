// Package house holds the tests of the house rules: who may import whom, and how
// long files and functions may be.
package house

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ldirectord/ldirectord"

// rule says what the packages below one folder may import. The first rule that fits counts.
type rule struct {
	folder string   // "a/b" is that package alone, "a/b/..." everything below too
	allow  []string // project folders, and modules; the standard library is always allowed
	why    string
}

const (
	goPlugin = "github.com/hashicorp/go-plugin"
	hclog    = "github.com/hashicorp/go-hclog"
	grpc     = "google.golang.org/grpc"
	protobuf = "google.golang.org/protobuf"
	anything = "*"
	regexp2  = "github.com/dlclark/regexp2"
	sysUnix  = "golang.org/x/sys"
	landlock = "github.com/landlock-lsm/go-landlock"
	mobyIPVS = "github.com/moby/ipvs"
	miekgDNS = "github.com/miekg/dns"
	netlink  = "github.com/vishvananda"
	logrus   = "github.com/sirupsen/logrus"
	gopher   = "github.com/yuin/gopher-lua"
	xNet     = "golang.org/x/net"
)

// protocols are the libraries of the protocols that plugins speak.
var protocols = []string{
	xNet, miekgDNS, "github.com/emersion/go-imap", "github.com/go-ldap/ldap/v3", "github.com/go-asn1-ber/asn1-ber", "github.com/go-sql-driver/mysql",
	"github.com/jackc/pgx/v5", "github.com/jlaffaye/ftp", "github.com/sijms/go-ora/v2", "layeh.com/radius",
}

var rules = []rule{
	{"sdk", nil, "check authors get the standard library and nothing else to agree with"},
	{"sdk/match", []string{"sdk", regexp2}, "Perl patterns are shut in here"},
	{"sdk/probe", []string{"sdk"}, "shared moves of checks, free of any protocol library"},
	{"sdk/internal/wire", []string{"sdk", "proto", goPlugin, hclog, grpc, protobuf}, "the process boundary is shut in here"},
	{"sdk/client", []string{"sdk", "sdk/internal/wire", "proto", goPlugin, hclog, grpc, protobuf}, "the host's end of the boundary"},
	{"sdk/serve", []string{"sdk", "sdk/internal/wire", goPlugin, hclog, grpc, landlock, sysUnix}, "the plugin's end of the boundary"},
	{"sdk/sdktest", []string{"sdk", "sdk/...", goPlugin, hclog, grpc}, "the conformance suite sees what authors see, and the wire"},
	{"sdk/sdktest/rules", []string{"sdk", "sdk/client", "sdk/internal/wire", hclog}, "the suite's rules are in the director too: no test framework"},
	{"proto/...", []string{grpc, protobuf}, "generated"},
	{"lvs", nil, "values and decisions, no kernel"},
	{"lvs/memory", []string{"lvs"}, "a table without a kernel"},
	{"lvs/lvstest", []string{"lvs", "lvs/memory"}, "one suite for every Controller"},
	{"lvs/ipvs", []string{"lvs", mobyIPVS, netlink, logrus, sysUnix}, "the only place with netlink bytes"},
	{"config", []string{"lvs"}, "options are strings to it; it asks a Catalog of its own which services exist"},
	{"host/state", []string{"config", "lvs", "sdk"}, "decides purely"},
	{"host/monitor", []string{"sdk", "host/state"}, "runs checks, knows no table"},
	{"host/plugin", []string{"sdk", "sdk/client", hclog, sysUnix}, "processes, no configuration"},
	{"host/builtin", []string{"sdk", "sdk/probe", xNet, sysUnix}, "checks inside the daemon use no door that a plugin lacks"},
	{"host/lua", []string{"sdk", "sdk/probe", "sdk/match", "host/lua/...", gopher}, "scripts see what plugins see"},
	{"host/lua/...", []string{"sdk", "sdk/probe", "sdk/match", "host/lua/...", gopher, miekgDNS}, "scripts see what plugins see"},
	{"host/script", []string{"sdk", "sdk/probe", "host/builtin"}, "what operators wrote is run, no configuration"},
	{"host/migrate", []string{"config", "lvs"}, "compares a configuration with what it was, purely"},
	{"host/maintenance", []string{"host/state"}, "files and names, no configuration"},
	{"host/store", []string{"host/state", "lvs"}, "what is remembered"},
	{"host/cli", []string{"config", "lvs", "host/state", "host/control", "host/migrate"}, "clients of the control socket"},
	{"host/engine", []string{"host/state", "config", "lvs", "host/monitor", "sdk"}, "interfaces, not implementations"},
	{"host/notify", []string{"host/state", "lvs"}, "sinks see transitions"},
	{"host/control", []string{"host/state", "lvs"}, "shows what is"},
	{"host/daemon", []string{sysUnix}, "a process and its files, no director"},
	{"host/cmd/...", []string{anything}, "the only place that names concrete implementations"},
	{"docs/...", nil, "texts that are built in"},
	{"plugins/...", append([]string{"sdk", "sdk/serve", "sdk/probe", "sdk/match"}, protocols...), "a plugin has no door that a third party lacks"},
	{"scripts/...", []string{anything}, "tools and tests"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestImportDirections(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	packages := 0
	for dec.More() {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages++
		folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, problem := range append(check(rules, folder, p.Imports), purity(folder, p.Imports)...) {
			t.Error(problem)
		}
	}
	if packages < 10 {
		t.Errorf("looked at %d packages only: go list found too little", packages)
	}
}

// check returns what a package imports against the rules.
func check(rules []rule, folder string, imports []string) []string {
	at := slices.IndexFunc(rules, func(r rule) bool { return covers(r.folder, folder) })
	if at < 0 {
		return []string{folder + ": no rule covers this package: add one with its reason"}
	}
	r := rules[at]
	var problems []string
	for _, path := range imports {
		if !allowed(r.allow, path) {
			problems = append(problems, folder+" must not import "+path+": "+r.why)
		}
	}
	return problems
}

func allowed(allow []string, path string) bool {
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return true
	}
	name := path
	if path == module {
		return false
	}
	own := strings.HasPrefix(path, module+"/")
	if own {
		name = strings.TrimPrefix(path, module+"/")
	}
	return slices.ContainsFunc(allow, func(a string) bool {
		if a == anything {
			return true
		}
		if own {
			return covers(a, name) || a == "proto" && strings.HasPrefix(name, "proto/")
		}
		return name == a || strings.HasPrefix(name, a+"/")
	})
}

func covers(pattern, folder string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return folder == tree || strings.HasPrefix(folder, tree+"/")
	}
	return folder == pattern
}

// TestImportRulesFail shows that the rules can say no.
func TestImportRulesFail(t *testing.T) {
	bad := map[string]string{
		"sdk":           module + "/sdk/probe",
		"lvs":           mobyIPVS,
		"config":        module + "/host/state",
		"host/state":    module + "/host/engine",
		"host/monitor":  module + "/lvs",
		"plugins/http":  module + "/host/state",
		"plugins/other": module + "/plugins/http",
		"nowhere":       "fmt",
	}
	for folder, path := range bad {
		if len(check(rules, folder, []string{path})) == 0 {
			t.Errorf("%s may import %s, and must not", folder, path)
		}
	}
	pure := []string{"net", "os", "log/slog", "log", "os/exec"}
	for _, path := range pure {
		if len(purity("host/state", []string{path})) == 0 {
			t.Errorf("host/state may import %s, and must not", path)
		}
	}
}

// impure are the packages of the standard library that a pure decision cannot use.
var impure = []string{"net", "os", "log", "log/slog", "os/exec", "net/http", "math/rand", "math/rand/v2", "syscall", "io/ioutil"}

func purity(folder string, imports []string) []string {
	if folder != "host/state" && folder != "lvs" {
		return nil
	}
	var problems []string
	for _, path := range imports {
		if slices.Contains(impure, path) {
			problems = append(problems, folder+" must not import "+path+": it decides purely")
		}
	}
	return problems
}
