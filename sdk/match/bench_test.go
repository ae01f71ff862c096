package match

import (
	"bytes"
	"context"
	"testing"
)

// page is 100 KB of text with what the patterns look for near its end.
func page() []byte {
	line := []byte("<p>The quick brown fox, number 42, jumps over the lazy dog &amp; more.</p>\n")
	body := bytes.Repeat(line, 100_000/len(line))
	return append(body, "<b>Status: OK</b> 10-20 bye bye\n"...)
}

func BenchmarkMatch(b *testing.B) {
	body := page()
	for _, pattern := range []string{
		`Status: OK`,
		`(?i)status:\s+ok`,
		`\d+-\d+`,
		`(\w+)\s\1`,
		`.*Status`,
		`Status: (OK|UP)`,
		`Status: DOWN\d`,
		`(?s)<p>.*<b>`,
		`(?:.|\n)*Status`,
	} {
		b.Run(pattern, func(b *testing.B) {
			p, err := Compile(pattern)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Match(context.Background(), body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSmall is what most checks do: a short answer.
func BenchmarkSmall(b *testing.B) {
	p, err := Compile(`^OK$`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if found, err := p.Match(context.Background(), []byte("OK\n")); err != nil || !found {
			b.Fatal(found, err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(`(?i)<title>\s*(?:status|health):\s+(ok|up)\b[^<]*</title>`); err != nil {
			b.Fatal(err)
		}
	}
}
