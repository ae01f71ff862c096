package sdk

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Decode fills a struct of options from their configured values. Fields are described by
// tags; a field without an option tag is left alone, an embedded struct's fields count
// as the struct's own:
//
//	option:"receive"     its name in the configuration
//	default:"220"        the value when it is unset, written as in the configuration
//	help:"..."           one line
//	required:"true"      missing or empty is an error
//	secret:"true"        its value appears in no error, log or transcript
//	type:"pattern"       overrides the type that documentation shows
//
// Types: string; bool (yes or no); all integers; time.Duration (seconds as "1.5", or with
// a unit, "1.5s"; never negative); []string (separated by commas); and whatever, by value
// or by pointer, implements encoding.TextUnmarshaler, whose error may place itself in
// the value by a method ValueOffset() int. A field that is unset and has no
// default keeps its zero value. Errors are *OptionError values, joined: unknown
// options (with the names that come near), missing ones, malformed ones.
func Decode[O any](o Options) (O, error) {
	var opts O
	s, err := newSchema(reflect.TypeFor[O]())
	if err != nil {
		return opts, err
	}
	return opts, s.decode(reflect.ValueOf(&opts).Elem(), o)
}

// field is one option of a struct.
type field struct {
	Option
	index []int                                 // for reflect.Value.FieldByIndex
	set   func(v reflect.Value, s string) error // decodes s into the field
}

// schema is what the tags of a struct say, in the order of its fields.
type schema []field

// newSchema reads the tags of t. Its errors are the author's mistakes.
func newSchema(t reflect.Type) (schema, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("options must be a struct, not %s", t)
	}
	s, errs := readTags(t, nil)
	seen := map[string]bool{}
	for _, f := range s {
		if seen[f.Name] {
			errs = append(errs, fmt.Errorf("option %s is there twice", f.Name))
		}
		seen[f.Name] = true
		if f.Default == "" {
			continue
		}
		if err := f.set(reflect.New(t).Elem().FieldByIndex(f.index), f.Default); err != nil {
			errs = append(errs, fmt.Errorf("default of option %s: %w", f.Name, err))
		}
	}
	return s, errors.Join(errs...)
}

func readTags(t reflect.Type, at []int) (s schema, errs []error) {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(slices.Clone(at), i)
		name, tagged := sf.Tag.Lookup("option")
		if sf.Anonymous && !tagged && sf.Type.Kind() == reflect.Struct {
			inner, more := readTags(sf.Type, index)
			s, errs = append(s, inner...), append(errs, more...)
			continue
		}
		if !tagged {
			continue
		}
		kind, set := decoderOf(sf.Type)
		switch {
		case name == "" || name != strings.ToLower(name):
			errs = append(errs, fmt.Errorf("field %s: option name %q must be in lower case", sf.Name, name))
		case !sf.IsExported():
			errs = append(errs, fmt.Errorf("option %s: field %s is not exported", name, sf.Name))
		case set == nil:
			errs = append(errs, fmt.Errorf("option %s: type %s is not supported", name, sf.Type))
		default:
			s = append(s, field{index: index, set: set, Option: Option{
				Name:     name,
				Type:     firstOf(sf.Tag.Get("type"), kind),
				Default:  sf.Tag.Get("default"),
				Help:     sf.Tag.Get("help"),
				Required: sf.Tag.Get("required") == "true",
				Secret:   sf.Tag.Get("secret") == "true",
			}})
		}
	}
	return s, errs
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// decoderOf finds how a field of type t is called and filled; nil when it cannot be.
func decoderOf(t reflect.Type) (kind string, set func(reflect.Value, string) error) {
	text := reflect.TypeFor[encoding.TextUnmarshaler]()
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration", setDuration
	case t.Kind() == reflect.Pointer && t.Implements(text):
		return "string", func(v reflect.Value, s string) error {
			v.Set(reflect.New(t.Elem()))
			return v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
		}
	case reflect.PointerTo(t).Implements(text):
		return "string", func(v reflect.Value, s string) error {
			return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s))
		}
	case t.Kind() == reflect.String:
		return "string", func(v reflect.Value, s string) error { v.SetString(s); return nil }
	case t.Kind() == reflect.Bool:
		return "bool", setBool
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		return "int", setInt
	case t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64:
		return "int", setUint
	case t == reflect.TypeFor[[]string]():
		return "list", setList
	default:
		return "", nil
	}
}

func (s schema) options() []Option {
	all := make([]Option, len(s))
	for i, f := range s {
		all[i] = f.Option
	}
	return all
}

// decode fills the struct v, which must be addressable and zero.
func (s schema) decode(v reflect.Value, o Options) error {
	errs := s.unknown(o)
	for _, f := range s {
		text, given := o[f.Name]
		switch {
		case f.Required && text == "" && f.Default == "":
			errs = append(errs, &OptionError{Option: f.Name, Want: "is required: " + f.describe()})
			continue
		case !given && f.Default == "":
			continue
		case !given:
			text = f.Default
		}
		if err := f.set(v.FieldByIndex(f.index), text); err != nil {
			errs = append(errs, f.malformed(text, err))
		}
	}
	return errors.Join(errs...)
}

// describe is the option's help, or its type.
func (f field) describe() string {
	if f.Help != "" {
		return f.Help
	}
	return "a value of type " + f.Type
}

// malformed words an error of f.set. A secret's value, which the error may quote, stays out.
func (f field) malformed(text string, err error) *OptionError {
	e := &OptionError{Option: f.Name}
	var placed interface{ ValueOffset() int }
	if errors.As(err, &placed) {
		e.Offset = min(max(placed.ValueOffset(), 0), len(text))
	}
	if f.Secret {
		e.Want = "is not a valid " + f.Type
		return e
	}
	e.Want = err.Error()
	return e
}

// unknown reports the options that the schema lacks, by name.
func (s schema) unknown(o Options) (errs []error) {
	var names []string
	for name := range o {
		if !slices.ContainsFunc(s, func(f field) bool { return f.Name == name }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		errs = append(errs, &OptionError{Option: name, Want: "there is no such option; " + s.hint(name)})
	}
	return errs
}

// hint names the options whose names come near name, or else all of them.
func (s schema) hint(name string) string {
	var near, all []string
	for _, f := range s {
		all = append(all, f.Name)
		if distance(f.Name, name) <= 1+len(name)/4 || strings.HasPrefix(f.Name, name) {
			near = append(near, f.Name)
		}
	}
	switch {
	case len(near) > 0:
		return "did you mean " + strings.Join(near, " or ") + "?"
	case len(all) > 0:
		return "there are " + strings.Join(all, ", ")
	default:
		return "the check has no options"
	}
}
