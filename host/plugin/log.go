package plugin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ldirectord/ldirectord/sdk"
)

// The bounds of what one plugin may log: lines a second in the long run and at once,
// and bytes of a text.
const (
	logRate  = 20
	logBurst = 100
	logText  = 1 << 10
)

// bridge brings what a plugin logs into the daemon's log: level and fields kept, secrets removed,
// bounded in rate and size.
type bridge struct {
	log     *slog.Logger
	name    string // of the plugin's file: go-plugin's own lines carry other names
	secrets *redactor

	mu      sync.Mutex // guards what follows
	tokens  float64
	filled  time.Time
	dropped int
}

// newBridge makes the logger for one process.
func newBridge(log *slog.Logger, path string, secrets *redactor) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Debug})
	l.RegisterSink(&bridge{
		log: log, name: filepath.Base(path), secrets: secrets, tokens: logBurst, filled: time.Now(),
	})
	return l
}

// Accept implements hclog.SinkAdapter.
func (b *bridge) Accept(name string, level hclog.Level, msg string, args ...any) {
	to := slogLevel(level)
	if name != b.name && name != "stdout" && name != "stderr" {
		to = slog.LevelDebug // go-plugin talks to itself
	}
	ctx := context.Background()
	if !b.log.Enabled(ctx, to) {
		return
	}
	allowed, missed := b.allow()
	if !allowed {
		return
	}
	attrs := []any{"from", name}
	for i := 0; i+1 < len(args) && i < 32; i += 2 {
		if key := fmt.Sprint(args[i]); key != "timestamp" {
			attrs = append(attrs, fieldKey(b.clean(key)), b.clean(fmt.Sprint(args[i+1])))
		}
	}
	if missed > 0 {
		attrs = append(attrs, "dropped", missed)
	}
	b.log.Log(ctx, to, b.clean(msg), attrs...)
}

// fieldKey keeps a plugin from writing what would look like a line, or a field, of the daemon's own.
func fieldKey(key string) string {
	key = strings.Map(func(r rune) rune {
		if 'a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9' || r == '_' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, key)
	switch strings.ToLower(key) {
	case "", "time", "level", "msg", "source", "plugin", "pool", "from", "dropped":
		return key + "_"
	}
	return key
}

func (b *bridge) clean(s string) string {
	if s = b.secrets.redact(s); len(s) > logText {
		s = s[:logText] + "..."
	}
	return s
}

// allow takes a token from the bucket, and says how many lines were dropped before.
func (b *bridge) allow() (ok bool, missed int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*logRate, logBurst)
	b.filled = now
	if b.tokens < 1 {
		b.dropped++
		return false, 0
	}
	b.tokens--
	missed, b.dropped = b.dropped, 0
	return true, missed
}

func slogLevel(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// redactor replaces the values of secret options. Its zero value knows none.
type redactor struct {
	mu     sync.Mutex // guards what follows
	values map[string]bool
}

// shortest is the length below which a secret is no more than a common word.
const shortest = 4

// add learns the secrets among o.
func (r *redactor) add(i sdk.Info, o sdk.Options) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, opt := range i.Options {
		if v := o[opt.Name]; opt.Secret && len(v) >= shortest && !r.values[v] {
			if r.values == nil {
				r.values = map[string]bool{}
			}
			r.values[v] = true
		}
	}
}

func (r *redactor) redact(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for v := range r.values {
		s = strings.ReplaceAll(s, v, "***")
	}
	return s
}

// verdict removes the secrets that a check let slip into what an operator will read.
func (r *redactor) verdict(v sdk.Verdict) sdk.Verdict {
	if v.Reason != "" {
		v.Reason = r.redact(v.Reason)
	}
	if v.Transcript != "" {
		v.Transcript = r.redact(v.Transcript)
	}
	return v
}
