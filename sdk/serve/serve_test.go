package serve

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/ldirectord/ldirectord/sdk"
)

func TestByHand(t *testing.T) {
	type options struct {
		Login  string `option:"login" default:"me" help:"who"`
		Passwd string `option:"passwd" required:"true" secret:"true"`
	}
	c := sdk.Check[options]{
		Name: "mail", Version: "1.2", Summary: "logs in", NoIPv6: true,
		Services: []sdk.Service{{Name: "mail", Port: 143}, {Name: "mails"}},
		Probe:    func(context.Context, sdk.Target, options) sdk.Verdict { return sdk.Up() },
	}.Checker()
	tests := []struct {
		args   []string
		code   int
		stdout bool
		says   []string
	}{
		{[]string{"/x/y"}, 1, false, []string{"not a program to be run by hand", "y --help"}},
		{[]string{"y", "--help"}, 0, true, []string{
			"mail - 1.2 - logs in", "service = mail\n", "passwd = ...", "mail             tcp, port 143",
			"mails            tcp, its port must be configured", "login            who (string, default me)",
			"(string, required, secret)", "cannot check IPv6",
		}},
		{[]string{"y", "--version"}, 0, true, []string{"mail 1.2\n"}},
		{[]string{"y", "--nonsense"}, 1, false, []string{"mail"}},
	}
	for _, tt := range tests {
		var out, errs bytes.Buffer
		code := byHand(c, tt.args, &out, &errs)
		text, other := errs.String(), out.String()
		if tt.stdout {
			text, other = other, text
		}
		if code != tt.code || other != "" {
			t.Errorf("%v: exit %d, want %d; on the other descriptor: %q", tt.args, code, tt.code, other)
		}
		for _, s := range tt.says {
			if !strings.Contains(text, s) {
				t.Errorf("%v lacks %q:\n%s", tt.args, s, text)
			}
		}
	}
	faulty := sdk.Check[int]{Name: "x"}.Checker()
	var out, errs bytes.Buffer
	if code := byHand(faulty, []string{"y", "--help"}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "faulty check") {
		t.Errorf("a faulty check: %d, %s", code, errs.String())
	}
}

func TestLogOutsideOfAProbe(t *testing.T) {
	Log(t.Context()).Error("goes nowhere")
}
