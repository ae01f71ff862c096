package match

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// receiving is how plugins hold a Receive.
type receiving struct {
	Receive Receive `option:"receive" type:"pattern"`
}

func TestReceive(t *testing.T) {
	for _, test := range []struct {
		pattern, answer string
		set, want       bool
	}{
		{"", "anything", false, true},
		{"", "", false, true},
		{"^OK$", "OK\n", true, true},
		{"^OK$", "not OK", true, false},
		{"(?i)welcome", "You are WELCOME here", true, true},
		{`(\d)\1`, "a 33", true, true},
		{"\\xff", "\xff\x00", true, true},
	} {
		o, err := sdk.Decode[receiving](sdk.Options{"receive": test.pattern})
		if err != nil {
			t.Errorf("%q: %v", test.pattern, err)
			continue
		}
		got, v := o.Receive.Matches(t.Context(), []byte(test.answer))
		if got != test.want || v != nil || o.Receive.Set() != test.set {
			t.Errorf("%q on %q: got %v, %+v, set %v", test.pattern, test.answer, got, v, o.Receive.Set())
		}
	}
}

// The configuration's errors point at the character of the pattern.
func TestReceiveSaysWhereItIsWrong(t *testing.T) {
	_, err := sdk.Decode[receiving](sdk.Options{"receive": "abc(def"})
	wrong, ok := errors.AsType[*sdk.OptionError](err)
	if !ok || wrong.Option != "receive" || wrong.Offset != 3 || wrong.Want == "" {
		t.Errorf("got %#v", err)
	}
	var r Receive
	if err := r.UnmarshalText([]byte("fine")); err != nil || !r.Set() {
		t.Fatalf("%v, set %v", err, r.Set())
	}
	if err := r.UnmarshalText([]byte("(")); err == nil || r.Set() {
		t.Errorf("after an error: %v, set %v", err, r.Set())
	}
}

// What cannot be decided is a verdict, and never a match.
func TestReceiveUndecided(t *testing.T) {
	const runaway = `^(a|aa)+$` // exponential on a's that end in b
	answer := []byte(strings.Repeat("a", 60) + "b")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	for name, test := range map[string]struct {
		ctx    context.Context
		status sdk.Status
		code   sdk.Code
		reason string
	}{
		"deadline":  {late, sdk.StatusDown, sdk.CodeTimeout, "receive: pattern not decided before the deadline"},
		"cancelled": {cancelled, sdk.StatusUnknown, sdk.CodeFault, "cancelled"},
	} {
		o, err := sdk.Decode[receiving](sdk.Options{"receive": runaway})
		if err != nil {
			t.Fatal(err)
		}
		found, v := o.Receive.Matches(test.ctx, answer)
		if found || v == nil || v.Status != test.status || v.Code != test.code || v.Reason != test.reason {
			t.Errorf("%s: got %v, %+v", name, found, v)
		}
	}
}
