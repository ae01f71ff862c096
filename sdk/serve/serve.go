// Package serve is the plugin's end: a check's main function is one call of Main.
package serve

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/internal/wire"
)

// Logger is hashicorp/go-hclog's: what a plugin logs arrives in the director's own log with
// its level and fields.
type Logger = wire.Logger

// Main serves a check until the director ends it. Started by hand, the program says what it is and
// how to use it, and exits with 0 when that was asked for (--help) and 1 when not. It does
// not return. What the program may reach is in the words of ReadPaths.
func Main[O any](c sdk.Check[O], options ...Option) { Checker(c.Checker(), options...) }

// Checker is Main for a check that was made otherwise than by sdk.Check.
func Checker(c sdk.Checker, options ...Option) {
	if os.Getenv(wire.CookieKey) != wire.CookieValue {
		os.Exit(byHand(c, os.Args, os.Stdout, os.Stderr))
	}
	if _, err := c.Describe(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	log := newLogger(os.Stderr)
	confine(options, log)
	wire.Serve(c, log)
	os.Exit(0)
}

// Log is the logger of the probe that ctx belongs to; its lines carry the service and the
// target. Outside of a probe it drops what it is told.
func Log(ctx context.Context) Logger {
	if l := wire.LoggerFrom(ctx); l != nil {
		return l
	}
	return wire.NoLogger()
}

// newLogger writes what the host's end of go-plugin parses back into levels and fields.
func newLogger(w io.Writer) Logger { return wire.NewLogger(w) }

// byHand answers a human.
func byHand(c sdk.Checker, args []string, out, errs io.Writer) int {
	asked := len(args) > 1 && slices.Contains([]string{"--help", "-h", "-help", "help"}, args[1])
	info, err := c.Describe(context.Background())
	switch {
	case err != nil:
		fmt.Fprintln(errs, err)
		return 1
	case len(args) > 1 && args[1] == "--version":
		fmt.Fprintln(out, info.Name, info.Version)
		return 0
	case asked:
		usage(out, args[0], info)
		return 0
	default:
		usage(errs, args[0], info)
		return 1
	}
}

// usage describes the check and how to configure it.
func usage(w io.Writer, program string, info sdk.Info) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", info.Name)
	for _, s := range []string{info.Version, info.Summary} {
		if s != "" {
			fmt.Fprintf(&b, " - %s", s)
		}
	}
	b.WriteString("\n\nThis is a check of ldirectord, not a program to be run by hand. Put it, as\n")
	fmt.Fprintf(&b, "ldirectord-check-%s, into the director's plugin directory and configure\n\n", info.Name)
	fmt.Fprintf(&b, "    virtual = ...\n        service = %s\n", info.Services[0].Name)
	for _, o := range info.Options {
		if o.Required {
			fmt.Fprintf(&b, "        %s = ...\n", o.Name)
		}
	}
	b.WriteString("\nServices (for each but the first, link ldirectord-check-SERVICE to the binary):\n")
	for _, s := range info.Services {
		port := "its port must be configured"
		if s.Port != 0 {
			port = fmt.Sprintf("port %d", s.Port)
		}
		fmt.Fprintf(&b, "    %-16s %s, %s\n", s.Name, s.Network, port)
	}
	b.WriteString("\nOptions (a third party's are written option.NAME):\n")
	for _, o := range info.Options {
		fmt.Fprintf(&b, "    %-16s %s%s\n", o.Name, o.Help, remarks(o))
	}
	if len(info.Options) == 0 {
		b.WriteString("    none\n")
	}
	if !info.IPv6 {
		b.WriteString("\nIt cannot check IPv6 addresses.\n")
	}
	fmt.Fprintf(&b, "\n    %s --help     this text\n    %[1]s --version  its version\n", filepath.Base(program))
	_, _ = io.WriteString(w, b.String()) // nobody is left to tell
}

// remarks is what else there is to know about an option.
func remarks(o sdk.Option) string {
	r := []string{o.Type}
	if o.Required {
		r = append(r, "required")
	}
	if o.Default != "" {
		r = append(r, "default "+o.Default)
	}
	if o.Secret {
		r = append(r, "secret")
	}
	return " (" + strings.Join(r, ", ") + ")"
}
