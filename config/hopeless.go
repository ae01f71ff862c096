package config

import "regexp"

// wholeURL is what a proxy can be asked for.
var wholeURL = regexp.MustCompile(`^[A-Za-z0-9+.-]+://`)

// hopeless warns of servers that are always down, because their check is not told what to ask for. The
// Perl ldirectord starts with such files.
func (v *validation) hopeless(at Pos, options map[string]string, places map[string]Pos) {
	if !v.sec.typed || v.sec.bad["request"] || v.sec.bad["option.request"] {
		return
	}
	request, set := options["request"]
	kind := v.service.CheckService
	switch {
	case kind == "dns" && !set:
		v.warn(at, "service", `dns without request: its real servers are always down; write request = "NAME"`)
	case kind == "http_proxy" && !set:
		v.warn(at, "service", `http_proxy without request: its real servers are always down; write request = "http://NAME/"`)
	case kind == "http_proxy" && !wholeURL.MatchString(request):
		v.warn(places["request"], "request", "%s is no whole URL, so the real servers are always down; "+
			`write request = "http://NAME/"`, quoteShort(request))
	}
}
