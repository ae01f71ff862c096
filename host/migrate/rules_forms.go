package migrate

import (
	"regexp"
	"strings"

	"github.com/ldirectord/ldirectord/config"
)

// formRules are about how lines are written. Nothing of that is in a configuration that was read, so
// they look at the lines of the file.
func formRules(lines []string) []rule {
	return []rule{
		{name: refused, find: func(c *config.Config) []spot { return refusals(c, lines) },
			was: "an error: the whole file was refused", now: "accepted"},
		{name: "readdquiescent-section", find: services(readdInside),
			was: "an error: the whole file was refused", now: "accepted in a section",
			note: "it holds for all sections then"},
		{name: "thresholds-quoted", find: services(func(_ *config.Config, s *config.Service) []spot {
			return thresholdsQuoted(s, lines)
		}),
			was:  "thresholds in quotes were taken for request and receive, or a part of that, and there were none",
			now:  "they are thresholds",
			note: "without quotes and brackets, as in l:5 u:10, they are thresholds to both"},
	}
}

// refused is the rule of what is written in a way that the Perl ldirectord does not read: it means the same
// here when it is written in the way that Keep shows, so that one can go back.
const refused = "refused"

// statement is what one line says, as far as it can be told by the line alone.
var statement = regexp.MustCompile(`^(\s*)([a-z0-9.]+)(\s*=\s*)(.*?)\s*$`)

// byteOrderMark is what some editors write in front of a file.
const byteOrderMark = "\xef\xbb\xbf"

// What stands in the way of the Perl ldirectord.
var (
	bareValue   = regexp.MustCompile(`^[^"\s#][^"#]*$`)
	bareNames   = regexp.MustCompile(`^(request|receive|login|passwd|database|secret)$`)
	bareGlobals = regexp.MustCompile(`^(callback|logfile)$`)
	emptyNames  = regexp.MustCompile(`^(request|receive|passwd)$`)
	secretNames = regexp.MustCompile(`^(passwd|secret|option\..*)$`)
	angle       = regexp.MustCompile(`(^|[\s,])<([lu]:\d+)>`)
	loneQuoted  = regexp.MustCompile(`^([^"]*)"<?([lu]:\d+)>?"$`)
)

// refusals finds what the Perl ldirectord refuses.
func refusals(c *config.Config, lines []string) []spot {
	var out []spot
	inside, script := false, map[int]bool{}
	for i := range c.Services {
		if s := &c.Services[i]; s.Lua != "" {
			for n := range strings.Count(s.Lua, "\n") + 1 {
				script[s.LuaPos.Line+n] = true
			}
		}
	}
	for i, line := range lines {
		if plain, ok := strings.CutPrefix(line, byteOrderMark); ok && i == 0 {
			out = append(out, spot{pos: head(c), directive: "file", now: "a byte order mark is accepted", note: "write the file without it"})
			line = plain
		}
		pos := config.Pos{File: c.File, Line: i + 1}
		switch {
		case script[pos.Line]:
		case strings.TrimSpace(line) == "":
			if inside && goesOn(lines[i+1:]) {
				out = append(out, spot{pos: pos, directive: "virtual", now: "a blank line in a section is accepted",
					keep: []Edit{{Instead, pos.Line, "#"}}})
			}
		case strings.HasPrefix(strings.TrimSpace(line), "#"):
		default:
			inside = inside && indented(line) || strings.HasPrefix(line, "virtual")
			out = append(out, refusal(pos, line)...)
		}
	}
	return out
}

func indented(line string) bool { return line[0] == ' ' || line[0] == '\t' }

// goesOn tells whether a section goes on below a blank line.
func goesOn(lines []string) bool {
	for _, line := range lines {
		if text := strings.TrimSpace(line); text != "" && text[0] != '#' {
			return indented(line)
		}
	}
	return false
}

// refusal is what is wrong with a line; nil when nothing is, or it is none that can be told.
func refusal(pos config.Pos, line string) []spot {
	m := statement.FindStringSubmatchIndex(line)
	if m == nil {
		return nil
	}
	part := func(n int) string { return line[m[2*n]:m[2*n+1]] }
	blank, name, value := part(1), part(2), part(4)
	value, _, _ = strings.Cut(value, " #")
	value = strings.TrimRight(value, " \t")
	pos.Col = len(blank) + 1
	to, now := blank, ""
	if blank != "" && len(blank) < len(indent) && !strings.Contains(blank, "\t") {
		to, now = indent, "fewer than four blanks are accepted before a line of a section"
	}
	other := value
	switch {
	case emptyNames.MatchString(name) && value == `""`:
		now, other, name = name+` = "" is accepted, as if it were not set`, "", "# no "+name
	case bareValue.MatchString(value) && (bareNames.MatchString(name) || blank == "" && bareGlobals.MatchString(name)):
		now, other = "the value is accepted without quotes", `"`+value+`"`
	case name == "smtp" && strings.HasPrefix(value, `"`):
		now, other = "the value is accepted in quotes", strings.Trim(value, `"`)
	case name == "protocol" && strings.ToLower(value) != value:
		now, other = "capital letters are accepted", strings.ToLower(value)
	case strings.HasPrefix(name, "real") && !strings.Contains(value, `"`) && angle.MatchString(value):
		now, other = "thresholds are accepted in angle brackets without quotes", angle.ReplaceAllString(value, "$1$2")
	case strings.HasPrefix(name, "real") && loneQuoted.MatchString(value):
		now, other = "one threshold in quotes is accepted", loneQuoted.ReplaceAllString(value, "$1$2")
	case name == "real6" && strings.Contains(value, "->"):
		return []spot{{pos: pos, directive: name, now: "ranges of IPv6 addresses are accepted", note: "write each address"}}
	}
	if now == "" {
		return nil
	}
	out := spot{pos: pos, directive: part(2), now: now}
	if secretNames.MatchString(name) || config.HideUserinfo(value) != value {
		out.note = "write it in quotes, and four blanks or a tab before it" // what it is is not shown
		return []spot{out}
	}
	text := strings.TrimRight(to+name+part(3)+other, " \t=")
	out.keep = []Edit{{Instead, pos.Line, text}}
	return []spot{out}
}

// readdInside finds readdquiescent in a section: it was global.
func readdInside(_ *config.Config, s *config.Service) []spot {
	pos, ok := s.Origins["readdquiescent"]
	if !ok || pos.Col == 1 {
		return nil
	}
	value := "no"
	if s.ReaddQuiescent {
		value = "yes"
	}
	return []spot{{pos: pos, directive: "readdquiescent",
		keep: []Edit{{Instead, pos.Line, indent + "# readdquiescent is at the top"}, {Place: Top, Text: "readdquiescent = " + value}}}}
}

// quotedPair is what the Perl ldirectord takes for a request and what to receive.
var quotedPair = regexp.MustCompile(`\s*"<?[lu]:\d+>?"\s*,?\s*"<?[lu]:\d+>?"`)

// thresholdsQuoted finds pairs of thresholds in quotes.
func thresholdsQuoted(s *config.Service, lines []string) []spot {
	var out []spot
	for _, r := range s.Servers {
		if r.Pos.Line < 1 || r.Pos.Line > len(lines) || !quotedPair.MatchString(lines[r.Pos.Line-1]) {
			continue
		}
		line := lines[r.Pos.Line-1]
		s := spot{pos: r.Pos, directive: "real"}
		if config.HideUserinfo(line) == line {
			s.keep = []Edit{{Instead, r.Pos.Line, strings.TrimRight(quotedPair.ReplaceAllString(line, ""), " \t\r")}}
		}
		out = append(out, s)
	}
	return out
}
