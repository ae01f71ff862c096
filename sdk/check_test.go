package sdk

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

type offsetError struct{ at int }

func (e offsetError) Error() string    { return fmt.Sprintf("unbalanced at %d", e.at) }
func (e offsetError) ValueOffset() int { return e.at }

type pattern struct{ text string }

func (p *pattern) UnmarshalText(b []byte) error {
	if i := strings.IndexByte(string(b), '('); i >= 0 {
		return fmt.Errorf("pattern: %w", offsetError{i})
	}
	p.text = string(b)
	return nil
}

type shared struct {
	Login  string `option:"login" default:"anonymous" help:"who to log in as"`
	Passwd string `option:"passwd" secret:"true"`
}

type everything struct {
	shared
	Request string        `option:"request" required:"true" help:"what to ask for"`
	Receive pattern       `option:"receive" type:"pattern"`
	Other   *pattern      `option:"other" type:"pattern"`
	Strict  bool          `option:"strict" default:"yes"`
	Port    uint16        `option:"port"`
	Depth   int8          `option:"depth" default:"-3"`
	Wait    time.Duration `option:"wait" default:"1.5"`
	Roles   []string      `option:"roles" default:"a, b"`
	PIN     int           `option:"pin" secret:"true"`
	Kept    chan int
}

func TestDecode(t *testing.T) {
	got, err := Decode[everything](Options{
		"request": "/", "receive": "ok", "other": "x", "strict": "no", "port": "65535", "wait": "250ms", "roles": "m,,s ",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := everything{
		shared: shared{Login: "anonymous"}, Request: "/", Receive: pattern{"ok"}, Other: &pattern{"x"},
		Port: 65535, Depth: -3, Wait: 250 * time.Millisecond, Roles: []string{"m", "s"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got, err = Decode[everything](Options{"request": "/"})
	if err != nil || got.Other != nil || !got.Strict || got.Wait != 1500*time.Millisecond || len(got.Roles) != 2 {
		t.Errorf("defaults: %+v, %v", got, err)
	}
}

func TestDecodeErrors(t *testing.T) {
	tests := []struct {
		option, value string
		offset        int
		says          string
	}{
		{"recieve", "x", 0, "did you mean receive?"},
		{"zzzzzzzz", "x", 0, "there are login, passwd, request"},
		{"strict", "maybe", 0, `"maybe" is neither yes nor no`},
		{"port", "65536", 0, "not between 0 and 65535"},
		{"port", "-1", 0, "not between 0 and 65535"},
		{"depth", "128", 0, "not between -128 and 127"},
		{"depth", "x", 0, "not a whole number"},
		{"wait", "soon", 0, "not a time in seconds"},
		{"wait", "-1", 0, "negative"},
		{"wait", "1e300", 0, "not a time in seconds"},
		{"receive", "ab(c", 2, "unbalanced at 2"},
		{"other", "(", 0, "unbalanced"},
		{"request", "", 0, "is required: what to ask for"},
		{"pin", "hunter2", 0, "is not a valid int"},
	}
	for _, tt := range tests {
		o := Options{"request": "/"}
		o[tt.option] = tt.value
		_, err := Decode[everything](o)
		var oe *OptionError
		if !errors.As(err, &oe) {
			t.Errorf("%s=%s: got %v, want an OptionError", tt.option, tt.value, err)
			continue
		}
		if oe.Option != tt.option || oe.Offset != tt.offset || !strings.Contains(oe.Want, tt.says) {
			t.Errorf("%s=%s: got %+v, want offset %d, %q", tt.option, tt.value, oe, tt.offset, tt.says)
		}
	}
}

func TestDecodeReportsAllErrors(t *testing.T) {
	_, err := Decode[everything](Options{"port": "x", "strict": "x", "nix": "x"})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 4 {
		t.Errorf("got %v, want four errors", err)
	}
}

func TestFaultyChecksSaySo(t *testing.T) {
	faulty := map[string]Checker{
		"no Name":          Check[struct{}]{Probe: func(context.Context, Target, struct{}) Verdict { return Up() }}.Checker(),
		"no Probe":         Check[struct{}]{Name: "x"}.Checker(),
		"must be a struct": Check[int]{Name: "x", Probe: func(context.Context, Target, int) Verdict { return Up() }}.Checker(),
		"default of": named[struct {
			N int `option:"n" default:"x"`
		}](),
		"twice": named[struct {
			A int `option:"n"`
			B int `option:"n"`
		}](),
		"lower case": named[struct {
			A int `option:"N"`
		}](),
		"not exported": named[struct {
			a int `option:"n"`
		}](),
		"not supported": named[struct {
			A chan int `option:"n"`
		}](),
	}
	for says, c := range faulty {
		if _, err := c.Describe(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: Describe says %v", says, err)
		}
		if v := c.Probe(t.Context(), Target{}, nil); v.Status != StatusUnknown || !strings.Contains(v.Reason, says) {
			t.Errorf("%s: Probe says %+v", says, v)
		}
	}
}

func named[O any]() Checker {
	return Check[O]{Name: "x", Probe: func(context.Context, Target, O) Verdict { return Up() }}.Checker()
}

func TestCheckerDescribe(t *testing.T) {
	c := Check[shared]{
		Name: "mail", Summary: "s", Version: "1", Port: 25, NoIPv6: true,
		Services: []Service{{Name: "mail"}, {Name: "mails", Port: 465, Network: "udp"}},
		Probe:    func(context.Context, Target, shared) Verdict { return Up() },
	}.Checker()
	got, err := c.Describe(t.Context())
	want := Info{
		Name: "mail", Summary: "s", Version: "1",
		Services: []Service{{"mail", 25, "tcp"}, {"mails", 465, "udp"}},
		Options: []Option{
			{Name: "login", Type: "string", Default: "anonymous", Help: "who to log in as"},
			{Name: "passwd", Type: "string", Secret: true},
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if err := c.Validate(t.Context(), "pop", nil); err == nil || !strings.Contains(err.Error(), "serves mail, mails") {
		t.Errorf("unknown service: %v", err)
	}
}

func TestCheckerProbe(t *testing.T) {
	c := Check[shared]{
		Name: "mail",
		Probe: func(_ context.Context, t Target, o shared) Verdict {
			if o.Login == "boom" {
				panic("no more")
			}
			return Down("%s for %s", o.Login, t.Service)
		},
		Validate: func(service string, o shared) error {
			if o.Login == "root" {
				return &OptionError{Option: "login", Want: "not root on " + service}
			}
			if o.Login == "worse" {
				panic("even here")
			}
			return nil
		},
	}.Checker()
	tests := []struct {
		login  string
		status Status
		says   string
	}{
		{"me", StatusDown, "me for mail"},
		{"boom", StatusUnknown, "check mail panicked: no more"},
		{"root", StatusUnknown, "login: not root on mail"},
		{"worse", StatusUnknown, "panicked while validating: even here"},
	}
	for _, tt := range tests {
		v := c.Probe(t.Context(), Target{Service: "mail"}, Options{"login": tt.login})
		if v.Status != tt.status || !strings.Contains(v.Reason, tt.says) {
			t.Errorf("%s: got %+v", tt.login, v)
		}
	}
	if _, ok := c.(Preparer); !ok {
		t.Error("a Check's Checker must be a Preparer")
	}
}
