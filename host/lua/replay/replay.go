// Package replay runs scripts of checktype external-lua on recordings of what they exchanged with real
// servers, and makes such recordings.
package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/host/lua/ld"
	"github.com/ldirectord/ldirectord/sdk"
)

// Limit bounds one replay: nothing in it waits for anybody.
const Limit = 10 * time.Second

// Result is what one recording came to.
type Result struct {
	Script    string
	Recording string // its path; empty when the script has none
	Took      time.Duration
	Problems  []string // empty: all is as recorded
}

// Scripts runs each script on its recordings: the files SCRIPT.d/*.rec, by name.
func Scripts(ctx context.Context, scripts []string) []Result {
	var out []Result
	for _, script := range scripts {
		found, err := filepath.Glob(filepath.Join(escape(script)+".d", "*.rec"))
		if _, missing := os.Stat(script); missing != nil {
			err = missing
		}
		switch {
		case err != nil:
			out = append(out, Result{Script: script, Problems: []string{err.Error()}})
		case len(found) == 0:
			out = append(out, Result{Script: script, Problems: []string{"no recordings in " + script + ".d: `ldirectord probe --record` makes one"}})
		}
		for _, path := range found {
			out = append(out, one(ctx, script, path))
		}
	}
	return out
}

// escape takes their meaning from the signs of filepath.Match.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func one(ctx context.Context, script, path string) Result {
	result := Result{Script: script, Recording: path}
	text, err := os.ReadFile(path)
	if err != nil {
		result.Problems = []string{err.Error()}
		return result
	}
	r, err := ld.ParseRecording(path, text)
	if err != nil {
		result.Problems = []string{err.Error()}
		return result
	}
	full, err := filepath.Abs(script)
	if err != nil {
		result.Problems = []string{err.Error()}
		return result
	}
	options := maps.Clone(r.Options)
	options["checkcommand"] = command(append([]string{full}, r.Args...))
	begun := time.Now()
	got, diverged := Play(ctx, r, options)
	result.Took = time.Since(begun)
	if diverged != nil {
		result.Problems = append(result.Problems, fmt.Sprintf("%s:%d: %v", path, diverged.Line, diverged))
		return result // its verdict follows from that
	}
	result.Problems = compare(r.Want, got)
	return result
}

// command is a command line of words, as checkcommand has it.
func command(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = `"` + w + `"`
		if strings.Contains(w, `"`) {
			quoted[i] = `'` + w + `'`
		}
	}
	return strings.Join(quoted, " ")
}

// Play runs the script that options name on a recording.
func Play(ctx context.Context, r *ld.Recording, options sdk.Options) (sdk.Verdict, *ld.Divergence) {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	tape := ld.Replay(r.Exchanges)
	v := lua.New(lua.Options{}).Probe(ld.WithTape(ctx, tape), r.Target, options)
	return v, tape.Diverged()
}

// compare names what of a verdict is not as wanted.
func compare(want, got sdk.Verdict) []string {
	differs := want.Status != got.Status || want.Code != got.Code || want.Reason != "" && want.Reason != got.Reason
	if differs || weight(want) != weight(got) {
		return []string{"came to " + describe(got), "instead of " + describe(want)}
	}
	return nil
}

func weight(v sdk.Verdict) int {
	if v.Weight == nil {
		return -1
	}
	return *v.Weight
}

func describe(v sdk.Verdict) string {
	text := v.Status.String()
	if v.Code != "" {
		text += " " + string(v.Code)
	}
	if v.Reason != "" {
		text += fmt.Sprintf(" %q", v.Reason)
	}
	if v.Weight != nil {
		text += fmt.Sprintf(", weight %d", *v.Weight)
	}
	return text
}

// ErrSecret says that a recording would hold something made of a secret.
var ErrSecret = errors.New("the script sends something that it makes of a secret option, such as a hash or base64, " +
	"which a recording without the secret cannot hold (with --secrets it does)")

// Record runs a check of external-lua and records it. Unless keep is set, the values of the secret
// options are replaced by stars everywhere in it, and it is tried whether the recording plays
// then; ErrSecret if not.
func Record(ctx context.Context, check sdk.Checker, t sdk.Target, o sdk.Options, secrets []string, keep bool) (*ld.Recording, sdk.Verdict, error) {
	t.Service = lua.Kind // what scripts see
	tape := ld.NewTape()
	v := check.Probe(ld.WithTape(ctx, tape), t, o)
	if tape.Full() {
		return nil, v, errors.New("the run is too long for a recording")
	}
	script := sdk.Options{}
	r := &ld.Recording{Target: t, Options: sdk.Options{}, Args: tape.Args(), Exchanges: tape.Exchanges(),
		Want: sdk.Verdict{Status: v.Status, Code: v.Code, Reason: v.Reason, Weight: v.Weight}}
	for name, value := range o {
		if name == "lua" || name == "checkcommand" {
			script[name] = value
		} else {
			r.Options[name] = value
		}
	}
	if keep {
		return r, v, nil
	}
	hidden := false
	for _, name := range slices.Sorted(slices.Values(secrets)) {
		hidden = hidden || o[name] != ""
		r.Redact(o[name])
	}
	if !hidden {
		return r, v, nil
	}
	maps.Copy(script, r.Options)
	if _, diverged := Play(ctx, r, script); diverged != nil {
		return nil, v, ErrSecret
	}
	return r, v, nil
}
