package match

import (
	"bytes"
	"context"

	"github.com/dlclark/regexp2/v2"
)

// Span is where something begins in an answer, and where it ends: offsets in bytes. A group that took
// no part in a match has Span{-1, -1}.
type Span struct{ Begin, End int }

// Find is Match that says where: first the whole match, then each capture group in Perl's
// order. It is nil without a match. \K, which moves the beginning of a match, moves nothing here.
// The errors are those of Match.
func (p *Pattern) Find(ctx context.Context, answer []byte) ([]Span, error) {
	if err := ctx.Err(); err != nil {
		return nil, ended(err)
	}
	at := bytes.Index(answer, p.needed)
	if at < 0 {
		return nil, nil
	}
	if p.groups == 0 && p.engine == nil {
		return []Span{{at, at + len(p.needed)}}, nil
	}
	engine := p.engine
	if engine == nil {
		var err error
		if engine, err = p.captures(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	spans := make([]Span, p.groups+1)
	found, err := engine.search(ctx, answer, func(compiled *regexp2.Regexp, input []rune) (bool, error) {
		found := false
		err := compiled.FindRunesMatches(input, 0, func(m regexp2.MatchView) bool {
			found = true
			for i := range spans {
				spans[i] = Span{-1, -1}
				if begin, length, ok := m.GroupRange(i); ok {
					spans[i] = Span{begin, begin + length}
				}
			}
			return false
		})
		return found, err
	})
	if err != nil || !found {
		return nil, err
	}
	return spans, nil
}
