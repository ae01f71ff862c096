package config

import (
	"slices"
	"strings"
)

// Nearest returns the known word that word was most likely meant to be, or "". Of two
// equally near ones it prefers the one with the same first letter.
func Nearest(word string, known []string) string {
	if word == "" {
		return ""
	}
	word = strings.ToLower(word)
	best, distance := "", 2*min(len(word)/2, 2)+2
	for _, k := range known {
		d := 2 * edits(word, k)
		if d > 0 && k[0] != word[0] {
			d++
		}
		if d < distance {
			best, distance = k, d
		}
	}
	return best
}

// edits counts the bytes to insert, delete, replace or swap with their neighbour to
// make b of a, or returns a large number when their lengths alone are far apart.
func edits(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return len(a) + len(b)
	}
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, replace)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// didYouMean returns a hint to append to a message, or "".
func didYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" && near != word {
		return ` (did you mean "` + near + `"?)`
	}
	return ""
}

// listed writes words as "a, b or c".
func listed(words []string) string {
	words = slices.Clone(words)
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
