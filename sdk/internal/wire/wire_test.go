package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

func weight(w int) *int { return &w }

func TestVerdictRoundTrip(t *testing.T) {
	for _, v := range []sdk.Verdict{
		{},
		sdk.Up(),
		sdk.DownWith(sdk.CodeTLS, "no"),
		sdk.Unknown("who knows"),
		{Status: sdk.StatusUp, Weight: weight(0), Transcript: "a\nb", Phases: []sdk.Phase{{Name: "connect", Took: 3}, {Name: "total", Took: time.Hour}}},
		{Status: sdk.StatusUp, Weight: weight(65535)},
	} {
		b, err := proto.Marshal(toVerdict(v))
		if err != nil {
			t.Fatal(err)
		}
		var p checkv1.Verdict
		if err := proto.Unmarshal(b, &p); err != nil {
			t.Fatal(err)
		}
		if got := fromVerdict(&p); !reflect.DeepEqual(got, v) {
			t.Errorf("got %+v, want %+v", got, v)
		}
	}
	if v := fromVerdict(nil); v.Status != sdk.StatusUnknown {
		t.Errorf("absent: %+v", v)
	}
	if v := fromVerdict(&checkv1.Verdict{Status: 7}); v.Status != sdk.StatusUnknown {
		t.Errorf("of a later protocol: %+v", v)
	}
}

func TestBound(t *testing.T) {
	phases := make([]sdk.Phase, 100)
	phases[3] = sdk.Phase{Name: strings.Repeat("n", 100), Took: -1}
	author := sdk.Verdict{
		Status: 9, Code: sdk.Code(strings.Repeat("c", 100)), Reason: strings.Repeat("\u00e4", 1000) + "\xff",
		Transcript: strings.Repeat("t", 100_000), Phases: phases,
	}
	v := Bound(author)
	switch {
	case v.Status != sdk.StatusUnknown, len(v.Code) != MaxCode, len(v.Reason) > MaxReason, !utf8.ValidString(v.Reason),
		len(v.Transcript) != MaxTranscript, len(v.Phases) != MaxPhases, v.Phases[3].Took != 0, len(v.Phases[3].Name) != MaxCode:
		t.Errorf("got %.300v", v)
	case phases[3].Took != -1:
		t.Error("the author's phases were changed")
	}
	for _, w := range []int{-1, 65536} {
		if v := Bound(sdk.Verdict{Status: sdk.StatusUp, Weight: &w}); v.Status != sdk.StatusUnknown || v.Weight != nil {
			t.Errorf("weight %d: %+v", w, v)
		}
	}
}

func TestTargetRoundTrip(t *testing.T) {
	for _, want := range []sdk.Target{
		{Service: "x", Addr: netip.MustParseAddrPort("192.0.2.1:80"), Network: "tcp"},
		{Service: "x", Addr: netip.MustParseAddrPort("[fe80::1%eth0]:53"), Network: "udp", FWMark: 7},
		{Service: "x", Addr: netip.MustParseAddrPort("192.0.2.1:0"), Network: "tcp", Virtual: netip.MustParseAddrPort("[::1]:443")},
	} {
		if got, err := fromTarget(toTarget(want)); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	for _, p := range []*checkv1.Target{nil, {Address: "x", Network: "tcp"}, {Address: "[::1]:1"}, {Address: "[::1]:1", Network: "tcp", Virtual: "x"}} {
		if _, err := fromTarget(p); err == nil {
			t.Errorf("%v was accepted", p)
		}
	}
}

func TestProblemsRoundTrip(t *testing.T) {
	a := &sdk.OptionError{Option: "a", Offset: 3, Want: "x"}
	err := fromProblems(toProblems(errors.Join(fmt.Errorf("deep: %w", a), errors.Join(errors.New("plain\xff"), nil))))
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 2 {
		t.Fatalf("got %v", err)
	}
	var oe *sdk.OptionError
	if !errors.As(joined.Unwrap()[0], &oe) || *oe != *a {
		t.Errorf("got %+v", oe)
	}
	if !errors.As(joined.Unwrap()[1], &oe) || *oe != (sdk.OptionError{Want: "plain\uFFFD"}) {
		t.Errorf("got %+v", oe)
	}
	if fromProblems(toProblems(nil)) != nil {
		t.Error("nothing is wrong, yet an error")
	}
}

func TestInfoOfABadPlugin(t *testing.T) {
	for _, p := range []*checkv1.DescribeResponse{
		{}, {Name: "x"}, {Services: []*checkv1.Service{{Name: "x"}}},
		{Name: "x", Services: []*checkv1.Service{{Name: "x", Port: 65536}}},
	} {
		if _, err := fromInfo(p); err == nil {
			t.Errorf("%v was accepted", p)
		}
	}
	i, err := fromInfo(&checkv1.DescribeResponse{
		Name: "x", Services: []*checkv1.Service{{Name: "x"}}, Options: []*checkv1.Option{{Name: "o"}},
	})
	if err != nil || i.Services[0].Network != "tcp" || i.Options[0].Type != "string" {
		t.Errorf("what absence means: %+v, %v", i, err)
	}
}

func TestLastWords(t *testing.T) {
	for text, want := range map[string]string{
		"one\ntwo\n\n":             "two",
		"no newline":               "no newline",
		"x\npanic: y\n\ngoroutine": "panic: y",
		`{"@level":"error","@message":"it broke","error":"badly"}` + "\n" + `{"@level":"debug","@message":"chatter"}` + "\n": "it broke: badly",
		strings.Repeat("l", 5000) + "\n": strings.Repeat("l", maxWords),
	} {
		var w words
		for b := []byte(text); len(b) > 0; b = b[min(7, len(b)):] {
			w.write(b[:min(7, len(b))])
		}
		if got := w.last(); got != want {
			t.Errorf("%.40q: got %.60q, want %.60q", text, got, want)
		}
	}
}
