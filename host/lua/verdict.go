package lua

import (
	"fmt"
	"regexp"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/sdk"
)

// codes are the words that a script may use as the code of a verdict.
var codes = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// verdictFunctions adds to the table ld what makes verdicts, which a script returns or
// gives to exit:
//
//	ld.up([reason] [, {weight = n}])
//	ld.down([[code,] reason] [, {weight = n}])
//	ld.unknown([reason])
//
// A weight is from 0 to 65535; with 0 the real server is up all the same.
func verdictFunctions(L *lua.LState, api *lua.LTable) {
	set := func(name string, make func(L *lua.LState) sdk.Verdict) {
		api.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			v := make(L)
			value := L.NewUserData()
			value.Value = v
			L.Push(value)
			return 1
		}))
	}
	set("up", func(L *lua.LState) sdk.Verdict {
		v, words := describe(L, 1)
		v.Status, v.Reason = sdk.StatusUp, strings.Join(words, "")
		return v
	})
	set("down", func(L *lua.LState) sdk.Verdict {
		v, words := describe(L, 2)
		v.Status, v.Code = sdk.StatusDown, sdk.CodeStatus
		if len(words) == 2 {
			if !codes.MatchString(words[0]) {
				L.ArgError(1, "a code is lower case letters, digits and dashes, 32 at most")
			}
			v.Code, words = sdk.Code(words[0]), words[1:]
		}
		v.Reason = strings.Join(words, "")
		return v
	})
	set("unknown", func(L *lua.LState) sdk.Verdict {
		_, words := describe(L, 1)
		return sdk.Unknown("%s", strings.Join(words, ""))
	})
}

// describe reads up to most words, and the table that may follow them.
func describe(L *lua.LState, most int) (v sdk.Verdict, words []string) {
	for i := 1; i <= L.GetTop(); i++ {
		switch arg := L.Get(i).(type) {
		case *lua.LTable:
			if weight := arg.RawGetString("weight"); weight != lua.LNil {
				v.Weight = weightOf(L, i, weight)
			}
			return v, words
		case *lua.LNilType:
		default:
			if len(words) == most {
				L.ArgError(i, "too many arguments")
			}
			words = append(words, L.ToStringMeta(arg).String())
		}
	}
	return v, words
}

func weightOf(L *lua.LState, arg int, v lua.LValue) *int {
	n, ok := v.(lua.LNumber)
	weight := int(n)
	if !ok || lua.LNumber(weight) != n || weight < 0 || weight > 65535 {
		L.ArgError(arg, "a weight is a whole number from 0 to 65535")
	}
	return &weight
}

// verdictOf is what the values say that a script returned:
//
//	nothing, true, 0                up
//	false, another number, nil + x  down; x is the reason
//	a verdict                       itself
//
// Anything else is no verdict: Unknown.
func verdictOf(values []lua.LValue) sdk.Verdict {
	if len(values) == 0 {
		return sdk.Up()
	}
	reason := ""
	if len(values) > 1 && textSize(values[1]) >= 0 {
		reason = values[1].String()
	}
	switch v := values[0].(type) {
	case *lua.LUserData:
		if given, ok := v.Value.(sdk.Verdict); ok {
			return given
		}
	case *lua.LNilType:
		if len(values) == 1 {
			return sdk.Up()
		}
		return sdk.DownWith(sdk.CodeStatus, "%s", reason)
	case lua.LBool:
		if v {
			return sdk.Verdict{Status: sdk.StatusUp, Reason: reason}
		}
		return sdk.DownWith(sdk.CodeStatus, "%s", reason)
	case lua.LNumber:
		if v == 0 {
			return sdk.Verdict{Status: sdk.StatusUp, Reason: reason}
		}
		return sdk.DownWith(sdk.CodeStatus, "%s", reason)
	}
	return sdk.Unknown("the script returned a %s, which is no verdict", values[0].Type())
}

// complete gives a verdict without a reason the last line that the script logged, or else says
// what little there is to say, and bounds the reason.
func (r *run) complete(v sdk.Verdict, values []lua.LValue) sdk.Verdict {
	switch {
	case v.Reason != "":
	case r.last != "":
		v.Reason = r.last
	case v.Status == sdk.StatusDown && len(values) > 0:
		v.Reason = fmt.Sprintf("the script returned %s", values[0].String())
	}
	v.Reason = r.call.Trace.Redact(v.Reason)
	if len(v.Reason) > maxReason {
		v.Reason = v.Reason[:maxReason] + "..."
	}
	return v
}
