package config

import (
	"strconv"
	"strings"
)

// A syntax reads the text of a statement. It returns the value, one of string,
// bool, int64, []string, EmailStatus and lvs.SchedFlags, and the place in the file where its
// text begins. It returns nil after it has reported what is wrong.
type syntax func(r *report, s statement) (value any, at Pos)

// after moves a place n bytes to the right.
func (p Pos) after(n int) Pos {
	p.Col += n
	return p
}

// unquote reads a value that may be quoted, and where it begins in s.text.
func unquote(r *report, s statement) (text string, offset int, ok bool) {
	if !strings.HasPrefix(s.text, `"`) {
		bare, _, _ := strings.Cut(s.text, "#")
		return strings.TrimRight(bare, blanks), 0, true
	}
	quoted := cutComment(s.text)
	last := strings.LastIndexByte(quoted, '"')
	if last == 0 && needNoEnd(s.name) {
		r.warn(s.at, s.name, "no quote at the end of the value, which is taken as it stands")
		return quoted[1:], 1, true
	}
	if last == 0 {
		r.refuse(s.at, s.name, shown(s, s.text), "a quote at the end of the value")
		return "", 0, false
	}
	if rest := quoted[last+1:]; rest != "" {
		r.warn(s.at.after(last+1), s.name, "what follows the last quote is ignored")
	}
	return quoted[1:last], 1, true
}

// needNoEnd tells whether the Perl ldirectord starts with a directive whose value has a quote
// at its start and none at its end.
func needNoEnd(directive string) bool {
	switch directive {
	case "checkcommand", "emailalert", "execute", "fallbackcommand", "maintenancedir", "virtualhost":
		return true
	}
	return false
}

// shown is what a message may quote of a statement's value.
func shown(s statement, text string) string {
	if s.name == "passwd" || s.name == "secret" || strings.HasPrefix(s.name, "option.") {
		return ""
	}
	return text
}

// quotable reads a string, in quotes or not. Quotes may be empty, no text at all may not.
func quotable(r *report, s statement) (any, Pos) {
	text, offset, ok := unquote(r, s)
	switch {
	case !ok:
		return nil, s.at
	case text == "" && offset == 0:
		r.refuse(s.at, s.name, "", `no value, expected a string such as "text"`)
		return nil, s.at
	}
	return text, s.at.after(offset)
}

// filled reads a string that must not be empty, in quotes or not.
func filled(r *report, s statement) (any, Pos) {
	v, at := quotable(r, s)
	if v == "" {
		r.refuse(at, s.name, "", "no value, expected a string")
		return nil, at
	}
	return v, at
}

// optional reads a string that may be missing, in quotes or not.
func optional(r *report, s statement) (any, Pos) {
	text, offset, ok := unquote(r, s)
	if !ok {
		return nil, s.at
	}
	return text, s.at.after(offset)
}

// free reads text as it stands. One pair of quotes around the whole is dropped.
func free(_ *report, s statement) (any, Pos) {
	text := cutComment(s.text)
	if len(text) > 1 && strings.Count(text, `"`) == 2 && text[0] == '"' && text[len(text)-1] == '"' {
		return text[1 : len(text)-1], s.at.after(1)
	}
	return text, s.at
}

// verbatim reads text as it stands, quotes included.
func verbatim(r *report, s statement) (any, Pos) {
	text := cutComment(s.text)
	if text == "" {
		r.refuse(s.at, s.name, "", "no value, expected text")
		return nil, s.at
	}
	return text, s.at
}

// word reads one word, in quotes or not. More words are ignored, and what looks like the end of a
// list or of a statement.
func word(r *report, s statement) (any, Pos) {
	return oneWord(r, s, func(first string) string { return strings.TrimRight(first, ",;") })
}

// keyword reads one word of letters, digits, "_" and "-", in quotes or not. Like the Perl ldirectord
// it ignores what follows, such as the rest of the list that "http,https" is.
func keyword(r *report, s statement) (any, Pos) {
	return oneWord(r, s, func(first string) string {
		end := strings.IndexFunc(first, func(c rune) bool {
			return c != '_' && c != '-' && !('0' <= c && c <= '9') && !('a' <= c|0x20 && c|0x20 <= 'z')
		})
		if end < 0 {
			return first
		}
		return first[:end]
	})
}

// oneWord reads the part that counts of the first word, in quotes or not; all of it if counts
// leaves nothing.
func oneWord(r *report, s statement, counts func(string) string) (any, Pos) {
	text, offset, ok := unquote(r, s)
	if !ok {
		return nil, s.at
	}
	inner := strings.TrimLeft(text, blanks)
	offset += len(text) - len(inner)
	at := s.at.after(offset)
	first, rest := field(inner)
	if first == "" {
		r.refuse(at, s.name, "", "no value, expected a word")
		return nil, at
	}
	if short := counts(first); short != "" && short != first {
		first, rest = short, inner[len(short):]
	}
	if rest != "" {
		r.warn(at.after(len(inner)-len(rest)), s.name, "only %q counts, what follows is ignored", first)
	}
	return first, at
}

// field splits text after its first word, and drops the blanks between.
func field(text string) (first, rest string) {
	end := strings.IndexAny(text, blanks)
	if end < 0 {
		return text, ""
	}
	return text[:end], strings.TrimLeft(text[end:], blanks)
}

// oneOf reads one of some words, upper or lower case.
func oneOf(words ...string) syntax {
	return func(r *report, s statement) (any, Pos) {
		v, at := keyword(r, s)
		if v == nil {
			return nil, at
		}
		for _, w := range words {
			if strings.EqualFold(w, v.(string)) {
				return w, at
			}
		}
		r.refuse(at, s.name, v.(string), listed(words)+didYouMean(v.(string), words))
		return nil, at
	}
}

// yesOrNo reads yes or no.
func yesOrNo(r *report, s statement) (any, Pos) {
	switch text := cutComment(s.text); text {
	case "yes":
		return true, s.at
	case "no":
		return false, s.at
	case "":
		r.refuse(s.at, s.name, "", "no value, expected yes or no")
	default:
		r.refuse(s.at, s.name, text, "yes or no")
	}
	return nil, s.at
}

// maxNumber bounds counts and seconds. It is three decades in seconds.
const maxNumber = 1_000_000_000

// number reads an integer from least on. Like the Perl ldirectord it takes the first digits
// that it finds and ignores the rest, which is worth a warning; those of 0 and more stand at the start.
func number(least int64) syntax { return digitsOf(least, least > 0) }

// digitsOf is number, whose digits may stand anywhere or not.
func digitsOf(least int64, anywhere bool) syntax {
	return func(r *report, s statement) (any, Pos) {
		text := strings.Trim(cutComment(s.text), `"`)
		want := "a number"
		if least > 0 {
			want = "a number greater than zero"
		}
		start := strings.IndexAny(text, "0123456789")
		if start < 0 || (!anywhere && start > 0) {
			if text == "" {
				want = "no value, expected " + want
			}
			r.refuse(s.at, s.name, text, want)
			return nil, s.at
		}
		end := start + digits(text[start:])
		at := s.at.after(strings.Index(s.text, text) + start)
		if start > 0 || end < len(text) {
			r.warn(at, s.name, "only %s counts, the rest of %s is ignored", text[start:end], quoteShort(text))
		}
		n, err := strconv.ParseInt(text[start:end], 10, 64)
		if err != nil || n > maxNumber {
			r.warn(at, s.name, "%s is too large, taken as %d", text[start:end], maxNumber)
			n = maxNumber
		}
		if n < least {
			r.refuse(at, s.name, text, want)
			return nil, at
		}
		return n, at
	}
}

// port reads a port number.
func port(r *report, s statement) (any, Pos) {
	v, at := number(1)(r, s)
	if n, ok := v.(int64); ok && n > 65535 {
		r.refuse(at, s.name, strconv.FormatInt(n, 10), "a port from 1 to 65535")
		return nil, at
	}
	return v, at
}

// digits counts the decimal digits that text begins with.
func digits(text string) int {
	return len(text) - len(strings.TrimLeft(text, "0123456789"))
}

// addresses reads e-mail addresses with commas between.
func addresses(r *report, s statement) (any, Pos) {
	text, offset, ok := unquote(r, s)
	if !ok {
		return nil, s.at
	}
	var list []string
	for a := range strings.SplitSeq(text, ",") {
		if a = strings.Trim(a, blanks); a != "" {
			list = append(list, a)
		}
	}
	if list == nil {
		r.refuse(s.at, s.name, "", "no value, expected an e-mail address")
		return nil, s.at
	}
	return list, s.at.after(offset)
}

// emailStatus reads statuses with commas between.
func emailStatus(r *report, s statement) (any, Pos) {
	text, offset, ok := unquote(r, s)
	if !ok {
		return nil, s.at
	}
	at := s.at.after(offset)
	var names []string
	for _, n := range emailStatusNames() {
		names = append(names, n.name)
	}
	var all EmailStatus
	none, others := false, false
	for part := range strings.SplitSeq(text, ",") {
		w := strings.Trim(part, blanks)
		bits, known := EmailStatus(0), false
		for _, n := range emailStatusNames() {
			if n.name == w {
				bits, known = n.bits, true
			}
		}
		if !known && w != "" {
			r.refuse(at.after(strings.Index(text, w)), s.name, w, listed(names)+didYouMean(w, names))
			return nil, at
		}
		none = none || w == "none"
		others = others || bits != 0
		all |= bits
	}
	if none && others {
		r.refuse(at, s.name, text, `"none" alone, or others without it`)
		return nil, at
	}
	if !none && !others {
		r.warn(at, s.name, "no status given, taken as none")
	}
	return all, at
}

type emailStatusName struct {
	name string
	bits EmailStatus
}

func emailStatusNames() []emailStatusName {
	return []emailStatusName{
		{"none", 0}, {"starting", EmailStarting}, {"running", EmailRunning},
		{"stopping", EmailStopping}, {"reloading", EmailReloading}, {"all", EmailAll},
	}
}

// String writes the set as emailalertstatus does.
func (e EmailStatus) String() string {
	if e == EmailAll {
		return "all"
	}
	var names []string
	for _, n := range emailStatusNames() {
		if n.bits != EmailAll && e&n.bits != 0 {
			names = append(names, n.name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ",")
}
