package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// LogOptions say how log lines look.
type LogOptions struct {
	Instance string // empty: lines have a time stamp only, as for supervised daemons
	Pid      int
	JSON     bool // one object a line instead of text
	Level    slog.Level
}

// Log writes each record as one line, in the shape that
// sites parse: `[Sun Nov 22 07:06:33 2026|web.cf|PID] TEXT key=value`. Text is escaped:
// what came from a server cannot forge a line or drive a terminal.
// Failures to write are dropped: a full disk must not stop the daemon.
type Log struct {
	mu      sync.Mutex // guards the rest: one line is written at a time
	w       io.Writer
	options LogOptions
}

// NewLog returns a log that writes to w.
func NewLog(w io.Writer, o LogOptions) *Log { return &Log{w: w, options: o} }

// Logger returns what writes to the log.
func (l *Log) Logger() *slog.Logger { return slog.New(&logHandler{log: l}) }

// Redirect has everything from now on written to w, in another shape: where the log
// goes is known only once the configuration has been read.
func (l *Log) Redirect(w io.Writer, o LogOptions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w, l.options = w, o
}

func (l *Log) look() LogOptions {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.options
}

func (l *Log) line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.w, text+"\n")
}

type logHandler struct {
	log    *Log
	fields []slog.Attr // of With, names complete
	group  string      // prefix of names, with its dot
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.look().Level
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.fields = append(append([]slog.Attr(nil), h.fields...), prefixed(h.group, attrs)...)
	return &next
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.group = h.group + name + "."
	return &next
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	fields := append([]slog.Attr(nil), h.fields...)
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, prefixed(h.group, []slog.Attr{a})...)
		return true
	})
	o := h.log.look()
	if o.JSON {
		h.log.line(object(o, r, fields))
	} else {
		h.log.line(prefix(o, r.Time) + text(r, fields))
	}
	return nil
}

// prefixed flattens groups into dotted names.
func prefixed(group string, attrs []slog.Attr) []slog.Attr {
	var out []slog.Attr
	for _, a := range attrs {
		a.Value = a.Value.Resolve()
		if a.Value.Kind() == slog.KindGroup {
			out = append(out, prefixed(group+a.Key+".", a.Value.Group())...)
			continue
		}
		a.Key = group + a.Key
		out = append(out, a)
	}
	return out
}

func prefix(o LogOptions, at time.Time) string {
	stamp := at.Format(time.ANSIC)
	if o.Instance == "" {
		return "[" + stamp + "] "
	}
	return "[" + stamp + "|" + o.Instance + "|" + strconv.Itoa(o.Pid) + "] "
}

func text(r slog.Record, fields []slog.Attr) string {
	var b strings.Builder
	// A transition for the worse is a warning, and its text is one that sites parse: no prefix.
	if r.Level >= slog.LevelError {
		b.WriteString("ERROR: ")
	}
	b.WriteString(Printable(r.Message))
	for _, f := range fields {
		value := f.Value.String()
		if value == "" {
			continue
		}
		b.WriteByte(' ')
		b.WriteString(f.Key)
		b.WriteByte('=')
		if strings.ContainsAny(value, " \"=") {
			value = strconv.Quote(value)
		}
		b.WriteString(Printable(value))
	}
	return b.String()
}

func object(o LogOptions, r slog.Record, fields []slog.Attr) string {
	line := map[string]any{
		"time":  r.Time.Format(time.RFC3339Nano),
		"level": strings.ToLower(r.Level.String()),
		"msg":   r.Message,
		"pid":   o.Pid,
	}
	if o.Instance != "" {
		line["instance"] = o.Instance
	}
	for _, f := range fields {
		line[f.Key] = fieldValue(f.Value)
	}
	data, err := json.Marshal(line)
	if err != nil {
		return fmt.Sprintf(`{"msg":%q,"error":%q}`, r.Message, err)
	}
	return string(data)
}

func fieldValue(v slog.Value) any {
	switch v.Kind() {
	case slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindBool:
		return v.Any()
	default:
		return v.String()
	}
}

// maxLine bounds what one text may add to a line, in bytes.
const maxLine = 4096

// Printable returns text with every byte that is not printable UTF-8 written as \xHH, cut at
// 4096 bytes: for lines and terminals that show what a server sent.
func Printable(text string) string {
	cut := len(text) > maxLine
	if cut {
		text = text[:maxLine]
	}
	clean := true
	for _, r := range text {
		if r == '\uFFFD' || !strconv.IsPrint(r) {
			clean = false
			break
		}
	}
	if !clean {
		text = escape(text)
	}
	if cut {
		text += "..."
	}
	return text
}

func escape(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := decodeRune(text)
		if r >= 0 && strconv.IsPrint(r) {
			b.WriteString(text[:n])
		} else {
			for _, c := range []byte(text[:n]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
		text = text[n:]
	}
	return b.String()
}
