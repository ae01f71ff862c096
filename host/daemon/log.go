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
	"sync/atomic"
	"time"
)

// LogOptions say how log lines look.
type LogOptions struct {
	Instance string // empty: lines have a time stamp only, as for supervised daemons
	Pid      int
	JSON     bool // one object a line instead of text
	Level    slog.Level
	// Journal has records go there instead; a line is written only when the journal cannot be reached.
	// Nil: lines only.
	Journal *Journal
}

// Log writes each record as one line, in the shape that
// sites parse: `[Sun Nov 22 07:06:33 2026|web.cf|PID] TEXT key=value`. Text is escaped:
// what came from a server cannot forge a line or drive a terminal.
//
// Lines are written by a goroutine of their own: a pipe that nobody reads or a hung disk
// delays no decision. Up to 4,096 lines wait; more are dropped, counted, and the count is logged.
// Failures to write are dropped too: a full disk must not stop the daemon.
type Log struct {
	mu      sync.Mutex // guards w and options
	w       io.Writer
	options LogOptions

	lines   chan logLine
	dropped atomic.Int64
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed when the writer has ended
}

// logLine is one line and where it goes.
type logLine struct {
	w      io.Writer
	text   string
	socket string // of the journal
	entry  []byte // for the journal; nil: the line is all
}

// waitingLines bounds the lines that wait to be written.
const waitingLines = 4096

// NewLog returns a log that writes to w. Close ends it.
func NewLog(w io.Writer, o LogOptions) *Log {
	l := &Log{
		w: w, options: o,
		lines: make(chan logLine, waitingLines), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go l.write() // Close waits for it
	return l
}

// Logger returns what writes to the log.
func (l *Log) Logger() *slog.Logger { return slog.New(&logHandler{log: l}) }

// Redirect has everything from now on written to w, in another shape: where the log
// goes is known only once the configuration has been read.
func (l *Log) Redirect(w io.Writer, o LogOptions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w, l.options = w, o
}

// Close waits until what was logged has been written, at most until ctx ends. Later lines are lost.
// It is called once.
func (l *Log) Close(ctx context.Context) {
	close(l.stop)
	select {
	case <-l.done:
	case <-ctx.Done():
	}
}

func (l *Log) write() {
	defer close(l.done)
	var journal journalWriter
	defer journal.close()
	for {
		select {
		case line := <-l.lines:
			l.put(&journal, line)
		case <-l.stop:
			for {
				select {
				case line := <-l.lines:
					l.put(&journal, line)
				default:
					return
				}
			}
		}
	}
}

func (l *Log) put(journal *journalWriter, line logLine) {
	if n := l.dropped.Swap(0); n > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelError, "Log lines were dropped: the log could not be written fast enough", 0)
		put(journal, newLine(line.w, l.look(), r, []slog.Attr{slog.Int64("lines", n)}))
	}
	put(journal, line)
}

func put(journal *journalWriter, line logLine) {
	if line.entry != nil && journal.send(line.socket, line.entry) == nil {
		return
	}
	_, _ = io.WriteString(line.w, line.text+"\n")
}

func (l *Log) look() LogOptions {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.options
}

func (l *Log) line(r slog.Record, fields []slog.Attr) {
	l.mu.Lock()
	w, o := l.w, l.options
	l.mu.Unlock()
	select {
	case l.lines <- newLine(w, o, r, fields):
	default:
		l.dropped.Add(1)
	}
}

func newLine(w io.Writer, o LogOptions, r slog.Record, fields []slog.Attr) logLine {
	line, message := logLine{w: w}, ""
	if o.JSON {
		message = object(o, r, fields)
		line.text = message
	} else {
		message = text(r, fields)
		line.text = prefix(o, r.Time) + message
	}
	if o.Journal != nil {
		line.socket, line.entry = o.Journal.Socket, o.Journal.entry(r.Level, message, fields)
	}
	return line
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
	h.log.line(r, fields)
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
		b.WriteString(key(f.Key))
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
		name := key(f.Key)
		if _, taken := line[name]; taken {
			name = "field." + name // a plugin's word, perhaps: ours stays
		}
		line[name] = fieldValue(f.Value)
	}
	data, err := json.Marshal(line)
	if err != nil {
		return fmt.Sprintf(`{"msg":%q,"error":%q}`, r.Message, err)
	}
	return string(data)
}

// key makes a name, which may be a plugin's, fit to stand before an equals sign.
func key(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '.':
			return r
		default:
			return '_'
		}
	}, name)
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
