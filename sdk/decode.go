package sdk

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

func setBool(v reflect.Value, s string) error {
	switch strings.ToLower(s) {
	case "yes", "true", "on", "1":
		v.SetBool(true)
	case "no", "false", "off", "0":
		v.SetBool(false)
	default:
		return fmt.Errorf("%q is neither yes nor no", s)
	}
	return nil
}

func setInt(v reflect.Value, s string) error {
	bits := v.Type().Bits()
	n, err := strconv.ParseInt(s, 10, bits)
	if err != nil {
		lowest := int64(-1) << (bits - 1)
		return intError(s, err, strconv.FormatInt(lowest, 10), strconv.FormatInt(^lowest, 10))
	}
	v.SetInt(n)
	return nil
}

func setUint(v reflect.Value, s string) error {
	bits := v.Type().Bits()
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		highest := strconv.FormatUint(math.MaxUint64>>(64-bits), 10)
		return intError(s, err, "0", highest)
	}
	v.SetUint(n)
	return nil
}

func intError(s string, err error, lowest, highest string) error {
	if errors.Is(err, strconv.ErrRange) || strings.HasPrefix(s, "-") {
		return fmt.Errorf("%s is not between %s and %s", strconv.Quote(s), lowest, highest)
	}
	return fmt.Errorf("%q is not a whole number", s)
}

// setDuration reads seconds ("3", "0.5") or a number with a unit ("500ms"), the former
// because that is how ldirectord(8) writes times.
func setDuration(v reflect.Value, s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		d, err = time.ParseDuration(s + "s")
	}
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a time in seconds, such as 3, 0.5 or 500ms", s)
	case d < 0:
		return fmt.Errorf("%q is negative", s)
	}
	v.SetInt(int64(d))
	return nil
}

// setList splits at commas and drops what is empty, so that "a, b," is two words.
func setList(v reflect.Value, s string) error {
	var words []string
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	v.Set(reflect.ValueOf(words))
	return nil
}

// distance is the number of letters to insert, drop or replace between a and b
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
