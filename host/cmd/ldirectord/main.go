// Ldirectord monitors the real servers of Linux Virtual Server pools and keeps the
// kernel's IPVS table right; see ldirectord(8).
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/docs"
	"github.com/ldirectord/ldirectord/host/cli"
	"github.com/ldirectord/ldirectord/host/daemon"
)

// version is stamped in by the build.
var version = "unknown"

// Exit codes (ldirectord(8)).
const (
	exitOK          = 0
	exitFailed      = 1
	exitConfig      = 2   // a configuration with errors
	exitStopped     = 3   // status: not running
	exitUsage       = 255 // a command line that makes no sense
	exitUnsupported = 4   // the kernel has no IPVS, or the right to use it is missing
)

func main() {
	// Plugins run as another user: directories are made passable for them by their mode, which an
	// administrator's umask must not take away.
	syscall.Umask(0o022)
	a := &app{args: os.Args[1:], out: os.Stdout, err: os.Stderr}
	os.Exit(a.main())
}

// app is one run of the program.
type app struct {
	args []string
	in   invocation
	out  io.Writer
	err  io.Writer
}

func (a *app) main() int {
	in, err := parse(a.args)
	if err != nil {
		fmt.Fprintln(a.err, err)
		return exitUsage
	}
	a.in = in
	switch {
	case in.help:
		fmt.Fprint(a.out, docs.Manual)
		return exitOK
	case in.version:
		fmt.Fprintln(a.out, "ldirectord "+version)
		return exitOK
	}
	commands := map[string]func() int{
		"start":        a.start,
		"run":          a.run,
		"stop":         a.stop,
		"restart":      a.restart,
		"try-restart":  a.tryRestart,
		"reload":       a.reload,
		"force-reload": a.reload,
		"status":       a.status,
		"configtest":   a.configtest,
		"plugins":      a.plugins,
		"probe":        a.probe,
		"maintenance":  a.maintain,
		"lua":          a.luaCommand,
		"help":         a.help,
	}
	return commands[in.command]()
}

func (a *app) help() int {
	fmt.Fprint(a.out, cli.Help)
	return exitOK
}

// paths of the instance that the command line names. They depend on its name alone, so
// that stop and status work with a broken or missing file.
func (a *app) paths() daemon.Paths {
	return daemon.PathsOf(config.Instance(a.in.file))
}

// complain prints an error as this program's.
func (a *app) complain(format string, args ...any) {
	a.complainLines("ldirectord: " + fmt.Sprintf(format, args...))
}

// complainLines prints text of several lines, some of which may be a plugin's.
func (a *app) complainLines(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(a.err, daemon.Printable(strings.TrimRight(line, "\n")))
	}
}
