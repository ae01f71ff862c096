package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/ldirectord/ldirectord/host/cli"
	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/host/lua/replay"
	"github.com/ldirectord/ldirectord/sdk"
)

// luaCommand is `lua test SCRIPT...`: scripts of external-lua on their recordings, without a network.
// The exit code is 0 when every script came to what each of its recordings expects.
func (a *app) luaCommand() int {
	var machine bool
	flags := pflag.NewFlagSet("lua", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&machine, "json", false, "")
	if err := flags.Parse(a.in.args); err != nil || flags.NArg() < 2 || flags.Arg(0) != "test" {
		a.complain("usage: ldirectord lua test [--json] SCRIPT...")
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var report cli.LuaReport
	for _, r := range replay.Scripts(ctx, flags.Args()[1:]) {
		report.Add(cli.LuaResult{Script: r.Script, Recording: r.Recording, Seconds: r.Took.Seconds(), Problems: r.Problems})
	}
	show := report.Text
	if machine {
		show = report.JSON
	}
	if err := show(a.out); err != nil {
		a.complain("%v", err)
		return exitFailed
	}
	if report.Failed > 0 {
		return exitFailed
	}
	return exitOK
}

// recordOrder is what --record and --secrets ask of `probe`.
type recordOrder struct {
	path    string // of the file to write; empty: none
	secrets bool   // they may be in it
}

// run runs the check, and records it if that is asked for.
func (o recordOrder) run(ctx context.Context, k *kinds, found probeFound) (sdk.Verdict, error) {
	switch {
	case o.path == "":
		return k.once(ctx, *found.check), nil
	case found.check == nil:
		return sdk.Verdict{}, errors.New("nothing to record: " + found.note)
	}
	return o.record(ctx, found)
}

// record is once for a check of external-lua, written to a file. Who may read that file is its
// owner alone: what servers say is nobody else's.
func (o recordOrder) record(ctx context.Context, found probeFound) (sdk.Verdict, error) {
	c := found.check
	if c.Kind != lua.Kind {
		return sdk.Verdict{}, fmt.Errorf("--record is for checks of %s alone; this one is %s", lua.Kind, c.Kind)
	}
	var secrets []string
	for name := range found.secrets {
		secrets = append(secrets, name)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	recording, v, err := replay.Record(ctx, lua.New(lua.Options{}), c.Target, c.Options, secrets, o.secrets)
	if err != nil {
		return v, err
	}
	if err := os.MkdirAll(filepath.Dir(o.path), 0o755); err != nil {
		return v, err
	}
	text := fmt.Appendf(nil, "# Recorded on %s by ldirectord %s.\n%s", time.Now().UTC().Format(time.DateTime), version, recording.Encode())
	return v, writePrivately(o.path, text)
}

// writePrivately writes a file for its owner alone, also where one that others may read is there already.
func writePrivately(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".record-")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is nothing to anybody
	}
	return err
}
