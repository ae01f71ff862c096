// Package probe holds the moves that most checks share: a connection bounded by the
// probe's context, bounded reads, TLS that old servers understand, a record of what was
// said, and Judge, which sorts errors into verdicts.
//
// A check that dials, reads one line and judges:
//
//	line, err := probe.FirstLine(ctx, target)
//	if err != nil {
//		return probe.Judge(err)
//	}
package probe
