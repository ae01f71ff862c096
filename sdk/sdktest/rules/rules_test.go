package rules_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/internal/wire"
	"github.com/ldirectord/ldirectord/sdk/sdktest/rules"
	"github.com/ldirectord/ldirectord/sdk/sdktest/testdata/bad"
)

// prefix makes this test binary a plugin of package bad, by its own file name.
const prefix = "ldirectord-check-bad-"

func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), prefix); ok {
		bad.Main(name)
	}
	os.Exit(m.Run())
}

// link is this binary as the plugin that breaks the rule.
func link(t *testing.T, rule string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), prefix+rule)
	if err := os.Symlink(exe, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func sample() rules.Sample {
	return rules.Sample{
		Service: sdk.Service{Name: "banner", Port: 7777, Network: "tcp"},
		Options: sdk.Options{"role": "primary"}, Server: rules.Lines("220 ready"),
	}
}

// broken tries all rules, some together, and gives back those that the check breaks, and how.
func broken(t *testing.T, fresh func() sdk.Checker) map[string]error {
	t.Helper()
	var mu sync.Mutex // guards all
	all := map[string]error{}
	var wait sync.WaitGroup
	turn := make(chan struct{}, 6)
	for _, r := range rules.Rules() {
		wait.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			if err := tryBothWays(t, r, fresh()); err != nil {
				mu.Lock()
				defer mu.Unlock()
				all[r.Name] = err
			}
		})
	}
	wait.Wait()
	return all
}

// tryBothWays tries a rule in process and over a stream.
func tryBothWays(t *testing.T, r rules.Rule, c sdk.Checker) (broken error) {
	conn, end, err := wire.Loopback(c)
	if err != nil {
		return err
	}
	defer end()
	ways := []sdk.Checker{rules.Streamed(conn)}
	if !r.NeedsStream {
		ways = append(ways, c)
	}
	failed := 0
	for _, way := range ways {
		if err := r.Try(t.Context(), way, sample()); err != nil {
			broken = err
			failed++
		}
	}
	if failed != 0 && failed != len(ways) {
		t.Errorf("rule %s depends on the way: %v", r.Name, broken)
	}
	return broken
}

func TestGoodCheckKeepsAll(t *testing.T) {
	for name, err := range broken(t, bad.Good) {
		t.Errorf("%s: %v", name, err)
	}
}

func TestEachBadCheckBreaksItsRuleAlone(t *testing.T) {
	for _, rule := range slices.Sorted(maps.Keys(bad.Checks())) {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			got := broken(t, func() sdk.Checker { return bad.Checks()[rule] })
			if got[rule] == nil {
				t.Error("it is kept")
			}
			for name, err := range got {
				if name != rule {
					t.Errorf("%s is broken too: %v", name, err)
				}
			}
		})
	}
}

// Each rule has somebody who breaks it.
func TestEveryRuleCanFail(t *testing.T) {
	breakers := append(slices.Collect(maps.Keys(bad.Checks())), bad.OnlyAsPlugins()...)
	var names []string
	for _, r := range rules.BinaryRules() {
		names = append(names, r.Name)
		if r.Why == "" {
			t.Errorf("rule %s has no reason", r.Name)
		}
	}
	slices.Sort(names)
	slices.Sort(breakers)
	if !slices.Equal(names, breakers) {
		t.Errorf("rules\n%s\nthose that are broken by somebody\n%s", names, breakers)
	}
}

func TestEachBadPluginBreaksItsRuleAlone(t *testing.T) {
	at, stop, err := rules.Lines("220 ready")(rules.Localhost())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	for _, rule := range append(bad.OnlyAsPlugins(), "good", "garbage", "secrets") {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			b := rules.Binary{Path: link(t, rule)}
			b.Servers = append(b.Servers, at)
			var seen []string
			b.Test(t.Context(), func(o rules.Outcome) {
				seen = append(seen, o.Rule.Name)
				if want := rule == o.Rule.Name; (o.State == rules.Broken) != want || o.State == rules.Kept && o.Text != "" {
					t.Errorf("%s is %s: %s", o.Rule.Name, o.State, o.Text)
				} else if want {
					t.Log(o.Text)
				}
				if o.State == rules.NotTried && rule != "starts" && rule != "survives" {
					t.Errorf("%s was not tried: %s", o.Rule.Name, o.Text)
				}
			})
			if len(seen) != len(rules.BinaryRules()) {
				t.Errorf("told %q", seen)
			}
		})
	}
}

// What a plugin logs is looked at too.
func TestSecretsInTheLog(t *testing.T) {
	var text strings.Builder
	log := hclog.New(&hclog.LoggerOptions{Output: &text})
	s := sample()
	s.Logged = text.String
	leaky := sdk.Check[struct {
		Passwd string `option:"passwd" secret:"true" help:"password"`
	}]{Name: "banner", Probe: nil}
	leaky.Probe = func(ctx context.Context, _ sdk.Target, o struct {
		Passwd string `option:"passwd" secret:"true" help:"password"`
	}) sdk.Verdict {
		if at, ok := ctx.Deadline(); ok && time.Until(at) > 0 {
			log.Info("login", "passwd", o.Passwd)
		}
		return sdk.Up()
	}
	s.Options = nil
	for _, r := range rules.Rules() {
		if r.Name == "secrets" {
			if err := r.Try(t.Context(), leaky.Checker(), s); err == nil || !strings.Contains(err.Error(), "in the log") {
				t.Errorf("got %v", err)
			}
		}
	}
}
