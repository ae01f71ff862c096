package ld

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"math"
	"math/big"
	"strconv"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/match"
)

// Bounds of Perl patterns, in bytes, of one and of all that a state keeps, and about what a byte of one
// costs when it is compiled: that can take 3 microseconds, too, and nothing ends it.
const (
	maxPattern  = 8 << 10
	maxPatterns = 64 << 10
	patternByte = 512
)

// patterns are those that scripts of a state have used.
type patterns struct {
	compiled map[string]*match.Pattern
	size     int // of their texts
}

func (p *patterns) keep(text string, compiled *match.Pattern) {
	if p.size += len(text); p.compiled == nil || p.size > maxPatterns {
		p.compiled, p.size = map[string]*match.Pattern{}, len(text)
	}
	p.compiled[text] = compiled
}

// pattern is argument n, compiled.
func (a *api) pattern(L *lua.LState, n int) *match.Pattern {
	text := L.CheckString(n)
	if known := a.patterns.compiled[text]; known != nil {
		return known
	}
	if len(text) > maxPattern {
		a.check(L, limited("a pattern of %d bytes: more than %d", len(text), maxPattern))
	}
	a.state.Charge(L, patternByte*len(text))
	compiled, err := match.Compile(text)
	if err != nil {
		L.ArgError(n, err.Error())
	}
	a.patterns.keep(text, compiled)
	return compiled
}

// matched words an error of a search.
func matched(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, match.ErrTooComplex):
		return failed(sdk.CodeMatch, "%v", err)
	case errors.Is(err, match.ErrTimeout):
		return failed(sdk.CodeTimeout, "pattern not decided before the deadline")
	default:
		return limited("%v", err)
	}
}

// match is ld.match(text, pattern): the captures, or the whole match when there are none; nil without a match.
func (a *api) match(L *lua.LState) int {
	text, p := L.CheckString(1), a.pattern(L, 2)
	a.state.Charge(L, 5*len(text)) // the engine reads runes
	spans, err := p.Find(a.state.Call.Ctx, []byte(text))
	a.check(L, matched(err))
	if spans == nil {
		L.Push(lua.LNil)
		return 1
	}
	return pushSpans(L, text, spans)
}

func pushSpans(L *lua.LState, text string, spans []match.Span) int {
	if len(spans) > 1 {
		spans = spans[1:]
	}
	for _, s := range spans {
		if s.Begin < 0 {
			L.Push(lua.LFalse)
			continue
		}
		L.Push(lua.LString(text[s.Begin:s.End]))
	}
	return len(spans)
}

// pack is ld.pack(format, values...).
func (a *api) pack(L *lua.LState) int {
	var values []lua.LValue
	for i := 2; i <= L.GetTop(); i++ {
		values = append(values, L.Get(i))
	}
	out, err := pack(L.CheckString(1), values, maxAnswer)
	if err != nil {
		L.RaiseError("ld.pack: %s", err.Error())
	}
	return a.give(L, string(out))
}

// unpack is ld.unpack(format, data [, position]).
func (a *api) unpack(L *lua.LState) int {
	format, data, at := L.CheckString(1), L.CheckString(2), L.OptInt(3, 1)
	if at < 1 || at > len(data)+1 {
		L.ArgError(3, "outside of the data")
	}
	values, next, err := unpack(format, data, at-1)
	if errors.Is(err, errShort) {
		a.understood(L, err)
	}
	if err != nil {
		L.RaiseError("ld.unpack: %s", err.Error())
	}
	for _, v := range values {
		L.Push(v)
	}
	L.Push(lua.LNumber(next + 1))
	return len(values) + 1
}

func (a *api) jsonEncode(L *lua.LState) int {
	text, err := a.words.encode(L.CheckAny(1))
	if err != nil {
		L.RaiseError("ld.json.encode: %s", err.Error())
	}
	return a.give(L, text)
}

func (a *api) jsonDecode(L *lua.LState) int {
	text := L.CheckString(1)
	a.state.Charge(L, 2*len(text))
	v, err := a.words.decode(L, text, func(bytes int) { a.state.Charge(L, bytes) })
	a.understood(L, err)
	L.Push(v)
	return 1
}

func (a *api) hex(L *lua.LState) int {
	text := L.CheckString(1)
	a.state.Charge(L, 2*len(text))
	return a.give(L, hex.EncodeToString([]byte(text)))
}

func (a *api) unhex(L *lua.LState) int {
	out, err := hex.DecodeString(L.CheckString(1))
	a.understood(L, err)
	return a.give(L, string(out))
}

func (a *api) base64Encode(L *lua.LState) int {
	text := L.CheckString(1)
	a.state.Charge(L, 2*len(text))
	return a.give(L, base64.StdEncoding.EncodeToString([]byte(text)))
}

func (a *api) base64Decode(L *lua.LState) int {
	out, err := base64.StdEncoding.DecodeString(L.CheckString(1))
	a.understood(L, err)
	return a.give(L, string(out))
}

func (a *api) md5(L *lua.LState) int {
	sum := md5.Sum([]byte(L.CheckString(1)))
	return a.give(L, string(sum[:]))
}

func (a *api) sha1(L *lua.LState) int {
	sum := sha1.Sum([]byte(L.CheckString(1)))
	return a.give(L, string(sum[:]))
}

func (a *api) sha256(L *lua.LState) int {
	sum := sha256.Sum256([]byte(L.CheckString(1)))
	return a.give(L, string(sum[:]))
}

// hmac is ld.hmac(hash, key, text) (RFC 2104).
func (a *api) hmac(L *lua.LState) int {
	kinds := map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New}
	kind := kinds[L.CheckString(1)]
	if kind == nil {
		L.ArgError(1, "md5, sha1 or sha256 expected")
	}
	h := hmac.New(kind, []byte(L.CheckString(2)))
	h.Write([]byte(L.CheckString(3)))
	return a.give(L, string(h.Sum(nil)))
}

// sleep is ld.sleep(seconds).
func (a *api) sleep(L *lua.LState) int {
	n := float64(L.CheckNumber(1))
	if !(n >= 0) || n > maxSeconds {
		L.ArgError(1, "0 seconds to a day expected")
	}
	r := a.run()
	_, err := r.tape.do("sleep", []string{strconv.FormatFloat(n, 'g', -1, 64)}, func() ([]string, error) {
		timer := time.NewTimer(time.Duration(n * float64(time.Second)))
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil, nil
		case <-r.call.Ctx.Done():
			return nil, r.call.Ctx.Err()
		}
	})
	a.check(L, err)
	return 0
}

// now is ld.now(): seconds since 1970, in microseconds.
func (a *api) now(L *lua.LState) int {
	results, err := a.run().tape.do("now", nil, func() ([]string, error) {
		return []string{strconv.FormatFloat(float64(time.Now().UnixMicro())/1e6, 'f', 6, 64)}, nil
	})
	a.check(L, err)
	n, err := strconv.ParseFloat(first(results), 64)
	a.check(L, err)
	L.Push(lua.LNumber(n))
	return 1
}

// random is ld.random(n): a whole number from 1 to n.
func (a *api) random(L *lua.LState) int {
	n := float64(L.CheckNumber(1))
	if !(n >= 1) || n > 1<<53 || n != math.Trunc(n) {
		L.ArgError(1, "a whole number of at least 1 expected")
	}
	results, err := a.run().tape.do("random", []string{strconv.FormatFloat(n, 'f', 0, 64)}, func() ([]string, error) {
		drawn, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
		if err != nil {
			return nil, err
		}
		return []string{strconv.FormatInt(drawn.Int64()+1, 10)}, nil
	})
	a.check(L, err)
	drawn, err := strconv.ParseFloat(first(results), 64)
	a.check(L, err)
	L.Push(lua.LNumber(drawn))
	return 1
}

// log is ld.log([level,] text).
func (a *api) log(L *lua.LState) int {
	level, text := "info", L.CheckString(1)
	if L.GetTop() > 1 {
		level, text = text, L.CheckString(2)
	}
	switch level {
	case "debug", "info", "warn", "error":
		a.state.Call.Log(level, text)
	default:
		L.ArgError(1, "debug, info, warn or error expected")
	}
	return 0
}
