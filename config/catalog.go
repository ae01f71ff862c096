package config

import "errors"

// ServiceInfo is what the configuration needs to know of one service.
type ServiceInfo struct {
	Port    uint16 // default port; 0: none
	Network string // in firewall-mark sections; "tcp" or "udp"
	IPv6    bool
	Options []OptionInfo
}

// OptionInfo is one option that a service takes, whether a directive of the
// manual (request, receive, login, ...) or a third party's option.NAME.
type OptionInfo struct {
	Name     string
	Default  string // the value when it is not set, as a file would write it; "" for none
	Required bool
	Secret   bool
}

// Catalog says which services exist and what they take. It is asked while a
// configuration is read; the host implements it with the installed plugins.
type Catalog interface {
	// Services lists every service that can be used, sorted, for error messages.
	Services() []string
	// Lookup describes one service. The error says why it cannot be used: no such
	// plugin, not built yet, not executable, writable by others, of another protocol
	// version. ErrUnknownService means that nothing of that name is known.
	Lookup(service string) (ServiceInfo, error)
	// Validate has the service check its options. The error, which may be joined, holds
	// OptionProblem values for what is wrong with one option.
	Validate(service string, options map[string]string) error
}

// PatternValidator is what a Catalog may be besides. It is asked about the receive of a
// section whose service cannot look at it, because it is not known or cannot be used: without
// it such a pattern is reported only after the service has been put right.
type PatternValidator interface {
	// ValidatePattern returns an error when text is no pattern that a receive may be, a
	// Perl regular expression. The error may be an OptionProblem, whose name is not used; of
	// any other one its text is what was expected, and the whole pattern is at fault.
	ValidatePattern(text string) error
}

// OptionProblem is what an error of Catalog.Validate may be, so that it can be
// reported at the line that set the option.
type OptionProblem interface {
	error
	OptionName() string // "" when no single one is at fault
	ValueOffset() int   // byte offset into the value
	Expected() string
}

// ErrUnknownService is what Catalog.Lookup returns for a name that nothing serves.
var ErrUnknownService = errors.New("unknown service")
