package lua

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/host/lua/ld"
	"github.com/ldirectord/ldirectord/sdk"
)

// execute runs a compiled script in a state, and says what came of it. Values are what the
// script returned or gave to exit.
func (r *run) execute(s *state, proto *lua.FunctionProto) (v sdk.Verdict, values []lua.LValue) {
	s.begin(r)
	L := s.L
	L.Push(L.NewFunctionFromProto(proto))
	L.Push(s.concat)
	L.Push(s.index)
	L.Push(s.tail)
	err := L.PCall(3, 1, nil)
	if err == nil {
		for _, a := range r.call.Args { // "...", as arg has them
			L.Push(lua.LString(a))
		}
		err = L.PCall(len(r.call.Args), lua.MultRet, nil)
	}
	for i := range L.GetTop() {
		values = append(values, L.Get(i+1))
	}
	return r.judge(err, values)
}

// judge sorts how a run ended: the limits of ours are Unknown, whatever the script made of
// them; what the script says counts, even late; the deadline and errors are Down.
func (r *run) judge(err error, values []lua.LValue) (sdk.Verdict, []lua.LValue) {
	cause := context.Cause(r.Context)
	why, limited := errors.AsType[limit](cause)
	switch {
	case limited:
		return sdk.Unknown("script ended: %s", string(why)), nil
	case errors.Is(cause, errExit):
		return verdictOf(r.result), r.result
	case err == nil:
		return verdictOf(values), values
	case isFailure(err): // it knows at which layer the deadline found it, too
		return raised(err), nil
	case errors.Is(cause, context.DeadlineExceeded) && r.waited > time.Since(r.begun)/10:
		return sdk.Unknown("not done at the deadline, %v of which went to other scripts", r.waited.Round(time.Millisecond)), nil
	case errors.Is(cause, context.DeadlineExceeded):
		return sdk.DownWith(sdk.CodeTimeout, "the script was not done at the deadline"), nil
	case cause != nil:
		return sdk.Unknown("cancelled"), nil
	}
	return raised(err), nil
}

// isFailure says whether a script let a failure of the API pass.
func isFailure(err error) bool {
	bad, ok := errors.AsType[*lua.ApiError](err)
	if !ok {
		return false
	}
	_, ok = ld.VerdictOf(bad.Object)
	return ok
}

// raised is the verdict of an error that the script let pass.
func raised(err error) sdk.Verdict {
	bad, ok := errors.AsType[*lua.ApiError](err)
	if !ok {
		return sdk.Down("%v", err)
	}
	if v, ok := ld.VerdictOf(bad.Object); ok {
		return v
	}
	if data, ok := bad.Object.(*lua.LUserData); ok {
		if v, ok := data.Value.(sdk.Verdict); ok {
			return v
		}
	}
	text := bad.Object.String()
	if overflow.MatchString(text) {
		return sdk.Unknown("script ended: calls nested too deeply, or too many values at once: %s", short(text))
	}
	if isPanic(bad) {
		return sdk.Unknown("the interpreter of Lua cannot do this: %s", short(text))
	}
	return sdk.Down("%s", short(text))
}

// overflow is what the interpreter says of its own limits, and nothing else ahead of it but a place: what a script makes
// of a server's answer may end like that, too.
var overflow = regexp.MustCompile(`^(?:[^\n]*:\d+: )?(?:lua call)?(?:stack|registry) overflow$`)

// isPanic says whether the interpreter failed, and not the script: in a coroutine it makes its own panics
// errors, whose text is all that tells them.
func isPanic(err *lua.ApiError) bool {
	return err.Type == lua.ApiErrorPanic || strings.HasPrefix(err.Object.String(), "runtime error: ")
}

// short bounds a text before it is copied about.
func short(text string) string { return text[:min(len(text), 2*maxReason)] }
