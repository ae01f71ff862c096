package match

import (
	"context"
	"errors"

	"github.com/ldirectord/ldirectord/sdk"
)

// Receive is the directive receive as a field of a check's options:
//
//	Receive match.Receive `option:"receive" type:"pattern" help:"..."`
//
// The zero value, and an empty pattern, is unset: Matches is then always true.
type Receive struct{ pattern *Pattern }

// UnmarshalText compiles a pattern. Its error says where the pattern is wrong.
func (r *Receive) UnmarshalText(text []byte) error {
	r.pattern = nil
	if len(text) == 0 {
		return nil
	}
	compiled, err := Compile(string(text))
	if wrong, ok := errors.AsType[*SyntaxError](err); ok {
		return placed{wrong}
	}
	r.pattern = compiled
	return err
}

// Set says whether there is a pattern to match.
func (r Receive) Set() bool { return r.pattern != nil }

// Matches searches answer. When that cannot be decided it gives back the verdict to report
// instead: Down with CodeMatch for a pattern that needs too much memory, Down with
// CodeTimeout at the deadline, Unknown when ctx was cancelled or the engine failed. Otherwise the verdict
// is nil.
func (r Receive) Matches(ctx context.Context, answer []byte) (bool, *sdk.Verdict) {
	if r.pattern == nil {
		return true, nil
	}
	found, err := r.pattern.Match(ctx, answer)
	var v sdk.Verdict
	switch {
	case err == nil:
		return found, nil
	case errors.Is(err, ErrTooComplex):
		v = sdk.DownWith(sdk.CodeMatch, "receive: %v", err)
	case errors.Is(err, context.Canceled):
		v = sdk.Unknown("cancelled")
	case errors.Is(err, ErrTimeout):
		v = sdk.DownWith(sdk.CodeTimeout, "receive: pattern not decided before the deadline")
	default:
		v = sdk.Unknown("receive: %v", err)
	}
	return false, &v
}

// placed words a SyntaxError for whoever knows the option's name and value.
type placed struct{ *SyntaxError }

func (e placed) Error() string    { return e.Reason }
func (e placed) ValueOffset() int { return e.Offset }
