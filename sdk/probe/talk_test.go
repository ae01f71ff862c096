package probe

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
)

// talkWith is a conversation with a server that says text, and closes unless stays.
func talkWith(t *testing.T, text string, stays bool) (*Talk, *Trace) {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() { // ends with either end
		_, _ = io.WriteString(theirs, text)
		if !stays {
			theirs.Close()
		}
	}()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	tr := NewTrace()
	return NewTalk(ours, tr), tr
}

func TestTalkLines(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		lines []string
		err   error
	}{
		"CR LF and LF":     {"220 ready\r\n250 ok\n", []string{"220 ready", "250 ok"}, io.EOF},
		"an empty line":    {"\r\n", []string{""}, io.EOF},
		"nothing":          {"", nil, io.EOF},
		"half a line":      {"220 rea", nil, io.ErrUnexpectedEOF},
		"CR inside":        {"a\rb\r\r\n", []string{"a\rb\r"}, io.EOF},
		"the longest line": {strings.Repeat("x", MaxLine-1) + "\n", []string{strings.Repeat("x", MaxLine-1)}, io.EOF},
		"a longer line":    {strings.Repeat("x", MaxLine) + "\n", nil, ErrTooLong},
	} {
		talk, tr := talkWith(t, test.text, false)
		for _, want := range test.lines {
			if got, err := talk.Line(); got != want || err != nil {
				t.Errorf("%s: got %.20q, %v, want %.20q", name, got, err, want)
			}
		}
		if got, err := talk.Line(); !errors.Is(err, test.err) || got != "" {
			t.Errorf("%s: the end is %.20q, %v, want %v", name, got, err, test.err)
		}
		transcript := tr.Finish(sdk.Up()).Transcript
		if n := strings.Count(transcript, "< "); n != len(test.lines) && name != "an empty line" {
			t.Errorf("%s: transcript\n%s", name, transcript)
		}
	}
}

func TestTalkSay(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	tr := NewTrace()
	tr.Secret("sesame")
	talk := NewTalk(ours, tr)
	heard := make(chan string, 1)
	go func() { // ends with ours
		all, err := io.ReadAll(theirs)
		heard <- fmt.Sprint(string(all), err)
	}()
	if err := talk.Say("PASS %s", "sesame"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a\r\nDELE 1", "a\n", "a\r", "a\x00"} {
		v := Judge(talk.Say("USER %s", text))
		if v.Status != sdk.StatusUnknown || !strings.Contains(v.Reason, "a line end or a zero byte") {
			t.Errorf("%q: got %+v", text, v)
		}
	}
	talk.Close()
	if got := <-heard; got != "PASS sesame\r\n<nil>" {
		t.Errorf("the server heard %q", got)
	}
	if got := tr.Finish(sdk.Up()).Transcript; got != "> PASS ***" {
		t.Errorf("transcript %q", got)
	}
	if err := talk.Say("QUIT"); err == nil {
		t.Error("a closed conversation takes another line")
	}
}

// A server that does not answer the farewell holds nobody up.
func TestTalkBye(t *testing.T) {
	for name, answer := range map[string]string{"polite": "221 bye\r\n", "mute": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				done := make(chan string)
				go func() { // waited for below
					line := make([]byte, 100)
					n, _ := theirs.Read(line)
					_, _ = io.WriteString(theirs, answer)
					rest, _ := io.ReadAll(theirs)
					done <- string(line[:n]) + string(rest)
				}()
				begun := time.Now()
				NewTalk(ours, nil).Bye("QUIT")
				took := time.Since(begun)
				if answer != "" && took != 0 || answer == "" && took != farewell {
					t.Errorf("it took %v", took)
				}
				if got := <-done; got != "QUIT\r\n" {
					t.Errorf("the server heard %q", got)
				}
			})
		})
	}
}

// What a server says ahead of the handshake must not count as said under TLS.
func TestTalkPlain(t *testing.T) {
	talk, _ := talkWith(t, "220 go ahead\r\n", true)
	if _, err := talk.Line(); err != nil {
		t.Fatal(err)
	}
	if conn, err := talk.Plain(); err != nil || conn == nil {
		t.Errorf("got %v, %v", conn, err)
	}
	talk, _ = talkWith(t, "220 go ahead\r\n250 injected\r\n", true)
	if _, err := talk.Line(); err != nil {
		t.Fatal(err)
	}
	_, err := talk.Plain()
	if v := Judge(err); v.Status != sdk.StatusDown || v.Code != sdk.CodeProtocol || !strings.Contains(v.Reason, "plain text after it had agreed to TLS") {
		t.Errorf("got %+v", v)
	}
	if note := talk.ExpiryNote(time.Now()); note != "" {
		t.Errorf("a conversation without TLS has a certificate: %s", note)
	}
}

func TestFailedKnowsItsVerdict(t *testing.T) {
	v := Judge(fmt.Errorf("in front: %w", Failed(sdk.CodeAuth, "login refused: %s", Brief("535 no\x1b[31m"))))
	if v.Status != sdk.StatusDown || v.Code != sdk.CodeAuth || v.Reason != `login refused: 535 no\x1b[31m` {
		t.Errorf("got %+v", v)
	}
}

func TestBrief(t *testing.T) {
	for line, want := range map[string]string{
		"":                             "",
		"550 no\r":                     `550 no\r`,
		strings.Repeat("x", 120):       strings.Repeat("x", 120),
		strings.Repeat("x", 121):       strings.Repeat("x", 120) + "...",
		strings.Repeat("x", 119) + "é": strings.Repeat("x", 119) + `\xc3...`,
	} {
		if got := Brief(line); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func TestWithNote(t *testing.T) {
	for _, test := range []struct{ reason, note, want string }{
		{"", "", ""}, {"slow", "", "slow"}, {"", "expires soon", "expires soon"}, {"slow", "expires soon", "slow; expires soon"},
	} {
		if got := WithNote(sdk.Verdict{Reason: test.reason, Status: sdk.StatusUp}, test.note); got.Reason != test.want || got.Status != sdk.StatusUp {
			t.Errorf("%+v: got %+v", test, got)
		}
	}
}

// TestSecretsInBrief: no cut and no escape leaves anything of a secret in a reason.
func TestSecretsInBrief(t *testing.T) {
	for _, secret := range []string{"sesame123", "s\xe9same\x01"} {
		for pad := maxBrief - 12; pad < maxBrief+2; pad++ {
			tr := NewTrace()
			tr.Secret(secret)
			v := tr.Finish(sdk.Down("the server answers \"%s\"", Brief(strings.Repeat("y", pad)+secret+" is wrong")))
			if at := strings.LastIndex(v.Reason, "y"); strings.Contains(v.Reason, "sesa") || strings.Contains(v.Reason, "sam") || strings.Contains(v.Reason, `xe9`) {
				t.Errorf("%q after %d: %s", secret, pad, v.Reason[at:])
			}
		}
	}
}
