package state_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// The stories in testdata/*.txt are told like this; testdata/README.txt explains the format.

var update = flag.Bool("update", false, "write what happens into the stories; read the difference!")

var epoch = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

// story is one file of testdata.
type story struct {
	t        *testing.T
	sections map[string]string
	told     strings.Builder // the story as it goes, for -update

	state  *state.State
	kernel lvs.Table
	last   lvs.Table
	before string
}

func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 2 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		if filepath.Base(file) == "README.txt" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &story{t: t, kernel: lvs.Table{}, sections: sections(string(text))}
			for line := range strings.Lines(s.sections["have"]) {
				s.hand(strings.Fields(line))
			}
			s.before = s.table()
			s.tell()
			if *update {
				head, _, _ := strings.Cut(string(text), "-- story --\n")
				if err := os.WriteFile(file, []byte(head+"-- story --\n"+s.told.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// sections splits a file at its "-- name --" lines.
func sections(text string) map[string]string {
	out := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		if inner, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(inner, " --") {
			name = strings.TrimSuffix(inner, " --")
			continue
		}
		out[name] += line
	}
	return out
}

// tell goes through the story: a command at the margin, what is expected of it indented.
func (s *story) tell() {
	lines := strings.Split(strings.TrimSuffix(s.sections["story"], "\n"), "\n")
	for i := 0; i < len(lines); {
		line := lines[i]
		i++
		if line == "" || line[0] == '#' {
			s.told.WriteString(line + "\n")
			continue
		}
		var want []string
		for i < len(lines) && strings.HasPrefix(lines[i], "  ") {
			want = append(want, strings.TrimSpace(lines[i]))
			i++
		}
		got := s.do(line)
		s.told.WriteString(line + "\n")
		for _, g := range got {
			s.told.WriteString("    " + g + "\n")
		}
		if !*update && !slices.Equal(got, want) {
			s.t.Errorf("%s\n got:\n    %s\nwant:\n    %s", line, strings.Join(got, "\n    "), strings.Join(want, "\n    "))
		}
	}
}

// do carries out one line and returns what happens by it.
func (s *story) do(line string) []string {
	fields := strings.Fields(line)
	after, err := time.ParseDuration(fields[0])
	if err != nil || len(fields) < 2 {
		s.t.Fatalf("%q: want TIME COMMAND", line)
	}
	at, command, rest := epoch.Add(after), fields[1], fields[2:]
	if s.state != nil && command != "wait" {
		if next := s.state.NextSettle(); !next.IsZero() && next.Before(at) {
			s.t.Fatalf("%q: a wait is due before, at %s", line, next.Sub(epoch))
		}
	}
	var ts []state.Transition
	switch command {
	case "start", "reload":
		ts = s.load(command, rest, at)
	case "wait":
		if next := s.state.NextSettle(); !next.Equal(at) {
			s.t.Fatalf("%q: the wait ends at %s", line, next.Sub(epoch))
		}
		ts = s.state.Settle(at)
	case "maintenance":
		ts = s.state.SetMaintenance(s.maintenance(rest), at)
	case "hand":
		s.hand(rest)
	case "look":
		s.last, ts = s.state.Drifted(s.last, s.kernel, at)
		ts = append(ts, s.state.Weigh(at)...)
	case "expire":
		if next := s.state.NextExpiry(); !next.Equal(at) {
			s.t.Fatalf("%q: the next weight expires at %s", line, next.Sub(epoch))
		}
		s.state.Expire(at)
	case "stop":
		return s.stop(at)
	case "checks":
		return s.checks()
	case "memory":
		return s.memory()
	case "status":
		return s.status()
	default:
		ts = s.verdict(command, rest, at)
	}
	if command != "hand" && command != "expire" {
		s.apply(s.state.Edits(s.last))
		s.last = s.state.Desired()
	}
	return s.happened(ts)
}

// load reads a configuration, "config" unless another section is named.
func (s *story) load(command string, rest []string, at time.Time) []state.Transition {
	name := "config"
	if len(rest) > 0 {
		name = rest[0]
	}
	o := state.Options{Now: at}
	prev := s.state
	if command == "start" {
		o.Memory = s.remembered()
		prev = nil
	}
	var ts []state.Transition
	if prev != nil {
		s.last, ts = prev.Drifted(s.last, s.kernel, at)
	}
	next, more := state.New(s.parse(name), prev, s.kernel, o)
	base := lvs.Adopt(s.kernel, next.Desired())
	for k, v := range s.last {
		if _, stays := next.Desired()[k]; !stays {
			base[k] = v
		}
	}
	s.state, s.last = next, base
	return append(ts, more...)
}

func (s *story) remembered() state.Memory {
	if s.state != nil {
		return s.state.Memory()
	}
	var m state.Memory
	for line := range strings.Lines(s.sections["memory"]) {
		f := strings.Fields(line)
		if f[0] == "drained" {
			m.Drained = append(m.Drained, state.ServerRef{Service: s.service(f[1]), Server: s.server(f[2])})
		} else {
			m.FallbackStarted = append(m.FallbackStarted, state.StartedCommand{Service: s.service(f[1]), Command: strings.Join(f[2:], " ")})
		}
	}
	return m
}

func (s *story) stop(at time.Time) []string {
	ts, keep := s.state.Stop(at)
	s.apply(lvs.Plan(s.last, keep))
	s.last = nil
	return s.happened(ts)
}

// verdict is "ADDRESS:PORT [PART-OF-CHECK-ID] up[=WEIGHT]|down|unknown".
func (s *story) verdict(target string, rest []string, at time.Time) []state.Transition {
	var v sdk.Verdict
	word, weight, weighs := strings.Cut(rest[len(rest)-1], "=")
	switch word {
	case "up":
		v = sdk.Up()
		if weighs {
			n := int(s.number(weight))
			v.Weight = &n
		}
	case "down":
		v = sdk.DownWith(sdk.CodeRefused, "refused")
	case "unknown":
		v = sdk.Unknown("plugin crashed")
	default:
		s.t.Fatalf("no verdict, and no command: %s %s", target, word)
	}
	var ts []state.Transition
	found := false
	for _, c := range s.state.Checks() {
		if c.Target.Addr.String() == target && strings.Contains(string(c.ID), strings.Join(rest[:len(rest)-1], " ")) {
			found = true
			ts = append(ts, s.state.Observe(state.Observation{Check: c.ID, Verdict: v, At: at})...)
		}
	}
	if !found {
		s.t.Fatalf("nothing checks %s", target)
	}
	return ts
}

// hand is what somebody else does to the table: "SERVICE [SCHEDULER] SERVER=WEIGHT[,..] ...",
// "SERVICE SERVER=gone", "SERVICE gone".
func (s *story) hand(f []string) {
	k := s.service(f[0])
	if f[1] == "gone" {
		delete(s.kernel, k)
		return
	}
	v, ok := s.kernel[k]
	if !ok {
		v.Servers = map[lvs.ServerKey]lvs.RealServer{}
	}
	for _, word := range f[1:] {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			v.Scheduler = word
			continue
		}
		if value == "gone" {
			delete(v.Servers, s.server(name))
		} else {
			v.Servers[s.server(name)] = s.real(value)
		}
	}
	v.VirtualService = v.Normal(k.Family)
	s.kernel[k] = v
}

// real reads "WEIGHT[,masq|,ipip][,uN][,lN]".
func (s *story) real(text string) lvs.RealServer {
	parts := strings.Split(text, ",")
	r := lvs.RealServer{Weight: s.number(parts[0])}
	for _, p := range parts[1:] {
		switch {
		case p == "masq":
			r.Method = lvs.Masq
		case p == "ipip":
			r.Method = lvs.IPIP
		case p[0] == 'u':
			r.Upper = s.number(p[1:])
		case p[0] == 'l':
			r.Lower = s.number(p[1:])
		}
	}
	return r
}

func (s *story) number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	return uint32(n)
}

func (s *story) service(text string) lvs.ServiceKey {
	protocol, rest, _ := strings.Cut(text, ":")
	switch protocol {
	case "fwm":
		return lvs.ServiceMark(s.number(rest), lvs.IPv4)
	case "fwm6":
		return lvs.ServiceMark(s.number(rest), lvs.IPv6)
	case "udp":
		return lvs.ServiceAt(lvs.UDP, netip.MustParseAddrPort(rest))
	default:
		return lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort(rest))
	}
}

func (s *story) server(text string) lvs.ServerKey {
	return lvs.ServerKey(netip.MustParseAddrPort(text))
}

func (s *story) maintenance(words []string) state.Maintenance {
	m := state.Maintenance{}
	for _, w := range words {
		if a, err := netip.ParseAddrPort(w); err == nil {
			m[state.Place{Addr: a.Addr(), Port: a.Port()}] = w
		} else {
			m[state.Place{Addr: netip.MustParseAddr(strings.Trim(w, "[]")), AnyPort: true}] = w
		}
	}
	return m
}

func (s *story) apply(edits []lvs.Edit) {
	for _, e := range edits {
		if err := s.kernel.Apply(e); err != nil {
			s.t.Fatalf("%s: %v", e, err)
		}
	}
}

// happened writes the transitions, and the table if it changed.
func (s *story) happened(ts []state.Transition) []string {
	var out []string
	for _, t := range ts {
		text := "+ " + t.Text()
		if t.Command != "" {
			text += " by " + t.Command
		}
		if t.Reason != "" && t.Change != state.Deviated {
			text += " -- " + t.Reason
		}
		out = append(out, text)
	}
	if now := s.table(); now != s.before {
		s.before = now
		out = append(out, strings.Split(now, "\n")...)
	}
	return out
}

// table writes the kernel's table, a line per virtual service.
func (s *story) table() string {
	if len(s.kernel) == 0 {
		return "= nothing"
	}
	var lines []string
	for _, k := range slices.SortedFunc(maps.Keys(s.kernel), lvs.ServiceKey.Compare) {
		v := s.kernel[k]
		line := fmt.Sprintf("= %s %s", k, v.Scheduler)
		for _, at := range slices.SortedFunc(maps.Keys(v.Servers), lvs.ServerKey.Compare) {
			r := v.Servers[at]
			line += fmt.Sprintf(" %s=%d", at, r.Weight)
			if r.Method != lvs.Gate {
				line += "," + r.Method.String()
			}
			if r.Upper > 0 {
				line += fmt.Sprintf(",u%d", r.Upper)
			}
			if r.Lower > 0 {
				line += fmt.Sprintf(",l%d", r.Lower)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (s *story) checks() []string {
	var out []string
	for _, c := range s.state.Checks() {
		out = append(out, fmt.Sprintf("%s -- every %s", c.ID, c.Interval))
	}
	return out
}

func (s *story) memory() []string {
	var out []string
	m := s.state.Memory()
	for _, d := range m.Drained {
		out = append(out, fmt.Sprintf("drained %s %s", d.Service, d.Server))
	}
	for _, k := range m.FallbackStarted {
		out = append(out, fmt.Sprintf("started %s %s", k.Service, k.Command))
	}
	return out
}

func (s *story) status() []string {
	var out []string
	for _, v := range s.state.Snapshot().Services {
		line := v.Virtual
		if v.Unresolved {
			line += " unresolved"
		}
		if v.Settling {
			line += " settling"
		}
		if v.AllDown {
			line += " all-down"
		}
		out = append(out, line)
		for _, d := range v.Deviations {
			out = append(out, "! "+d)
		}
		for _, r := range v.Servers {
			out = append(out, describe(r))
		}
	}
	return out
}

func describe(r state.ServerStatus) string {
	if r.Unresolved {
		return r.Name + " unresolved"
	}
	line := fmt.Sprintf("%s %s since %s", r.Name, r.Status, r.Since.Sub(epoch))
	if r.Off {
		line += " off"
	}
	if r.InTable {
		line += fmt.Sprintf(" weight %d", r.Asked.Weight)
	}
	if r.Adopted {
		line += " adopted"
	}
	if r.Maintenance != "" {
		line += " maintenance " + r.Maintenance
	}
	if r.ByHand != "" {
		line += " by hand: " + r.ByHand
	}
	for _, c := range r.Checks {
		line += fmt.Sprintf(" [%s %d/%d %s]", c.Verdict.Status, c.Failures, c.Limit, c.Verdict.Reason)
	}
	return line
}

func (s *story) parse(section string) *config.Config {
	text, ok := s.sections[section]
	if !ok {
		s.t.Fatalf("no section %s", section)
	}
	l := config.Loader{OpenCatalog: func(string, string) config.Catalog { return catalog{} }, Resolver: noNames{}}
	cfg, err := l.Parse(context.Background(), section, []byte(text))
	if err != nil {
		s.t.Fatal(err)
	}
	return cfg
}

// catalog knows a few services, each with all options.
type catalog struct{}

func (catalog) Services() []string { return []string{"dns", "http", "mysql", "none", "radius"} }

func (c catalog) Lookup(service string) (config.ServiceInfo, error) {
	info := config.ServiceInfo{IPv6: true, Network: "tcp", Options: []config.OptionInfo{
		{Name: "request"}, {Name: "receive"}, {Name: "secret", Secret: true},
	}}
	switch service {
	case "connect", "ping", "external", "external-perl":
	case "http":
		info.Port = 80
	case "dns":
		info.Port, info.Network = 53, "udp"
	case "radius":
		info.Port, info.Network = 1812, "udp"
	default:
		return info, config.ErrUnknownService
	}
	return info, nil
}

func (catalog) Validate(string, map[string]string) error { return nil }

// noNames resolves nothing.
type noNames struct{}

func (noNames) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, errors.New("no such host")
}

func (noNames) LookupPort(context.Context, string, string) (int, error) {
	return 0, errors.New("no such service")
}
