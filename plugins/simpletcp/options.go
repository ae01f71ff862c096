package main

import (
	"fmt"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/match"
)

// options of the check: directives of ldirectord(8), then its own.
type options struct {
	Request   text          `option:"request" help:"what to send, as it is but for \\n, which becomes a new line; unset: nothing"`
	Receive   match.Receive `option:"receive" type:"pattern" help:"Perl pattern that a line of the answer has to match; unset: that it could be sent will do"`
	HalfClose bool          `option:"half-close" default:"yes" help:"say that nothing more will be sent, after the request"`
	MaxAnswer int           `option:"max-answer" default:"1048576" help:"bytes of the answer to look at"`
}

// largestAnswer bounds max-answer: a line may take so much memory.
const largestAnswer = 64 << 20

func validate(_ string, o options) error {
	if o.MaxAnswer < 1 || o.MaxAnswer > largestAnswer {
		return &sdk.OptionError{Option: "max-answer", Want: fmt.Sprintf("%d is not between 1 and %d", o.MaxAnswer, largestAnswer)}
	}
	return nil
}

// text is what to send.
type text string

// UnmarshalText replaces the two characters \n by a new line (ldirectord(8), "request").
func (s *text) UnmarshalText(p []byte) error {
	*s = text(strings.ReplaceAll(string(p), `\n`, "\n"))
	return nil
}
