package ld

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// Failure is what functions of the API raise when the network or an answer fails them: user data
// with the fields text, code and status, which pcall catches. A script that lets it pass ends
// with the verdict of its kind, so that forgetting to look never makes a dead server up, nor
// a fault of ours a server down.
type Failure struct {
	Verdict sdk.Verdict
	// Place is where in the script it was raised, as FILE:LINE; may be empty.
	Place string
}

// Error is the verdict's reason.
func (f *Failure) Error() string { return f.Verdict.Reason }

// Unwrap lets probe.Judge find the verdict.
func (f *Failure) Unwrap() error { return probe.FailedAs(f.Verdict) }

// VerdictOf is the verdict of a value that a script raised (lua.ApiError.Object), when that
// is a Failure.
func VerdictOf(raised lua.LValue) (sdk.Verdict, bool) {
	data, ok := raised.(*lua.LUserData)
	if !ok {
		return sdk.Verdict{}, false
	}
	f, ok := data.Value.(*Failure)
	if !ok {
		return sdk.Verdict{}, false
	}
	return f.Verdict, true
}

// failures makes Failures of errors. Its metatable is the state's.
type failures struct{ meta *lua.LTable }

func newFailures(L *lua.LState) *failures {
	f := &failures{meta: L.NewTable()}
	f.meta.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString(checkFailure(L).Error()))
		return 1
	}))
	f.meta.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		failure := checkFailure(L)
		switch L.CheckString(2) {
		case "text":
			L.Push(lua.LString(failure.Verdict.Reason))
		case "code":
			L.Push(lua.LString(failure.Verdict.Code))
		case "status":
			L.Push(lua.LString(failure.Verdict.Status.String()))
		case "place":
			L.Push(lua.LString(failure.Place))
		default:
			L.Push(lua.LNil)
		}
		return 1
	}))
	return f
}

func checkFailure(L *lua.LState) *Failure {
	f, ok := L.CheckUserData(1).Value.(*Failure)
	if !ok {
		L.ArgError(1, "failure expected")
	}
	return f
}

// raise ends the calling function with err.
func (f *failures) raise(L *lua.LState, err error) {
	data := L.NewUserData()
	data.Value, data.Metatable = &Failure{Verdict: probe.Judge(err), Place: strings.TrimSuffix(L.Where(1), ":")}, f.meta
	L.Error(data, 1)
}

// failed is a Failure that says what the server did wrong.
func failed(code sdk.Code, format string, args ...any) error {
	return &Failure{Verdict: sdk.DownWith(code, format, args...)}
}

// limited is a Failure that says which of our own limits a script reached.
func limited(format string, args ...any) error {
	return &Failure{Verdict: sdk.Unknown("%s", fmt.Sprintf(format, args...))}
}
