package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

// The stories' third party: this test binary is its plugin wherever it lies under a plugin's name.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "ldirectord-check-") {
		serve.Main(third())
	}
	os.Exit(m.Run())
}

type thirdOptions struct {
	Word  string `option:"receive" required:"true" help:"what the page must hold"`
	Depth int    `option:"depth" default:"4096" help:"bytes to read"`
	Token string `option:"token" secret:"true" help:"what to ask with"`
}

// third serves two services, and one from its second version on.
func third() sdk.Check[thirdOptions] {
	c := sdk.Check[thirdOptions]{
		Name: "banner", Summary: "a third party's", Version: thirdVersion(), NoIPv6: true,
		Services: []sdk.Service{{Name: "banner", Port: 7777}, {Name: "greeting", Port: 7778}},
		Validate: func(_ string, o thirdOptions) error {
			if o.Depth < 1 {
				return &sdk.OptionError{Option: "depth", Want: "a page has a byte at least"}
			}
			return nil
		},
	}
	c.Probe = func(ctx context.Context, t sdk.Target, o thirdOptions) sdk.Verdict {
		conn, err := probe.Dial(ctx, t, nil)
		if err != nil {
			return probe.Judge(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
		page, err := io.ReadAll(io.LimitReader(conn, int64(o.Depth)))
		if err != nil {
			return probe.Judge(err)
		}
		v := sdk.DownWith(sdk.CodeMatch, "no %q, says version %s", o.Word, c.Version)
		if bytes.Contains(page, []byte(o.Word)) {
			v = sdk.Up()
			v.Reason = "seen by version " + c.Version
		}
		return v
	}
	return c
}

// versionMark is what stands before a version at the end of a plugin's file.
const versionMark = "\nversion of this copy: "

func thirdVersion() string {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err.Error()
	}
	return string(program[bytes.LastIndex(program, []byte(versionMark))+len(versionMark):])
}

// third DIR VERSION installs the third party's plugin, in place of one that may be running.
func installThird(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: third DIR VERSION")
	}
	program, err := os.ReadFile("/proc/self/exe")
	ts.Check(err)
	path := filepath.Join(ts.MkAbs(args[0]), "ldirectord-check-banner")
	program = append(program, versionMark+args[1]...)
	err = os.WriteFile(path+".new", program, 0o755)
	ts.Check(errors.Join(err, os.Chmod(path+".new", 0o755), os.Rename(path+".new", path)))
}
