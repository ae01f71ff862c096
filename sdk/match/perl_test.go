package match

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// perlCase is one line of a corpus: what perl 5.36 said.
type perlCase struct {
	place   string // file:line
	want    string // "1", "0" or "E"
	pattern string
	answer  string
}

// readFields returns the lines of a file in testdata, each with n fields.
func readFields(t testing.TB, name string, n int) (fields [][]string, places []string) {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for at := 1; lines.Scan(); at++ {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		line := strings.SplitN(lines.Text(), "\t", n)
		if len(line) != n {
			t.Fatalf("%s:%d: %d fields, want %d", name, at, len(line), n)
		}
		fields, places = append(fields, line), append(places, fmt.Sprintf("%s:%d", name, at))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return fields, places
}

// readCases reads a corpus. Plain ones have the pattern as it is and the answer
// with \n, \r, \t and \xHH, the others have both in hexadecimal.
func readCases(t testing.TB, name string, plain bool) []perlCase {
	t.Helper()
	fields, places := readFields(t, name, 3)
	cases := make([]perlCase, len(fields))
	for i, f := range fields {
		cases[i] = perlCase{place: places[i], want: f[0], pattern: f[1], answer: unescape(t, f[2])}
		if !plain {
			cases[i].pattern, cases[i].answer = unhex(t, f[1]), unhex(t, f[2])
		}
	}
	return cases
}

func unhex(t testing.TB, text string) string {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// unescape reads the answers' escapes. A quotation mark may stand bare.
func unescape(t testing.TB, text string) string {
	t.Helper()
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return out
}

// verdict is our answer in the corpus's notation, with the text of a refusal.
func verdict(t testing.TB, c perlCase) (got, why string) {
	t.Helper()
	p, err := Compile(c.pattern)
	if refused := (*SyntaxError)(nil); errors.As(err, &refused) {
		return "E", refused.Reason
	} else if err != nil {
		t.Fatalf("%s: %q: not a SyntaxError: %v", c.place, c.pattern, err)
	}
	found, err := p.Match(context.Background(), []byte(c.answer))
	switch {
	case err != nil:
		t.Errorf("%s: %q on %q: %v", c.place, c.pattern, c.answer, err)
	case found:
		return "1", ""
	}
	return "0", ""
}

// difference is an answer that is not Perl's on purpose.
type difference struct{ want, got, pattern, answer string }

func readDifferences(t *testing.T) map[difference]bool {
	fields, places := readFields(t, "differences.tsv", 5)
	known := map[difference]bool{}
	for i, f := range fields {
		pattern, err1 := strconv.Unquote(f[2])
		answer, err2 := strconv.Unquote(f[3])
		if err := errors.Join(err1, err2); err != nil || f[4] == "" {
			t.Fatalf("%s: %v, or no reason given", places[i], err)
		}
		known[difference{f[0], f[1], pattern, answer}] = true
	}
	return known
}

// TestAgainstPerl compares every line of the corpora with what perl answered. Each
// difference has to be listed with its reason, and none may be listed in vain.
func TestAgainstPerl(t *testing.T) {
	known := readDifferences(t)
	corpora := []struct {
		name  string
		plain bool
	}{{"cases.tsv", true}, {"constructs.tsv", true}, {"random.tsv", false}, {"generated.tsv", false}}
	for _, corpus := range corpora {
		t.Run(corpus.name, func(t *testing.T) {
			tally := map[string]int{}
			for _, c := range readCases(t, corpus.name, corpus.plain) {
				got, why := verdict(t, c)
				tally[c.want+got]++
				d := difference{c.want, got, c.pattern, c.answer}
				if got != c.want && !known[d] {
					t.Errorf("%s: perl %s, we %s (%s): %q on %q", c.place, c.want, got, why, c.pattern, c.answer)
				}
				delete(known, d)
			}
			t.Logf("perl's verdict and ours: %v", tally)
		})
	}
	for d := range known {
		t.Errorf("differences.tsv lists what does not differ: %q", d)
	}
}

// TestSetsAgainstPerl compares classes, escapes, folding and properties byte by
// byte.
func TestSetsAgainstPerl(t *testing.T) {
	fields, places := readFields(t, "sets.tsv", 2)
	for i, f := range fields {
		want := unhex(t, f[1])
		p, err := Compile(f[0])
		if err != nil {
			t.Errorf("%s: %v", places[i], err)
			continue
		}
		var missing, surplus []byte
		for c := range 256 {
			found, err := p.Match(t.Context(), []byte{byte(c)})
			if err != nil {
				t.Fatalf("%s: %q on byte %#x: %v", places[i], f[0], c, err)
			}
			switch in := want[c/8]>>(c%8)&1 == 1; {
			case in && !found:
				missing = append(missing, byte(c))
			case !in && found:
				surplus = append(surplus, byte(c))
			}
		}
		if missing != nil || surplus != nil {
			t.Errorf("%s: %s: not matched %q, wrongly matched %q", places[i], f[0], missing, surplus)
		}
	}
}
