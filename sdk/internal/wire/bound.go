package wire

import (
	"math"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
)

// The bounds of a verdict's parts, in bytes and pieces.
const (
	MaxCode       = 64
	MaxReason     = 1 << 10
	MaxTranscript = 64 << 10
	MaxPhases     = 32
)

// Bound gives back v within bounds and in valid UTF-8, which protobuf insists on: texts
// cut, surplus phases dropped, negative durations 0, an unknown status Unknown. A weight
// outside of 0 to 65535 makes it Unknown: half a verdict would be a wrong one.
func Bound(v sdk.Verdict) sdk.Verdict {
	if v.Weight != nil && (*v.Weight < 0 || *v.Weight > math.MaxUint16) {
		return sdk.Unknown("the check asked for weight %d, which is not between 0 and 65535", *v.Weight)
	}
	if v.Status > sdk.StatusDown {
		v.Status = sdk.StatusUnknown
	}
	v.Code = sdk.Code(clip(string(v.Code), MaxCode))
	v.Reason = clip(v.Reason, MaxReason)
	v.Transcript = clip(v.Transcript, MaxTranscript)
	if len(v.Phases) > MaxPhases {
		v.Phases = v.Phases[:MaxPhases:MaxPhases]
	}
	for i, p := range v.Phases {
		if p.Took >= 0 && len(p.Name) <= MaxCode {
			continue
		}
		v.Phases = append([]sdk.Phase(nil), v.Phases...) // the author's slice is not ours to change
		v.Phases[i] = sdk.Phase{Name: clip(p.Name, MaxCode), Took: max(p.Took, 0)}
	}
	return v
}

// clip cuts s to at most n bytes of valid UTF-8 and shows that it did.
func clip(s string, n int) string {
	const more = "..."
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-len(more)], "") + more
}
