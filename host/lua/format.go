package lua

import (
	"fmt"
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// stringFormat is string.format of the Lua 5.1 reference manual: the conversions c d i u o x X
// e E f g G q s and %%, with flags, and a width and precision of two digits at most.
func stringFormat(L *lua.LState) int {
	format := L.CheckString(1)
	var out strings.Builder
	arg := 1
	m := meter{L: L}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		i++
		if i < len(format) && format[i] == '%' {
			out.WriteByte('%')
			continue
		}
		d := readDirective(L, format[i:])
		i += d.length - 1
		arg++
		text := d.render(L, arg)
		m.step(1 + len(text)/64)
		if out.Len()+len(text) > 64<<10 {
			charge(L, out.Len()+len(text))
		}
		out.WriteString(text)
	}
	charge(L, out.Len())
	L.Push(lua.LString(out.String()))
	return 1
}

// directive is one conversion, such as "%-5.2f".
type directive struct {
	flags            string
	width, precision int // precision -1: none
	verb             byte
	length           int // of its text, the "%" apart
}

// readDirective reads what follows a "%".
func readDirective(L *lua.LState, s string) directive {
	d := directive{precision: -1}
	i := 0
	for i < len(s) && strings.IndexByte("-+ #0", s[i]) >= 0 {
		i++
	}
	if d.flags = s[:i]; i > 5 {
		L.RaiseError("invalid format (repeated flags)")
	}
	number := func() (n int) {
		for digits := 0; i < len(s) && isDigit(s[i]); i++ {
			if digits++; digits > 2 {
				L.RaiseError("invalid format (width or precision too long)")
			}
			n = n*10 + int(s[i]-'0')
		}
		return n
	}
	d.width = number()
	if i < len(s) && s[i] == '.' {
		i++
		d.precision = number()
	}
	if i == len(s) {
		L.RaiseError("invalid option '%%' to 'format'")
	}
	d.verb, d.length = s[i], i+1
	return d
}

// render converts an argument.
func (d directive) render(L *lua.LState, arg int) string {
	switch d.verb {
	case 'c':
		return d.pad(string([]byte{byte(L.CheckInt(arg))}))
	case 'd', 'i':
		return d.number('d', whole(float64(L.CheckNumber(arg))))
	case 'u':
		return d.number('d', uint64(whole(float64(L.CheckNumber(arg)))))
	case 'o', 'x', 'X':
		return d.number(rune(d.verb), uint64(whole(float64(L.CheckNumber(arg)))))
	case 'e', 'E', 'f', 'g', 'G':
		if d.precision < 0 {
			d.precision = 6
		}
		return d.number(rune(d.verb), float64(L.CheckNumber(arg)))
	case 'q':
		s := L.CheckString(arg)
		charge(L, 2*len(s))
		return quoted(s)
	case 's':
		s := L.ToStringMeta(L.CheckAny(arg)).String()
		if d.precision >= 0 && d.precision < len(s) {
			s = s[:d.precision]
		}
		return d.pad(s)
	}
	L.RaiseError("invalid option '%%%c' to 'format'", d.verb)
	return ""
}

// number formats v with the flags, which mean the same to Go as to C.
func (d directive) number(verb rune, v any) string {
	spec := "%" + d.flags
	if d.width > 0 {
		spec += fmt.Sprint(d.width)
	}
	if d.precision >= 0 {
		spec += fmt.Sprint(".", d.precision)
	}
	return fmt.Sprintf(spec+string(verb), v)
}

// pad makes s as wide as it has to be, counted in bytes.
func (d directive) pad(s string) string {
	missing := d.width - len(s)
	switch {
	case missing <= 0:
		return s
	case strings.Contains(d.flags, "-"):
		return s + strings.Repeat(" ", missing)
	default:
		return strings.Repeat(" ", missing) + s
	}
}

// whole cuts off the fraction. What is beyond 64 bits becomes the nearest number within.
func whole(f float64) int64 {
	switch {
	case math.IsNaN(f):
		return 0
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}

// quoted writes s so that Lua reads it back.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", "\\\n", "\r", `\r`, "\x00", `\000`).Replace(s) + `"`
}
