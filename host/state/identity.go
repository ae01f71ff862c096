package state

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// identify writes all of c that reaches the checker as one line. Who gets the same line
// shares the check.
func identify(c Check, secrets map[string]bool, salt []byte) CheckID {
	parts := []string{c.Kind}
	if c.Kind != KindPing {
		parts = append(parts, c.Target.Network)
		parts = append(parts, c.Target.Addr.String())
	} else {
		parts = append(parts, c.Target.Addr.Addr().String())
	}
	parts = append(parts, c.Timeout.String())
	if c.ConnectsPer > 0 {
		parts = append(parts, fmt.Sprintf("%s=%d/%s", c.ConnectKind, c.ConnectsPer, c.ConnectTimeout))
	}
	if c.Target.Virtual.IsValid() {
		parts = append(parts, "virtual="+c.Target.Virtual.String())
	}
	if c.Target.FWMark != 0 {
		parts = append(parts, "fwmark="+strconv.FormatUint(uint64(c.Target.FWMark), 10))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Options)) {
		hide := secrets[name] || name == OptionLua // a script is too long, and may hold secrets too
		parts = append(parts, name+"="+shown(c.Options[name], hide, salt))
	}
	if c.Pool != "" {
		parts = append(parts, "pool="+c.Pool)
	}
	return CheckID(strings.Join(parts, " "))
}

// userinfo finds the user and password of a URL (RFC 3986, section 3.2.1) or of a SIP URI (RFC
// 3261, section 19.1.1), also with a password whose slash should have been escaped.
var userinfo = regexp.MustCompile(`(://|\bsips?:)(?:[^/?#\s]*|[^\[/?#\s@:]+:[^\d\s@][^\s@]*)@`)

// shown is an option's value as it appears in an identity: as a digest alone if it is to
// be hidden, with the digest after it if it holds a user and password.
func shown(value string, hide bool, salt []byte) string {
	redacted := userinfo.ReplaceAllString(value, "${1}***@")
	if !hide && redacted == value {
		return strconv.Quote(value)
	}
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(value))
	digest := fmt.Sprintf("hmac:%x", mac.Sum(nil)[:8])
	if hide {
		return digest
	}
	return strconv.Quote(redacted) + "," + digest
}
