package match

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// What groups captured, as perl 5.36 prints $& and $1, $2, ...
func TestFind(t *testing.T) {
	cases := []struct{ pattern, answer, want string }{
		{"OK", "is OK", "OK"},
		{"(OK)", "is OK", "OK|OK"},
		{"", "x", ""},
		{"()", "x", "|"},
		{`role:(\w+)`, "x\nrole:master\r\n", "role:master|master"},
		{`(a)|(b)`, "b", "b|undef|b"},
		{`(?<n>\d+)-(\w)`, "7-x", "7-x|7|x"},
		{`(\w)(?<n>\d+)(.)`, "x12-", "x12-|x|12|-"},
		{`(?:(a)|b)*`, "ab", "ab|a"},
		{`(a+)+?b`, "aab", "aab|aa"},
		{`(?i)(v)\xe9(\d)`, "V\xe94", "V\xe94|V|4"},
		{`(x++)y`, "xxy", "xxy|xx"},
		{`(\d{2,3}){2}`, "12345", "12345|45"},
		{`no(t)`, "never", ""},
	}
	for _, c := range cases {
		p, err := Compile(c.pattern)
		if err != nil {
			t.Fatalf("%s: %v", c.pattern, err)
		}
		spans, err := p.Find(t.Context(), []byte(c.answer))
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		}
		var parts []string
		for _, s := range spans {
			if s.Begin < 0 {
				parts = append(parts, "undef")
				continue
			}
			parts = append(parts, c.answer[s.Begin:s.End])
		}
		if got := strings.Join(parts, "|"); got != c.want {
			t.Errorf("%s on %q: %q, want %q", c.pattern, c.answer, got, c.want)
		}
	}
	p, _ := Compile("(a*)*b")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Find(ctx, []byte("aab")); !errors.Is(err, ErrTimeout) {
		t.Errorf("a context that is over: %v", err)
	}
	if spans, err := p.Find(t.Context(), []byte("caab")); err != nil || !slices.Equal(spans, []Span{{1, 4}, {3, 3}}) {
		t.Errorf("%v, %v", spans, err)
	}
}
