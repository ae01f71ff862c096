package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
)

// headReader lets the first line through, the handshake, and swallows the rest: go-plugin's own
// reader stops at a line over 64 KiB, which would block whoever writes it.
type headReader struct {
	from io.ReadCloser
	past bool

	mu   sync.Mutex // guards line, which is complete when past
	line []byte
}

// maxHandshake is far above the longest line with a certificate.
const maxHandshake = 16 << 10

func (r *headReader) Read(b []byte) (int, error) {
	if r.past {
		_, err := io.Copy(io.Discard, r.from)
		if err == nil {
			err = io.EOF
		}
		return 0, err
	}
	n, err := r.from.Read(b)
	if i := bytes.IndexByte(b[:n], '\n'); i >= 0 {
		r.past = true
		n = i + 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.line = append(r.line, b[:n]...); len(r.line) > maxHandshake && !r.past {
		r.past = true
		b[max(n-1, 0)] = '\n'
	}
	return n, err
}

// certified says whether the handshake brought a certificate: its sixth field.
func (r *headReader) certified() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	fields := strings.Split(strings.TrimSpace(string(r.line)), "|")
	return len(fields) > 5 && fields[5] != ""
}

func (r *headReader) Close() error { return r.from.Close() }

// tapReader shows what is read to words.
type tapReader struct {
	io.ReadCloser
	tap *words
}

func (r *tapReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.tap.write(b[:n])
	return n, err
}

// words keeps the last line of a stream, or the panic that a Go program dies of.
type words struct {
	mu    sync.Mutex // guards what follows
	line  []byte     // the one being read, cut at maxWords
	final string
	panic bool
}

const maxWords = 512

func (w *words) write(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		w.line = append(w.line, line[:min(len(line), maxWords-len(w.line))]...)
		if ended {
			w.keep()
		}
		b = rest
	}
}

// keep takes the line that has just ended.
func (w *words) keep() {
	line := strings.TrimSpace(string(w.line))
	w.line = w.line[:0]
	if line == "" || w.panic {
		return
	}
	w.panic = strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
	var logged struct {
		Message string `json:"@message"`
		Error   string `json:"error"`
		Level   string `json:"@level"`
	}
	if json.Unmarshal([]byte(line), &logged) == nil && logged.Message != "" {
		if logged.Level == "debug" || logged.Level == "trace" {
			return // go-plugin's own chatter
		}
		line = strings.TrimSuffix(logged.Message+": "+logged.Error, ": ")
	}
	w.final = line
}

func (w *words) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.final == "" {
		return clip(strings.TrimSpace(string(w.line)), maxWords)
	}
	return clip(w.final, maxWords)
}
