package rules

import (
	"context"
	"errors"
	"maps"

	"github.com/ldirectord/ldirectord/sdk"
)

// guesses are values that an option may want when nobody says which.
func guesses() []string {
	return []string{"x", "1", "yes", "/", "www.example.com", "http://www.example.com/", "127.0.0.1", "SELECT 1"}
}

// guess completes options with values for what is required, until the check accepts them.
func guess(ctx context.Context, c sdk.Checker, info sdk.Info, service string, given sdk.Options) (sdk.Options, error) {
	o := maps.Clone(given)
	if o == nil {
		o = sdk.Options{}
	}
	next := map[string]int{}
	try := func(option string) bool {
		n := next[option]
		if _, fixed := given[option]; fixed || option == "" || n >= len(guesses()) {
			return false
		}
		next[option] = n + 1
		o[option] = guesses()[n]
		return true
	}
	for _, one := range info.Options {
		if one.Required {
			try(one.Name)
		}
	}
	for {
		err := c.Validate(ctx, service, o)
		var wrong *sdk.OptionError
		if err == nil || !errors.As(err, &wrong) || !try(wrong.Option) {
			return o, err
		}
	}
}
