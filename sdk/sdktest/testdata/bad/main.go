package bad

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/internal/wire"
	"github.com/ldirectord/ldirectord/sdk/serve"
)

// OnlyAsPlugins are the rules that nothing but a process can break.
func OnlyAsPlugins() []string {
	return []string{"starts", "stdout", "survives", "by-hand", "host-gone"}
}

// Main is the plugin that breaks the rule; "good" is one that breaks none. It does not return.
func Main(rule string) {
	endAtOnce()
	if c := Checks()[rule]; c != nil {
		serve.Checker(c)
	}
	asked := os.Getenv(wire.CookieKey) != ""
	switch rule {
	case "good":
		serve.Checker(Good())
	case "starts":
		if asked {
			fmt.Println("Hello!")
		}
		serve.Checker(Good())
	case "stdout":
		serve.Checker(probing(func(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
			fmt.Println("looking at", t.Addr)
			return greet(ctx, t, o)
		}))
	case "survives":
		serve.Checker(probing(mortal))
	case "by-hand":
		if !asked {
			os.Exit(1)
		}
		serve.Checker(Good())
	case "host-gone":
		outlive()
		serve.Checker(Good())
	}
	fmt.Fprintln(os.Stderr, "no such plugin:", rule)
	os.Exit(1)
}

// endAtOnce keeps the race detector from letting this process sleep for a second before it ends, which a trial
// of a few dozen processes would wait for each time. The detector's runtime reads its options before any Go
// code runs: the process starts itself again.
func endAtOnce() {
	const variable, option = "GORACE", "atexit_sleep_ms=0"
	info, ok := debug.ReadBuildInfo()
	if !ok || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) || os.Getenv(variable) != "" {
		return
	}
	self, err := os.Executable()
	if err == nil {
		err = syscall.Exec(self, os.Args, append(os.Environ(), variable+"="+option))
	}
	fmt.Fprintln(os.Stderr, "it ends late:", err)
}

// mortal dies of what a server says, where nobody can catch it.
func mortal(ctx context.Context, t sdk.Target, o options) sdk.Verdict {
	v := greet(ctx, t, o)
	if v.Code == sdk.CodeMatch {
		go panic("what did it say?")
	}
	return v
}

// outlive undoes, on the main thread, what has the kernel end us with our parent (prctl(2)).
func outlive() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if syscall.Gettid() != os.Getpid() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			outlive()
		}()
		<-done
		return
	}
	const setParentDeathSignal = 1
	_, _, _ = syscall.RawSyscall6(syscall.SYS_PRCTL, setParentDeathSignal, 0, 0, 0, 0, 0)
}
