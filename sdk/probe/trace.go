package probe

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ldirectord/ldirectord/sdk"
)

// maxTranscript and maxEntry bound a transcript, in bytes.
const (
	maxTranscript = 4096
	maxEntry      = 1024 // of one Sent or Received
)

// maxPhases bounds the phases of one verdict, total not counted.
const maxPhases = 31

// Trace collects what Verdict.Phases and Verdict.Transcript show of one probe. It is for one
// goroutine. All methods of a nil Trace do nothing, and Finish returns its verdict.
type Trace struct {
	begun, last time.Time
	phases      []sdk.Phase
	text        []byte
	full        bool
	secrets     []string
}

// NewTrace begins a trace: its first phase runs from now.
func NewTrace() *Trace {
	now := time.Now()
	return &Trace{begun: now, last: now, phases: make([]sdk.Phase, 0, 4)}
}

// Phase says that a phase ended now: it took the time since the last one ended. A verdict
// has room for 31 of them; later ones are left out.
func (t *Trace) Phase(name string) {
	if t == nil || len(t.phases) == maxPhases {
		return
	}
	now := time.Now()
	t.phases = append(t.phases, sdk.Phase{Name: name, Took: now.Sub(t.last)})
	t.last = now
}

// Secret has every later appearance of s in the transcript and the reason replaced by ***.
// An empty s is ignored.
func (t *Trace) Secret(s string) {
	if t == nil || s == "" {
		return
	}
	t.secrets = append(t.secrets, s)
	if shown := Escape(s); shown != s {
		t.secrets = append(t.secrets, shown)
	}
}

// Sent records what was sent to the server. Lines after the first 1 KiB of one call, and
// whatever exceeds the transcript's 4 KiB, are left out, and that is noted.
func (t *Trace) Sent(p []byte) { t.record("> ", p) }

// Received records what came from the server, within the bounds of Sent.
func (t *Trace) Received(p []byte) { t.record("< ", p) }

// Note records a remark of the check's own.
func (t *Trace) Note(format string, args ...any) {
	if t != nil {
		t.record("* ", fmt.Appendf(nil, format, args...))
	}
}

func (t *Trace) record(prefix string, p []byte) {
	if t == nil || t.full || len(p) == 0 {
		return
	}
	// Secrets go before the cut, so that none is cut in half and escapes.
	window := p[:min(len(p), 2*maxEntry)]
	shown := t.redact(string(window))
	left := len(p) - len(window)
	if len(shown) > maxEntry {
		left += len(shown) - maxEntry
		shown = shown[:maxEntry]
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(shown, "\n"), "\n") {
		t.line(prefix, Escape(strings.TrimSuffix(line, "\r")))
	}
	if left > 0 {
		t.line("* ", strconv.Itoa(left)+" bytes more")
	}
}

func (t *Trace) line(prefix, s string) {
	if t.full {
		return
	}
	if len(t.text)+len(prefix)+len(s)+1 > maxTranscript {
		t.full = true
		prefix, s = "* ", "the rest is left out"
	}
	t.text = append(append(append(t.text, prefix...), s...), '\n')
}

// Redact returns s with the secrets replaced, for what does not go through the trace, or is cut short before it does:
// of a secret that is cut in two Finish would know nothing.
func (t *Trace) Redact(s string) string {
	if t == nil {
		return s
	}
	return t.redact(s)
}

func (t *Trace) redact(s string) string {
	for _, secret := range t.secrets {
		s = strings.ReplaceAll(s, secret, "***")
	}
	return s
}

// redactCut is redact for a text that Brief may have cut within a secret.
func (t *Trace) redactCut(s string) string {
	const cut, few = "...", 3 // bytes that tell nothing
	s = t.redact(s)
	if !strings.Contains(s, cut) {
		return s
	}
	for _, secret := range t.secrets {
		for n := len(secret) - 1; n >= few; n-- {
			s = strings.ReplaceAll(s, secret[:n]+cut, "***"+cut)
		}
	}
	return s
}

// Finish returns v with the phases, "total" last, and the transcript; secrets are removed
// from its reason.
func (t *Trace) Finish(v sdk.Verdict) sdk.Verdict {
	if t == nil {
		return v
	}
	v.Phases = append(t.phases, sdk.Phase{Name: "total", Took: time.Since(t.begun)})
	v.Transcript = string(bytes.TrimSuffix(t.text, []byte("\n")))
	v.Reason = t.redactCut(v.Reason)
	return v
}

// Escape makes text from a server fit for one line of a terminal or a log: control
// bytes, line ends among them, other unprintable characters and bytes that are not UTF-8 become
// \n, \x1b, \u202e and so on. A backslash stays one, so that escaping twice changes nothing.
func Escape(s string) string {
	at := unsafeAt(s)
	if at < 0 {
		return s
	}
	b := make([]byte, at, len(s)+16)
	copy(b, s)
	for s = s[at:]; s != ""; {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, s[0])
		case strconv.IsPrint(r):
			b = append(b, s[:n]...)
		default:
			quoted := strconv.QuoteRune(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		s = s[n:]
	}
	return string(b)
}

// unsafeAt is the offset of the first character that Escape changes, or -1.
func unsafeAt(s string) int {
	for i, r := range s {
		if !strconv.IsPrint(r) || r == utf8.RuneError {
			return i
		}
	}
	return -1
}
