package notify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/ldirectord/ldirectord/host/state"
)

// The bounds of a monitorfile.
const (
	monitorEvery   = 200 * time.Millisecond // between two writes
	monitorLimit   = 2 * time.Second        // for a write
	monitorWaiting = 1 << 20                // bytes; what comes on top is lost
	maxMessage     = 500                    // bytes of a message before it is escaped
	maxRealID      = 1000                   // likewise
)

// MonitorFiles writes a line for each check of the virtual services that have a monitorfile
// (ldirectord(8), "monitorfile"). A file is opened for each write, several times a second at
// most: one that was rotated away or removed is made anew, and nothing has to be told to
// anybody. What cannot be written is lost and counted, and holds nobody up.
type MonitorFiles struct {
	log     *slog.Logger
	pid     int
	hurry   chan struct{} // closed by Close
	running sync.WaitGroup

	mu    sync.Mutex // guards files and what is in them: the engine and the writers share it
	files map[string]*monitorFile
}

// monitorFile is one path with the lines that wait for it.
type monitorFile struct {
	path    string
	waiting []byte
	lines   int // in waiting
	busy    bool
	lost    int // lines, since the last write that succeeded

	broken bool // the last write failed; its writer's alone
	partly bool // it ended within a line; likewise
}

// NewMonitorFiles makes the sink. Close ends it.
func NewMonitorFiles(log *slog.Logger) *MonitorFiles {
	return &MonitorFiles{log: log, pid: os.Getpid(), hurry: make(chan struct{}), files: map[string]*monitorFile{}}
}

// Seen queues a line for each of them. It never blocks.
func (m *MonitorFiles) Seen(all []state.Sighting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range all {
		path := s.Service.MonitorFile
		f := m.files[path]
		if f == nil {
			f = &monitorFile{path: path}
			m.files[path] = f
		}
		if len(f.waiting) > monitorWaiting {
			f.lost++
			continue
		}
		f.waiting = m.line(f.waiting, s)
		f.lines++
		if !f.busy {
			f.busy = true
			m.running.Go(func() { m.drain(f) }) // Close waits for it
		}
	}
}

// line appends the line of s, in the shape that sites parse.
func (m *MonitorFiles) line(b []byte, s state.Sighting) []byte {
	b = append(b, '[')
	b = s.At.AppendFormat(b, time.ANSIC)
	b = append(b, "] ["...)
	b = strconv.AppendInt(b, int64(m.pid), 10)
	b = append(b, "] "...)
	b = percent(b, s.RealID, maxRealID, "")
	b = append(b, " ["...)
	b = append(b, s.Verdict.Status.String()...)
	b = append(b, "] "...)
	if s.Verdict.Reason == "" {
		return append(b, "-\n"...)
	}
	return append(percent(b, s.Verdict.Reason, maxMessage, "|%"), '\n')
}

// percent appends text, with %XX for what cannot be printed, line ends above all, and for what is in reserved.
func percent(b []byte, text string, limit int, reserved string) []byte {
	for i, r := range text {
		if i >= limit {
			return append(b, "..."...)
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		if strconv.IsPrint(r) && !strings.ContainsRune(reserved, r) && (r != utf8.RuneError || size > 1) {
			b = utf8.AppendRune(b, r)
			continue
		}
		for _, c := range []byte(text[i : i+size]) {
			b = fmt.Appendf(b, "%%%02X", c)
		}
	}
	return b
}

// drain writes what waits for f, until nothing does.
func (m *MonitorFiles) drain(f *monitorFile) {
	for {
		select {
		case <-time.After(monitorEvery):
		case <-m.hurry:
		}
		m.mu.Lock()
		text, lines, lost := f.waiting, f.lines, f.lost
		if lines == 0 {
			f.busy = false
			if !f.broken {
				delete(m.files, f.path)
			}
			m.mu.Unlock()
			return
		}
		f.waiting, f.lines = nil, 0
		m.mu.Unlock()
		missing, err := f.write(text)
		m.tell(f, lost, missing, err)
	}
}

// write appends text to the file, and returns how many lines are not there as a whole.
func (f *monitorFile) write(text []byte) (missing int, err error) {
	lines := bytes.Count(text, []byte("\n"))
	// Nobody may read a pipe: then opening it fails, rather than wait.
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return lines, err
	}
	defer file.Close()
	_ = file.SetWriteDeadline(time.Now().Add(monitorLimit)) // of a pipe that is not read; files have none
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		f.partly = false // another file
	}
	if f.partly {
		if _, err := io.WriteString(file, "\n"); err != nil {
			return lines, err
		}
		f.partly = false
	}
	n, err := file.Write(text)
	if n > 0 {
		f.partly = text[n-1] != '\n'
	}
	return bytes.Count(text[n:], []byte("\n")), err
}

// tell logs the first write that fails, and the first that works again.
func (m *MonitorFiles) tell(f *monitorFile, lost, missing int, err error) {
	m.mu.Lock()
	if err != nil {
		f.lost += missing
	} else {
		f.lost -= lost
	}
	m.mu.Unlock()
	was := f.broken
	f.broken = err != nil
	switch log := m.log.With("monitorfile", f.path); {
	case err != nil && !was:
		log.Error("monitorfile cannot be written; lines are lost", "reason", err)
	case err == nil && was:
		log.Info("monitorfile is written again", "lines_lost", lost)
	case err == nil && lost > 0:
		log.Error("monitorfile could not be written fast enough", "lines_lost", lost)
	}
}

// Close writes what waits and ends, at most until ctx ends.
func (m *MonitorFiles) Close(ctx context.Context) {
	close(m.hurry)
	done := make(chan struct{})
	go func() { // ends with the last write, or with the process
		defer close(done)
		m.running.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		m.log.Error("monitorfile is still being written: left alone")
	}
}
