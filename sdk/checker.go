package sdk

import (
	"context"
	"fmt"
	"time"
)

// Options are a check's settings by name, as the configuration writes them. The
// directives of the manual that reach a check keep their names ("request",
// "receive", "login", ...); a third party's `option.NAME = value` is NAME. A
// missing key means that the option was not set: its default holds.
type Options map[string]string

// Option describes one option of a check.
type Option struct {
	Name     string // as in the configuration, lower case
	Type     string // "string", "int", "bool", "duration", "pattern"
	Default  string // the value when unset, in configuration syntax
	Help     string // one line
	Required bool   // an error at configuration time when missing
	Secret   bool   // never shown: logs, dumps and transcripts print ***
}

// Service is one name that a check can be configured under.
type Service struct {
	Name    string // the word after `service =`
	Port    uint16 // the port when neither the real server nor checkport names one; 0: none
	Network string // "tcp" or "udp": what it speaks in a firewall-mark section
}

// Info is what a check says about itself.
type Info struct {
	Name     string // the check's own name, such as "http"
	Version  string // of the binary; free text
	Summary  string // one line
	Services []Service
	Options  []Option
	IPv6     bool // whether it can check IPv6 addresses
}

// OptionError says which option is wrong and what was expected. The host turns
// it into an error at the line of the configuration that set the option.
type OptionError struct {
	Option string // its name; empty when no single one is at fault
	Offset int    // byte offset into the value; 0 when it is wrong as a whole
	Want   string // what is wrong and what was expected
}

func (e *OptionError) Error() string {
	if e.Option == "" {
		return e.Want
	}
	return fmt.Sprintf("%s: %s", e.Option, e.Want)
}

// Checker is a check as its host holds it: a plugin process, a built-in check or a
// test double alike. All methods may be called concurrently.
type Checker interface {
	// Describe says what the check is. The answer does not change during the
	// Checker's life.
	Describe(ctx context.Context) (Info, error)
	// Validate says whether service can be checked with these options: nil, an error
	// (joined, when there are several) holding *OptionError values, or any other
	// error when it could not be asked.
	Validate(ctx context.Context, service string, o Options) error
	// Probe runs one check. It returns no error: not being able to tell is a
	// verdict, Unknown. It ends when ctx does.
	Probe(ctx context.Context, t Target, o Options) Verdict
}

// Due asks for one probe of a registered check.
type Due struct {
	ID uint64
	// Remaining is the time the probe may take, counted from when the message is
	// read: each side counts on its own monotonic clock.
	Remaining time.Duration
}

// Result is the verdict of one probe of a registered check.
type Result struct {
	ID      uint64
	Verdict Verdict
}

// OptionName returns e.Option.
func (e *OptionError) OptionName() string { return e.Option }

// ValueOffset returns e.Offset.
func (e *OptionError) ValueOffset() int { return e.Offset }

// Expected returns e.Want.
func (e *OptionError) Expected() string { return e.Want }
