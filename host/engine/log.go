package engine

import (
	"context"
	"log/slog"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// logTransition writes one transition: its text, then the fields virtual, real, check
// and reason, those that it has.
func (l *loop) logTransition(t state.Transition) {
	attrs := []slog.Attr{slog.String("virtual", t.Virtual)}
	if t.Server != (lvs.ServerKey{}) {
		attrs = append(attrs, slog.String("real", state.ServerName(t.Server)))
	}
	if t.Check != "" {
		attrs = append(attrs, slog.String("check", string(t.Check)))
	}
	reason := t.Reason
	if reason == "" || t.Change == state.Deviated && t.Verdict.Reason != "" { // its own is in the text
		reason = t.Verdict.Reason
	}
	if reason != "" {
		attrs = append(attrs, slog.String("reason", reason))
	}
	l.o.Log.LogAttrs(context.Background(), level(t.Change), t.Text(), attrs...)
}

// level is Warn for what an operator would rather not see.
func level(c state.Change) slog.Level {
	switch c {
	case state.Deleted, state.Quiesced, state.SoftFailure, state.FallbackStarted, state.Deviated, state.KeptServer:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}
