package main

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// parameter is one of a challenge: NAME=VALUE or NAME="VALUE" (RFC 3261, 25.1).
var parameter = regexp.MustCompile(`([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))`)

// credentials answers the challenge of a 401 or 407, as a header field with its line end (RFC 3261, 22; RFC 8760).
func credentials(answer *response, o options) (string, error) {
	asked, field := "www-authenticate", "Authorization"
	if answer.status == 407 {
		asked, field = "proxy-authenticate", "Proxy-Authorization"
	}
	for _, challenge := range answer.fields[asked] {
		scheme, rest, _ := strings.Cut(challenge, " ")
		if !strings.EqualFold(scheme, "Digest") {
			continue
		}
		given := map[string]string{}
		for _, m := range parameter.FindAllStringSubmatch(rest, -1) {
			given[strings.ToLower(m[1])] = m[2] + m[3]
		}
		if text, ok := digest(given, o); ok {
			return field + ": Digest " + text + "\r\n", nil
		}
	}
	return "", probe.Failed(sdk.CodeAuth, "the server answers \"%s\", and offers no way to log in that is known here", probe.Brief(answer.text))
}

// digest computes the answer to one challenge; not ok: by what it asks for nobody here can.
func digest(given map[string]string, o options) (text string, ok bool) {
	var sum func(string) string
	switch strings.ToUpper(given["algorithm"]) {
	case "", "MD5":
		sum = func(s string) string { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) }
	case "SHA-256":
		sum = func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	default:
		return "", false
	}
	user, realm, nonce := o.Login.user(), given["realm"], given["nonce"]
	secret, about := sum(user+":"+unquoted(realm)+":"+o.Passwd), sum("OPTIONS:"+string(o.URI))
	text = fmt.Sprintf(`username="%s", realm="%s", nonce="%s", uri="%s"`, user, realm, nonce, o.URI)
	if given["algorithm"] != "" {
		text += ", algorithm=" + given["algorithm"]
	}
	if given["opaque"] != "" {
		text += fmt.Sprintf(`, opaque="%s"`, given["opaque"])
	}
	if given["qop"] == "" {
		return text + fmt.Sprintf(`, response="%s"`, sum(secret+":"+nonce+":"+about)), true
	}
	for qop := range strings.SplitSeq(given["qop"], ",") {
		if strings.EqualFold(strings.TrimSpace(qop), "auth") {
			own := rand.Text()
			return text + fmt.Sprintf(`, qop=auth, nc=00000001, cnonce="%s", response="%s"`, own,
				sum(secret+":"+nonce+":00000001:"+own+":auth:"+about)), true
		}
	}
	return "", false
}

// unquoted is what a quoted string stands for: a backslash is before a character that is meant as it is.
func unquoted(s string) string { return backslash.ReplaceAllString(s, "$1") }

var backslash = regexp.MustCompile(`\\(.)`)
