package ld

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	lua "github.com/yuin/gopher-lua"
)

// maxUnpacked is how many values one format may have.
const maxUnpacked = 200

// packItem is one letter of a format of string.pack (Lua 5.3 manual, 6.4.2), with its size.
type packItem struct {
	letter byte // one of iIfdszxc, or 0 at the end
	size   int  // bytes of a number, of the length in front of s, or of c
}

// packFormat reads a format, item by item.
type packFormat struct {
	rest  string
	order binary.ByteOrder
	items int
}

func newPackFormat(format string) *packFormat {
	return &packFormat{rest: format, order: binary.LittleEndian}
}

// next is the next item; one without a letter ends the format.
func (f *packFormat) next() (packItem, error) {
	for f.rest != "" {
		letter := f.rest[0]
		f.rest = f.rest[1:]
		switch letter {
		case ' ':
		case '<', '=':
			f.order = binary.LittleEndian
		case '>':
			f.order = binary.BigEndian
		default:
			if f.items++; f.items > maxUnpacked {
				return packItem{}, fmt.Errorf("more than %d items in a format", maxUnpacked)
			}
			return f.item(letter)
		}
	}
	return packItem{}, nil
}

func (f *packFormat) item(letter byte) (packItem, error) {
	switch letter {
	case 'b', 'h', 'l', 'j':
		return packItem{'i', sizeOf(letter)}, nil
	case 'B', 'H', 'L', 'J', 'T':
		return packItem{'I', sizeOf(letter | 0x20)}, nil
	case 'i', 'I', 's':
		return f.sized(letter)
	case 'f':
		return packItem{'f', 4}, nil
	case 'd', 'n':
		return packItem{'f', 8}, nil
	case 'z':
		return packItem{letter: letter}, nil
	case 'x':
		return packItem{letter, 1}, nil
	case 'c':
		n, ok := f.number(math.MaxInt32)
		if !ok {
			return packItem{}, errors.New("c needs a size, such as c8")
		}
		return packItem{letter, n}, nil
	}
	return packItem{}, fmt.Errorf("unknown letter %q in a format", letter)
}

// sizeOf is that of a C type on the machines that servers run on.
func sizeOf(letter byte) int {
	switch letter {
	case 'b':
		return 1
	case 'h':
		return 2
	default:
		return 8
	}
}

// sized is an item whose size may follow it: 1 to 8, by default that of int, or of size_t for s.
func (f *packFormat) sized(letter byte) (packItem, error) {
	n, ok := f.number(1000)
	switch {
	case !ok && letter == 's':
		n = 8
	case !ok:
		n = 4
	case n < 1 || n > 8:
		return packItem{}, fmt.Errorf("%c%d: the size must be 1 to 8", letter, n)
	}
	return packItem{letter, n}, nil
}

// number reads digits, if any follow, of a number up to most.
func (f *packFormat) number(most int) (int, bool) {
	n, at := 0, 0
	for at < len(f.rest) && f.rest[at] >= '0' && f.rest[at] <= '9' {
		n = min(n*10+int(f.rest[at]-'0'), most)
		at++
	}
	f.rest = f.rest[at:]
	return n, at > 0
}

// pack writes values as format says; limit bounds the result, in bytes.
func pack(format string, values []lua.LValue, limit int) ([]byte, error) {
	var out []byte
	f := newPackFormat(format)
	for used := 0; ; {
		item, err := f.next()
		if err != nil || item.letter == 0 {
			if err == nil && used < len(values) {
				err = fmt.Errorf("%d values, but the format %q takes %d", len(values), format, used)
			}
			return out, err
		}
		if item.letter == 'x' {
			out = append(out, 0)
			continue
		}
		if used == len(values) {
			return nil, fmt.Errorf("the format %q takes more than %d values", format, used)
		}
		if out, err = packOne(out, f.order, item, values[used], limit); err != nil {
			return nil, fmt.Errorf("value %d: %w", used+1, err)
		}
		used++
	}
}

func packOne(out []byte, order binary.ByteOrder, item packItem, v lua.LValue, limit int) ([]byte, error) {
	switch item.letter {
	case 'i', 'I':
		n, err := integer(v, item)
		return appendInt(out, order, n, item.size), err
	case 'f':
		n, ok := v.(lua.LNumber)
		if !ok {
			return nil, fmt.Errorf("number expected, got %s", v.Type())
		}
		if item.size == 4 {
			return appendInt(out, order, uint64(math.Float32bits(float32(n))), 4), nil
		}
		return appendInt(out, order, math.Float64bits(float64(n)), 8), nil
	}
	s, ok := v.(lua.LString)
	if !ok {
		return nil, fmt.Errorf("string expected, got %s", v.Type())
	}
	if len(out)+len(s)+item.size > limit {
		return nil, fmt.Errorf("result longer than %d bytes", limit)
	}
	switch item.letter {
	case 's':
		if item.size < 8 && uint64(len(s)) >= 1<<(8*item.size) {
			return nil, fmt.Errorf("a string of %d bytes does not fit into s%d", len(s), item.size)
		}
		return append(appendInt(out, order, uint64(len(s)), item.size), s...), nil
	case 'z':
		return append(append(out, s...), 0), nil
	default: // c
		if len(s) > item.size {
			return nil, fmt.Errorf("a string of %d bytes does not fit into c%d", len(s), item.size)
		}
		return append(append(out, s...), make([]byte, item.size-len(s))...), nil
	}
}

// integer is v in two's complement, if it fits.
func integer(v lua.LValue, item packItem) (uint64, error) {
	n, ok := v.(lua.LNumber)
	if !ok {
		return 0, fmt.Errorf("number expected, got %s", v.Type())
	}
	whole := float64(n)
	low, high := 0.0, math.Ldexp(1, 8*item.size)
	if item.letter == 'i' {
		low, high = -high/2, high/2
	}
	if whole != math.Trunc(whole) || whole < low || whole >= high {
		return 0, fmt.Errorf("%v does not fit into %c%d", n, item.letter, item.size)
	}
	if whole < 0 {
		return uint64(int64(whole)), nil
	}
	return uint64(whole), nil
}

func appendInt(out []byte, order binary.ByteOrder, n uint64, size int) []byte {
	var b [8]byte
	order.PutUint64(b[:], n)
	if order == binary.ByteOrder(binary.LittleEndian) {
		return append(out, b[:size]...)
	}
	return append(out, b[8-size:]...)
}

// errShort says that a text ends before its format does: what a server sent is incomplete.
var errShort = errors.New("data too short for the format")

// unpack reads values from the byte at on, counted from 0. It returns where the next one would begin.
func unpack(format, data string, at int) (values []lua.LValue, next int, err error) {
	f := newPackFormat(format)
	for {
		item, err := f.next()
		if err != nil || item.letter == 0 {
			return values, at, err
		}
		var v lua.LValue
		if v, at, err = unpackOne(f.order, item, data, at); err != nil {
			return nil, 0, err
		}
		if item.letter != 'x' {
			values = append(values, v)
		}
	}
}

func unpackOne(order binary.ByteOrder, item packItem, data string, at int) (lua.LValue, int, error) {
	rest := data[at:]
	if item.letter == 'z' {
		for i := range len(rest) {
			if rest[i] == 0 {
				return lua.LString(rest[:i]), at + i + 1, nil
			}
		}
		return nil, 0, errShort
	}
	if len(rest) < item.size {
		return nil, 0, errShort
	}
	field, at := rest[:item.size], at+item.size
	switch item.letter {
	case 'x':
		return lua.LNil, at, nil
	case 'c':
		return lua.LString(field), at, nil
	case 's':
		n := readInt(order, field)
		if n > uint64(len(data)-at) {
			return nil, 0, errShort
		}
		return lua.LString(data[at : at+int(n)]), at + int(n), nil
	case 'f':
		if item.size == 4 {
			return lua.LNumber(math.Float32frombits(uint32(readInt(order, field)))), at, nil
		}
		return lua.LNumber(math.Float64frombits(readInt(order, field))), at, nil
	}
	n := readInt(order, field)
	if unused := 64 - 8*item.size; item.letter == 'i' {
		return lua.LNumber(int64(n<<unused) >> unused), at, nil
	}
	return lua.LNumber(n), at, nil
}

func readInt(order binary.ByteOrder, field string) uint64 {
	var b [8]byte
	if order == binary.ByteOrder(binary.LittleEndian) {
		copy(b[:], field)
	} else {
		copy(b[8-len(field):], field)
	}
	return order.Uint64(b[:])
}
