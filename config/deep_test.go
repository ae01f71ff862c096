package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/ldirectord/ldirectord/lvs"
)

// deep writes c with everything it points to, but for positions, warnings and the digest. It
// walks the types, so that a field that is added later is compared as well.
func deep(c *Config) string {
	var b strings.Builder
	walk(&b, reflect.ValueOf(*c), "config")
	return b.String()
}

func walk(b *strings.Builder, v reflect.Value, path string) {
	switch x := v.Interface().(type) {
	case Pos, map[string]Pos, []Problem, [32]byte:
		return
	case netip.AddrPort:
		fmt.Fprintf(b, "%s: %v %d\n", path, x.Addr(), x.Port())
		return
	case lvs.ServerKey:
		fmt.Fprintf(b, "%s: %v %d\n", path, x.Addr(), x.Port())
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			walk(b, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		if v.IsNil() {
			fmt.Fprintf(b, "%s: nil\n", path)
			return
		}
		walk(b, v.Elem(), path)
	case reflect.Slice:
		for i := range v.Len() {
			walk(b, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		fmt.Fprintf(b, "%s: map %v\n", path, v.IsNil())
		for _, k := range keys {
			walk(b, v.MapIndex(k), path+"."+k.String())
		}
	default:
		fmt.Fprintf(b, "%s: %#v\n", path, v.Interface())
	}
}
