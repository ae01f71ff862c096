// Command ldirectord-check-oracle checks Oracle databases (oracle): README.md says how.
package main

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

var version string // the build's

// newCheck is the check of oracle.
func newCheck() sdk.Check[options] {
	return sdk.Check[options]{
		Name:     "oracle",
		Version:  version,
		Summary:  "logs in to an Oracle database, runs a query and wants a row",
		Services: []sdk.Service{{Name: "oracle", Port: 1521, Network: "tcp"}},
		Validate: validate,
		Probe: func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			t.Network = "tcp"
			s := session{o: o, tr: probe.NewTrace()}
			s.dialer = &dialer{ctx: ctx, target: t, tr: s.tr}
			defer s.dialer.Close()
			s.tr.Secret(o.Passwd)
			return s.tr.Finish(s.run(newLibrary(o, t.Addr, s.dialer)))
		},
	}
}

// maxMemory bounds this process, in bytes; the usual is some 25 MiB. The client library allocates as much as
// lengths inside of answers claim: it is this process that such an answer ends, not the machine.
const maxMemory = 512 << 20

func boundMemory() error {
	var its syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &its); err != nil || its.Max <= maxMemory {
		return err
	}
	return syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: min(its.Cur, maxMemory), Max: maxMemory})
}

func main() {
	if err := boundMemory(); err != nil {
		fmt.Fprintln(os.Stderr, "memory is not bounded:", err)
	}
	serve.Main(newCheck())
}
