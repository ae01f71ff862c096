package match

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func compile(t testing.TB, pattern string) *Pattern {
	t.Helper()
	p, err := Compile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestString(t *testing.T) {
	const text = `(?i)^ok\b`
	if got := compile(t, text).String(); got != text {
		t.Errorf("String() = %q, want %q", got, text)
	}
}

func TestZeroAndEmptyPatternMatchEverything(t *testing.T) {
	for _, p := range []*Pattern{{}, compile(t, "")} {
		for _, answer := range []string{"", "x", "\xff\x00\n"} {
			if found, err := p.Match(t.Context(), []byte(answer)); !found || err != nil {
				t.Errorf("empty pattern on %q: %v, %v", answer, found, err)
			}
		}
	}
}

func TestSyntaxErrorSaysWhere(t *testing.T) {
	for _, c := range []struct {
		pattern string
		offset  int
		reason  string
	}{
		{`ok(`, 2, "unmatched ("},
		{`ok)`, 2, "unmatched )"},
		{`a|*b`, 2, "quantifier follows nothing"},
		{`ab**`, 3, "nested quantifiers"},
		{`a{70000}`, 1, "repeat count above 65534"},
		{`x[a`, 1, "unmatched ["},
		{`x[z-a]`, 2, "range out of order"},
		{`x[[:foo:]]`, 2, "unknown class [:foo:]"},
		{`é\`, 2, "backslash at the end"},
		{`(a)\2`, 3, "reference to a group that does not exist"},
		{`a\k<n>`, 1, "reference to a group name that does not exist"},
		{`a(?y)`, 3, "(?y...) is not known"},
		{`a(?{1})`, 1, "code in a pattern is not allowed"},
		{`b(?<=a*)`, 1, "lookbehind longer than 255 is not possible"},
		{`\p{Foo}`, 0, `unknown property "Foo"`},
		{`(a(?1))`, 2, "recursion is not supported"},
		{`a(*SKIP)b`, 1, "the verb (*SKIP) is not supported"},
		{`\d{x`, 2, `unescaped { after an escape; write \{`},
		{`a\x{41`, 1, `\x{ without }`},
	} {
		_, err := Compile(c.pattern)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: error %v, want a SyntaxError", c.pattern, err)
			continue
		}
		if syntax.Pattern != c.pattern || syntax.Offset != c.offset || syntax.Reason != c.reason {
			t.Errorf("%q: offset %d, %q; want %d, %q", c.pattern, syntax.Offset, syntax.Reason, c.offset, c.reason)
		}
		if !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%q: the message %q lacks the reason", c.pattern, err)
		}
	}
}

// TestLiteralsNeedNoEngine: what has no operator must not cost a mapping.
func TestLiteralsNeedNoEngine(t *testing.T) {
	for _, pattern := range []string{`Status: OK`, `a\.b\/c`, `\x41\n`, `(?:a)b(c)`, `é`, `a\Kb`, `(?x) o k # c`} {
		if compile(t, pattern).engine != nil {
			t.Errorf("%q is a literal, but has an engine", pattern)
		}
	}
	for _, pattern := range []string{`a.`, `a|b`, `a?`, `^a`, `(?i)a`, `(a)\1`, `[ab]`} {
		if compile(t, pattern).engine == nil {
			t.Errorf("%q is no literal, but has no engine", pattern)
		}
	}
}

// TestLiteralsAgreeWithContains quotes random bytes and looks for them in others.
func TestLiteralsAgreeWithContains(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	letters := []byte("ab\n.\\*[\xe9\xc3\x00$^ ({#")
	text := func(n int) []byte {
		b := make([]byte, random.IntN(n))
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return b
	}
	for range 5000 {
		needle, hay := text(4), text(40)
		// In a group with an impossible branch the same search takes the engine.
		quoted := quoteBytes(needle)
		for _, pattern := range []string{quoted, "(?:" + quoted + "|(?!))"} {
			found, err := compile(t, pattern).Match(t.Context(), hay)
			if want := bytes.Contains(hay, needle); found != want || err != nil {
				t.Fatalf("%q in %q: %v, %v; want %v", pattern, hay, found, err, want)
			}
		}
	}
}

// quoteBytes escapes what is ASCII and leaves the other bytes as they are.
func quoteBytes(b []byte) string {
	var out strings.Builder
	for _, c := range b {
		if c < 0x80 {
			out.WriteString(regexp.QuoteMeta(string(rune(c))))
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

func TestAnswerIsLeftAlone(t *testing.T) {
	answer := []byte("status \xff ok\n")
	before := bytes.Clone(answer)
	if found, err := compile(t, `(?i)OK$`).Match(t.Context(), answer); !found || err != nil {
		t.Fatal(found, err)
	}
	if !bytes.Equal(answer, before) {
		t.Errorf("the answer became %q", answer)
	}
}

// runaways need more time than anyone has on runawayAnswer. Perl answers them at
// once, by guards of its own.
var (
	runaways = []string{`(a+)+$`, `(a|aa)+$`, `(.*a){12}x|y$`, `^(\w+\s?)*$`}

	runawayAnswer = []byte(strings.Repeat("a", 40) + "!")
)

func TestRunawayEndsWithTheDeadline(t *testing.T) {
	const bound = 120 * time.Millisecond
	for _, pattern := range runaways {
		p := compile(t, pattern)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		found, err := p.Match(ctx, runawayAnswer)
		took := time.Since(start)
		cancel()
		if found || !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v, %v; want ErrTimeout and DeadlineExceeded", pattern, found, err)
		}
		if took < bound || took > bound+2*time.Second { // a busy machine is late; the pattern alone would take hours
			t.Errorf("%q: ended after %v, want %v and little more", pattern, took, bound)
		}
		if len(err.Error()) > 200 {
			t.Errorf("%q: the error carries the answer along: %d bytes", pattern, len(err.Error()))
		}
	}
}

func TestCancelEndsTheWait(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	inner, stop := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, stop)
	start := time.Now()
	_, err := compile(t, runaways[0]).Match(inner, runawayAnswer)
	if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want ErrTimeout and Canceled", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("returned after %v", took)
	}
}

func TestDefaultBound(t *testing.T) {
	ctx, cancel := bounded(context.Background())
	defer cancel()
	deadline, has := ctx.Deadline()
	if left := time.Until(deadline); !has || left > 30*time.Second || left < 25*time.Second {
		t.Errorf("a context without deadline gets %v (%v), want 30s", left, has)
	}
	far, stop := context.WithTimeout(context.Background(), time.Hour)
	defer stop()
	if same, _ := bounded(far); same != far {
		t.Error("a deadline of the caller's own was replaced")
	}
}

func TestContextThatIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, pattern := range []string{"ok", "o.", ""} {
		if _, err := compile(t, pattern).Match(ctx, []byte("ok")); !errors.Is(err, ErrTimeout) {
			t.Errorf("%q: error %v, want ErrTimeout", pattern, err)
		}
	}
}

// TestLargeAnswers: repeats of a group over a whole page need a stack far beyond
// the usual one.
func TestLargeAnswers(t *testing.T) {
	page := []byte(strings.Repeat("ab c\n", 1<<20/5) + "END\n")
	for _, pattern := range []string{`(?:ab|c|\s)*END`, `^(?:.|\n)*END$`, `(?s)^.*END`, `(\w+\s)*END`, `(?m)^END$`} {
		if found, err := compile(t, pattern).Match(t.Context(), page); !found || err != nil {
			t.Errorf("%q: %v, %v", pattern, found, err)
		}
	}
}

func TestTooComplex(t *testing.T) {
	answer := []byte(strings.Repeat("ab", maxStack/2))
	_, err := compile(t, `(?:ab|c)*(?:d|\z.)`).Match(t.Context(), answer)
	if !errors.Is(err, ErrTooComplex) {
		t.Errorf("error %v, want ErrTooComplex", err)
	}
}

func TestEngineFaultIsAnError(t *testing.T) {
	broken := &Pattern{engine: &engine{}} // no program: the engine panics
	found, err := broken.Match(t.Context(), []byte("ok"))
	if found || err == nil || errors.Is(err, ErrTimeout) || errors.Is(err, ErrTooComplex) {
		t.Errorf("%v, %v; want an error of its own", found, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	p := compile(t, `(?i)(\w)\1 (?:ab|c)*end$`)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			yes := []byte("xx " + strings.Repeat("ab", i*5000) + "END\n")
			no := []byte("xy " + strings.Repeat("ab", i) + "END\n")
			for range 4 {
				if found, err := p.Match(context.Background(), yes); !found || err != nil {
					t.Errorf("%d bytes: %v, %v; want a match", len(yes), found, err)
				}
				if found, err := p.Match(context.Background(), no); found || err != nil {
					t.Errorf("%d bytes: %v, %v; want none", len(no), found, err)
				}
			}
		})
	}
	wait.Wait()
}

func TestCallsCannotExplode(t *testing.T) {
	var pattern strings.Builder
	pattern.WriteString(`(?(DEFINE)(?<g0>abcdefgh)`)
	for i := range 30 {
		pattern.WriteString("(?<g" + string(rune('a'+i%26)) + strings.Repeat("x", i) + ">(?" + "&" + previous(i) + ")(?&" + previous(i) + "))")
	}
	pattern.WriteString(")(?&" + previous(30) + ")")
	_, err := Compile(pattern.String())
	if syntax := (*SyntaxError)(nil); !errors.As(err, &syntax) {
		t.Errorf("error %v, want a SyntaxError", err)
	}
}

// TestNestedGroupsCompile: without fences the engine's optimizer takes time that
// doubles with every second group, years for this depth.
func TestNestedGroupsCompile(t *testing.T) {
	const depth = 200
	for _, c := range []struct{ open, middle, end, answer string }{
		{"(?:a|b.", "c", ")", strings.Repeat("bx", depth) + "c"},
		{"(a|b(?:c|d.", "e", "))", strings.Repeat("bdx", depth) + "e"},
		{"(?>a|b.", "c", ")", strings.Repeat("bx", depth) + "c"},
		{"(?=a|b.)(?:..(?:", "c", ")*)?", strings.Repeat("bx", depth) + "c"},
	} {
		pattern := "^" + strings.Repeat(c.open, depth) + c.middle + strings.Repeat(c.end, depth) + "$"
		done := make(chan error, 1)
		go func() {
			p, err := Compile(pattern)
			if err == nil {
				var found bool
				if found, err = p.Match(context.Background(), []byte(c.answer)); err == nil && !found {
					err = errors.New("no match")
				}
			}
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s...: %v", c.open, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s...: not compiled after 20s", c.open)
		}
	}
}

// previous names the group that the i-th one calls twice.
func previous(i int) string {
	if i == 0 {
		return "g0"
	}
	return "g" + string(rune('a'+(i-1)%26)) + strings.Repeat("x", i-1)
}

func FuzzCompile(f *testing.F) {
	for _, corpus := range []string{"cases.tsv", "constructs.tsv"} {
		for _, c := range readCases(f, corpus, true) {
			f.Add(c.pattern, []byte(c.answer))
		}
	}
	f.Fuzz(func(t *testing.T, pattern string, answer []byte) {
		p, err := Compile(pattern)
		if err != nil {
			syntax := (*SyntaxError)(nil)
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(pattern) {
				t.Fatalf("%q: %#v", pattern, err)
			}
			if strings.Contains(syntax.Reason, "regexp") {
				t.Fatalf("%q: translated to what the engine refuses: %v", pattern, err)
			}
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err = p.Match(ctx, answer)
		if err != nil && !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrTooComplex) {
			t.Fatalf("%q on %q: %v", pattern, answer, err)
		}
	})
}
