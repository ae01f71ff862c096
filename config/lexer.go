package config

import (
	"bytes"
	"strconv"
	"strings"
)

// blanks are the bytes that are dropped around names and values.
const blanks = " \t\r\v\f"

// statement is one line that says something: NAME = TEXT.
type statement struct {
	pos      Pos    // of the name
	indented bool   // belongs to the section above
	name     string // up to the first blank or "="
	assigned bool   // there is a "="
	text     string // what follows, a comment included, without blanks around it
	at       Pos    // of text
	body     []string
	bodyPos  Pos // of the first line of body; its Line is 0 when text opens no here-document
}

// lex cuts a file into statements. Blank lines and comments say nothing, wherever
// they stand. A byte order mark and CRLF line ends are dropped.
func lex(r *report, file string, data []byte) []statement {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	lines := strings.Split(string(data), "\n")
	var out []statement
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], blanks)
		start := len(line) - len(strings.TrimLeft(line, blanks))
		if start == len(line) || line[start] == '#' {
			continue
		}
		s := cut(file, i+1, line, start)
		if tag, ok := hereTag(s); ok {
			n, found := hereBody(lines[i+1:], tag)
			if !found {
				r.refuse(s.at, s.name, s.text, "a line that says "+strconv.Quote(tag)+" and nothing else, further down")
			}
			s.bodyPos = Pos{File: file, Line: i + 2, Col: 1}
			for _, l := range lines[i+1 : i+1+n] {
				s.body = append(s.body, strings.TrimRight(l, "\r"))
			}
			i += n
			if found {
				i++
			}
		}
		out = append(out, s)
	}
	return out
}

// cut takes one line apart, whose first byte that is not blank is at start.
func cut(file string, number int, line string, start int) statement {
	s := statement{pos: Pos{File: file, Line: number, Col: start + 1}, indented: start > 0}
	end := start + 1
	for end < len(line) && line[end] != '=' && !strings.ContainsRune(blanks, rune(line[end])) {
		end++
	}
	s.name = line[start:end]
	rest := strings.TrimLeft(line[end:], blanks)
	if strings.HasPrefix(rest, "=") {
		s.assigned = true
		rest = strings.TrimLeft(rest[1:], blanks)
	}
	s.text = rest
	s.at = Pos{File: file, Line: number, Col: len(line) - len(rest) + 1}
	return s
}

// hereTag returns the word that ends the here-document which s opens, as in
// "lua = <<END". No other directive can open one.
func hereTag(s statement) (string, bool) {
	tag, ok := strings.CutPrefix(cutComment(s.text), "<<")
	if !ok || s.name != "lua" || !s.assigned || tag == "" || strings.ContainsAny(tag, blanks) {
		return "", false
	}
	return tag, true
}

// hereBody counts the lines before the one that ends a here-document, or all if none does.
func hereBody(lines []string, tag string) (n int, found bool) {
	for i, l := range lines {
		if strings.Trim(l, blanks) == tag {
			return i, true
		}
	}
	return len(lines), false
}

// cutComment returns text up to its comment, without trailing blanks. A "#" opens one
// unless it stands in quotes. A quoted value runs from the first quote to the last one, so
// that HTML may stand in it; for the sake of comments that have quotes themselves,
// a "#" that follows a blank and an even number of quotes opens a comment as well.
func cutComment(text string) string {
	last, quotes := strings.LastIndexByte(text, '"'), 0
	for i := range len(text) {
		switch text[i] {
		case '"':
			quotes++
		case '#':
			blank := i == 0 || strings.IndexByte(blanks, text[i-1]) >= 0
			if i > last || quotes == 0 || (quotes%2 == 0 && blank) {
				// Without its quotes the comment may leave another one before it.
				return cutComment(strings.TrimRight(text[:i], blanks))
			}
		}
	}
	return text
}
