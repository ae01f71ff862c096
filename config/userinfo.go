package config

import (
	"regexp"
	"strings"
)

// quoted is a piece of a value that a check's message quotes.
var quoted = regexp.MustCompile(`"[^"]*"`)

// HideUserinfo returns text with *** for the userinfo (RFC 3986, section 3.2.1) of every URL
// in it: http://user:password@host/ becomes http://***@host/. A password that should have been
// escaped, as in http://user:pass/word@host/, is hidden as well, although that is no URL.
func HideUserinfo(text string) string {
	var out strings.Builder
	for {
		start := strings.Index(text, "://")
		if start < 0 {
			break
		}
		start += len("://")
		out.WriteString(text[:start])
		text = text[start:]
		if n := userinfo(text); n > 0 {
			out.WriteString(hidden)
			text = text[n:]
		}
	}
	return out.String() + text
}

// userinfo returns the length of the userinfo that text begins with, what follows the "://"
// of a URL; 0 for none.
func userinfo(text string) int {
	end := strings.IndexAny(text, "/?#\n")
	if end < 0 {
		end = len(text)
	}
	if at := strings.LastIndexByte(text[:end], '@'); at > 0 {
		return at
	}
	_, port, found := strings.Cut(text[:end], ":")
	if !found || digits(port) == len(port) || text[0] == '[' {
		return 0
	}
	if stop := strings.IndexAny(text, blanks+"\"'\n"); stop >= 0 {
		text = text[:stop]
	}
	return max(strings.LastIndexByte(text, '@'), 0)
}

// hidePieces returns message with *** for what it quotes of the userinfo of the URL value:
// one that is not escaped is taken for a port in part.
func hidePieces(message, value string) string {
	_, rest, _ := strings.Cut(value, "://")
	if rest == "" {
		return message
	}
	secret := rest[:userinfo(rest)]
	return quoted.ReplaceAllStringFunc(message, func(piece string) string {
		if inner := strings.Trim(piece, `":`); inner != "" && strings.Contains(secret, inner) {
			return `"` + hidden + `"`
		}
		return piece
	})
}
