package ld

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
)

// Recording is one run of a script, as a file of text keeps it: what it was given, what it
// exchanged with the world, and the verdict. A line is words, quoted as in Go where they hold
// anything but letters; # begins a comment; a line that begins with + goes on with the last word of the one above.
//
//	target tcp 10.0.0.11:6379
//	virtual 192.0.2.10:6379
//	option role master
//	arg --strict
//	verdict down l7-status "role slave, want master"
//	weight 20
//	send 1 "INFO\r\n"
//	recv 1 = "role:slave\r\n"
//	recv 1 ! down l7-timeout "not finished before the deadline"
type Recording struct {
	Target  sdk.Target
	Options sdk.Options
	Args    []string // those behind the addresses
	// Want is the verdict to expect; its phases and transcript play no part, nor does an empty reason.
	Want      sdk.Verdict
	Exchanges []Exchange

	judged bool // the verdict was read
}

const recordingHead = "# A recording for `ldirectord lua test`. The verdict below is what the script has to come to; without a\n" +
	"# reason, any will do. All that the servers said is in here: read it before you pass it on.\n"

// Encode writes the file.
func (r *Recording) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(recordingHead)
	line(&b, "service", []string{r.Target.Service})
	line(&b, "target", []string{r.Target.Network, r.Target.Addr.String()})
	if r.Target.Virtual.IsValid() {
		line(&b, "virtual", []string{r.Target.Virtual.String()})
	}
	if r.Target.FWMark != 0 {
		line(&b, "mark", []string{strconv.FormatUint(uint64(r.Target.FWMark), 10)})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		line(&b, "option", []string{name, r.Options[name]})
	}
	for _, arg := range r.Args {
		line(&b, "arg", []string{arg})
	}
	line(&b, "verdict", verdictWords(r.Want))
	if r.Want.Weight != nil {
		line(&b, "weight", []string{strconv.Itoa(*r.Want.Weight)})
	}
	b.WriteString("\n")
	for _, x := range r.Exchanges {
		words := slices.Clone(x.Args)
		switch {
		case x.failed():
			words = append(append(words, "!"), verdictWords(x.Failure)...)
		case len(x.Results) > 0:
			words = append(append(words, "="), x.Results...)
		}
		at := len(x.Args)
		lineWith(&b, x.Verb, words, func(i int) bool { return i == at })
	}
	return b.Bytes()
}

func verdictWords(v sdk.Verdict) []string {
	words := []string{v.Status.String()}
	if v.Code != "" || v.Reason != "" {
		words = append(words, string(v.Code))
	}
	if v.Reason != "" {
		words = append(words, v.Reason)
	}
	return words
}

func line(b *bytes.Buffer, verb string, words []string) {
	lineWith(b, verb, words, func(int) bool { return false })
}

// lineWith writes a line, whose words that are signs go as they are.
func lineWith(b *bytes.Buffer, verb string, words []string, sign func(int) bool) {
	b.WriteString(verb)
	for i, w := range words {
		if sign(i) {
			b.WriteString(" " + w)
			continue
		}
		parts := strings.SplitAfter(w, "\n")
		if len(parts) > 1 && parts[len(parts)-1] == "" {
			parts = parts[:len(parts)-1]
		}
		b.WriteString(" " + quote(parts[0]))
		for _, part := range parts[1:] {
			b.WriteString("\n\t+ " + strconv.Quote(part))
		}
	}
	b.WriteString("\n")
}

// quote leaves plain words as they are.
func quote(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./:*[]", r)
	}) < 0
	if plain {
		return s
	}
	return strconv.Quote(s)
}

// word is one of a line; a sign is a bare = or !.
type word struct {
	text   string
	quoted bool
}

func (w word) sign() bool { return !w.quoted && (w.text == "=" || w.text == "!") }

// words takes a line apart.
func words(line string) ([]word, error) {
	var out []word
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" || line[0] == '#' {
			return out, nil
		}
		if line[0] != '"' {
			end := strings.IndexAny(line, " \t\r")
			if end < 0 {
				end = len(line)
			}
			out, line = append(out, word{text: line[:end]}), line[end:]
			continue
		}
		prefix, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, errors.New("a quoted word has no end")
		}
		text, err := strconv.Unquote(prefix)
		if err != nil {
			return nil, err
		}
		out, line = append(out, word{text, true}), line[len(prefix):]
	}
}

// ParseRecording reads a file. Its errors begin with NAME:LINE.
func ParseRecording(name string, text []byte) (*Recording, error) {
	r := &Recording{Options: sdk.Options{}}
	var pending []word
	begun := 0
	flush := func() error {
		if len(pending) == 0 {
			return nil
		}
		err := r.read(begun, pending)
		if pending = nil; err != nil {
			return fmt.Errorf("%s:%d: %w", name, begun, err)
		}
		return nil
	}
	n := 0
	for one := range strings.Lines(string(text)) {
		n++
		found, err := words(strings.TrimRight(one, "\n"))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if len(found) > 0 && found[0] == (word{text: "+"}) {
			if len(found) < 2 || len(pending) < 2 {
				return nil, fmt.Errorf("%s:%d: + goes on with the last word of a line, by another one", name, n)
			}
			pending[len(pending)-1].text += found[1].text
			pending = append(pending, found[2:]...)
			continue
		}
		if err := flush(); err != nil {
			return nil, err
		}
		pending, begun = found, n
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if !r.Target.Addr.IsValid() || !r.judged {
		return nil, fmt.Errorf("%s: the lines `target` and `verdict` are required", name)
	}
	return r, nil
}

// read takes one line in.
func (r *Recording) read(at int, line []word) (err error) {
	verb, rest := line[0].text, line[1:]
	texts := make([]string, len(rest))
	for i, w := range rest {
		texts[i] = w.text
	}
	need := func(n int) error {
		if len(texts) != n {
			return fmt.Errorf("%s: %d words expected, found %d", verb, n, len(texts))
		}
		return nil
	}
	wanted := map[string]int{"service": 1, "target": 2, "virtual": 1, "mark": 1, "option": 2, "arg": 1, "weight": 1}
	if n, ok := wanted[verb]; ok {
		if err := need(n); err != nil {
			return err
		}
	}
	switch verb {
	case "service":
		r.Target.Service = texts[0]
	case "target":
		r.Target.Network = texts[0]
		r.Target.Addr, err = netip.ParseAddrPort(texts[1])
	case "virtual":
		r.Target.Virtual, err = netip.ParseAddrPort(texts[0])
	case "mark":
		var mark uint64
		mark, err = strconv.ParseUint(texts[0], 10, 32)
		r.Target.FWMark = uint32(mark)
	case "option":
		r.Options[texts[0]] = texts[1]
	case "arg":
		r.Args = append(r.Args, texts[0])
	case "verdict":
		weight := r.Want.Weight
		r.Want, err = readVerdict(texts)
		r.Want.Weight, r.judged = weight, true
	case "weight":
		var n int
		n, err = strconv.Atoi(texts[0])
		r.Want.Weight = &n
	default:
		err = r.exchange(at, verb, rest)
	}
	return err
}

// shapes are the verbs of exchanges, with how many words each has at least.
var shapes = map[string]int{
	connectVerb: 4, tlsVerb: 3, sendVerb: 2, recvVerb: 1, shutdownVerb: 1, packetVerb: 2, answerVerb: 1,
	"http": 2, "dns": 3, "sleep": 1, "now": 0, "random": 1,
}

func (r *Recording) exchange(at int, verb string, rest []word) error {
	x := Exchange{Line: at, Verb: verb, Failure: sdk.Up()}
	least, known := shapes[verb]
	if !known {
		return fmt.Errorf("unknown word %q", verb)
	}
	part := &x.Args
	var verdict []string
	for _, w := range rest {
		switch {
		case part == &x.Args && w.sign() && w.text == "=":
			part = &x.Results
		case part == &x.Args && w.sign():
			part = &verdict
		default:
			*part = append(*part, w.text)
		}
	}
	if len(x.Args) < least {
		return fmt.Errorf("%s: at least %d words expected, found %d", verb, least, len(x.Args))
	}
	if part == &verdict {
		var err error
		if x.Failure, err = readVerdict(verdict); err != nil {
			return err
		}
		if x.Failure.Status == sdk.StatusUp {
			return errors.New("down or unknown expected after the sign of a failure")
		}
	}
	r.Exchanges = append(r.Exchanges, x)
	return nil
}

func readVerdict(texts []string) (v sdk.Verdict, err error) {
	if len(texts) < 1 || len(texts) > 3 {
		return v, errors.New("a status, a code and a reason expected")
	}
	switch texts[0] {
	case "up":
		v.Status = sdk.StatusUp
	case "down":
		v.Status = sdk.StatusDown
	case "unknown":
	default:
		return v, fmt.Errorf("up, down or unknown expected, not %q", texts[0])
	}
	if len(texts) > 1 {
		v.Code = sdk.Code(texts[1])
	}
	if len(texts) > 2 {
		v.Reason = texts[2]
	}
	return v, nil
}

// Redact replaces a secret wherever it is by stars, as many as it has bytes, so that lengths in front
// of it stay right. A replay that is given the stars as its option sends them.
func (r *Recording) Redact(secret string) {
	if secret == "" {
		return
	}
	stars := strings.Repeat("*", len(secret))
	hide := func(all []string) {
		for i := range all {
			all[i] = strings.ReplaceAll(all[i], secret, stars)
		}
	}
	for name, value := range r.Options {
		r.Options[name] = strings.ReplaceAll(value, secret, stars)
	}
	hide(r.Args)
	for i := range r.Exchanges {
		x := &r.Exchanges[i]
		hide(x.Args)
		hide(x.Results)
		x.Failure.Reason = strings.ReplaceAll(x.Failure.Reason, secret, stars)
	}
	r.Want.Reason = strings.ReplaceAll(r.Want.Reason, secret, stars)
}
