package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Login      string `option:"login" required:"true" help:"name to log in with"`
	Passwd     string `option:"passwd" secret:"true" help:"password of login"`
	Database   string `option:"database" help:"SID of the database, or the name of its service; unset: the listener's default service"`
	Request    string `option:"request" required:"true" help:"query that gives at least one row, without a semicolon at its end"`
	DatabaseIs kind   `option:"database-is" default:"sid" help:"what database names: sid or service"`
}

func validate(_ string, o options) error {
	var errs []error
	// It becomes a part of a connect descriptor, whose values end at these characters.
	if strings.ContainsFunc(o.Database, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`()="'\`, r) }) {
		errs = append(errs, &sdk.OptionError{Option: "database", Want: "is a name, without blanks, parentheses, quotes, = and \\"})
	}
	if strings.TrimSpace(o.Request) == "" {
		errs = append(errs, &sdk.OptionError{Option: "request", Want: "is a query"})
	}
	return errors.Join(errs...)
}

// kind is what the database is known by to its listener.
type kind string

// UnmarshalText reads sid or service.
func (k *kind) UnmarshalText(text []byte) error {
	switch *k = kind(text); *k {
	case "sid", "service":
		return nil
	}
	return fmt.Errorf("%q is neither sid nor service", text)
}
