package ld

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	lua "github.com/yuin/gopher-lua"
)

// Bounds of JSON texts, in bytes, of what they nest, and of their values together.
const (
	maxJSON      = 1 << 20
	maxJSONDepth = 64
	maxJSONNodes = 100_000
)

// jsonNode is about what a value costs in a Lua table, in bytes, and jsonBlock how many of them the memory
// budget is asked for at a time.
const (
	jsonNode  = 512
	jsonBlock = 1024
)

// jsonWords are what JSON has and Lua has not.
type jsonWords struct {
	null  *lua.LUserData // stands for null: nil cannot be in a table
	array *lua.LTable    // the metatable of arrays, so that an empty one stays one
}

// decode reads exactly one value (RFC 8259). Objects and arrays become tables, an
// array's with the metatable of arrays. Charge asks the memory budget, and may raise its error.
func (w *jsonWords) decode(L *lua.LState, text string, charge func(bytes int)) (lua.LValue, error) {
	if len(text) > maxJSON {
		return nil, fmt.Errorf("JSON of %d bytes: more than %d", len(text), maxJSON)
	}
	d := &jsonReader{words: w, state: L, charge: charge, in: json.NewDecoder(bytes.NewReader([]byte(text)))}
	d.in.UseNumber()
	v, err := d.value(0)
	if err == nil {
		if _, more := d.in.Token(); more != io.EOF {
			err = errors.New("something follows the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", jsonError(err))
	}
	return v, nil
}

func jsonError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("it ends in the middle")
	}
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%s at byte %d", wrong.Error(), wrong.Offset)
	}
	return err
}

type jsonReader struct {
	words  *jsonWords
	state  *lua.LState
	charge func(bytes int)
	in     *json.Decoder
	nodes  int
}

func (d *jsonReader) value(depth int) (lua.LValue, error) {
	token, err := d.in.Token()
	if err != nil {
		return nil, err
	}
	if d.nodes++; d.nodes > maxJSONNodes {
		return nil, fmt.Errorf("more than %d values", maxJSONNodes)
	}
	if d.nodes%jsonBlock == 0 {
		d.charge(jsonBlock * jsonNode)
	}
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxJSONDepth)
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return d.object(depth)
		}
		return d.array(depth)
	case bool:
		return lua.LBool(t), nil
	case string:
		return lua.LString(t), nil
	case json.Number:
		n, err := t.Float64()
		if err != nil {
			return nil, fmt.Errorf("number %.40s: out of range", t)
		}
		return lua.LNumber(n), nil
	default:
		return d.words.null, nil
	}
}

func (d *jsonReader) object(depth int) (lua.LValue, error) {
	t := d.state.NewTable()
	for d.in.More() {
		key, err := d.in.Token()
		if err != nil {
			return nil, err
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		t.RawSetString(key.(string), v)
	}
	_, err := d.in.Token()
	return t, err
}

func (d *jsonReader) array(depth int) (lua.LValue, error) {
	t := d.state.NewTable()
	t.Metatable = d.words.array
	for d.in.More() {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		t.Append(v)
	}
	_, err := d.in.Token()
	return t, err
}

// encode writes v. A table is an array when it has the metatable of arrays, or at least
// one value and keys 1 to n alone; else an object, whose keys are sorted.
func (w *jsonWords) encode(v lua.LValue) (string, error) {
	e := &jsonWriter{words: w}
	if err := e.value(v, 0); err != nil {
		return "", err
	}
	return string(e.out), nil
}

type jsonWriter struct {
	words *jsonWords
	out   []byte
	seen  int // values in tables, those of a table as often as it is come by
}

func (e *jsonWriter) value(v lua.LValue, depth int) error {
	if depth > maxJSONDepth {
		return fmt.Errorf("tables nested more than %d deep, or a table inside itself", maxJSONDepth)
	}
	if len(e.out) > maxJSON {
		return fmt.Errorf("more than %d bytes of JSON", maxJSON)
	}
	switch v := v.(type) {
	case *lua.LNilType:
		e.out = append(e.out, "null"...)
	case lua.LBool:
		e.out = strconv.AppendBool(e.out, bool(v))
	case lua.LNumber:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("JSON has no number %v", v)
		}
		e.out = append(e.out, v.String()...)
	case lua.LString:
		return e.text(string(v))
	case *lua.LTable:
		return e.table(v, depth)
	default:
		if v != lua.LValue(e.words.null) {
			return fmt.Errorf("a %s has no JSON", v.Type())
		}
		e.out = append(e.out, "null"...)
	}
	return nil
}

func (e *jsonWriter) text(s string) error {
	if len(e.out)+len(s) > maxJSON {
		return fmt.Errorf("more than %d bytes of JSON", maxJSON)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return err
	}
	e.out = append(e.out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
	return nil
}

func (e *jsonWriter) table(t *lua.LTable, depth int) error {
	keys, isArray, err := jsonKeys(t)
	if err != nil {
		return err
	}
	if e.seen += len(keys) + t.Len(); e.seen > maxJSON { // each takes a byte at least
		return fmt.Errorf("more than %d bytes of JSON", maxJSON)
	}
	if isArray || t.Metatable == lua.LValue(e.words.array) {
		if len(keys) > 0 {
			return errors.New("an array with names as keys has no JSON")
		}
		e.out = append(e.out, '[')
		for i := range t.Len() {
			if i > 0 {
				e.out = append(e.out, ',')
			}
			if err := e.value(t.RawGetInt(i+1), depth+1); err != nil {
				return err
			}
		}
		e.out = append(e.out, ']')
		return nil
	}
	e.out = append(e.out, '{')
	for i, key := range keys {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		if err := e.text(key); err != nil {
			return err
		}
		e.out = append(e.out, ':')
		if err := e.value(t.RawGetString(key), depth+1); err != nil {
			return err
		}
	}
	e.out = append(e.out, '}')
	return nil
}

// jsonKeys are the names in t, sorted. isArray: it has values, under 1 to n alone.
func jsonKeys(t *lua.LTable) (names []string, isArray bool, err error) {
	numbers := 0
	t.ForEach(func(k, _ lua.LValue) {
		switch k := k.(type) {
		case lua.LString:
			names = append(names, string(k))
		case lua.LNumber:
			numbers++
		default:
			err = fmt.Errorf("a key that is a %s has no JSON", k.Type())
		}
	})
	slices.Sort(names)
	switch {
	case err != nil:
	case numbers > 0 && len(names) > 0:
		err = errors.New("a table with names and numbers as keys has no JSON")
	case numbers != t.Len():
		err = errors.New("an array with holes has no JSON: ld.json.null stands for null")
	}
	return names, numbers > 0, err
}
