package script

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// Of what the scripts of an interpreter print: at most so many lines of a call are logged, of at most so
// many bytes.
const (
	loggedLines = 10
	lineBytes   = 1024
)

// speech is what an interpreter prints: it goes to the log, and the last line of a call to its reason.
type speech struct {
	log  *slog.Logger
	from *os.File
	done chan struct{} // closed when nothing more is read

	mu     sync.Mutex // guards the rest
	script string     // of the call that runs, or of the last one
	id     string     // of the call
	last   string     // line of the call that is not blank
	lines  int        // of the call
	ended  chan string
}

func newSpeech(log *slog.Logger) *speech {
	return &speech{log: log, done: make(chan struct{}), ended: make(chan string, 1)}
}

// listen begins to read.
func (s *speech) listen(from *os.File) {
	s.from = from
	go s.read() // end waits for it
}

func (s *speech) read() {
	defer close(s.done)
	in := bufio.NewReaderSize(s.from, lineBytes)
	whole := true // the last piece of a line ended it
	for {
		piece, err := in.ReadSlice('\n')
		if len(piece) > 0 && whole {
			s.take(strings.TrimRight(string(piece), "\r\n"))
		}
		whole = !errors.Is(err, bufio.ErrBufferFull)
		if err != nil && whole {
			_, _ = io.Copy(io.Discard, s.from) // nothing to read, unless the error was a strange one
			return
		}
	}
}

// take takes one line, or its beginning.
func (s *speech) take(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The worker's own line ends a call; text without an end of line may stand before it.
	if line, id, ok := strings.Cut(line, "\x00"); ok && id == s.id {
		s.note(line)
		select {
		case s.ended <- id:
		default:
		}
		return
	}
	s.note(line)
}

func (s *speech) note(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	s.last = line
	s.lines++
	switch {
	case s.lines < loggedLines:
		s.log.Info("Check script says", "script", s.script, "text", shown(line))
	case s.lines == loggedLines:
		s.log.Info("Check script says, and more that is left out", "script", s.script, "text", shown(line))
	}
}

// begin is called before a call.
func (s *speech) begin(id, script string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.script, s.last, s.lines = id, script, "", 0
	select {
	case <-s.ended: // of a call that was not waited for
	default:
	}
}

// finish waits until all that the call printed has been taken: it is on its way already. A
// script that closed its standard error has nobody wait long.
func (s *speech) finish() {
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-s.done:
	case <-timer.C:
	}
}

// line is the last one of the call.
func (s *speech) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// end ends the reading.
func (s *speech) end() {
	_ = s.from.SetReadDeadline(time.Now().Add(lastWords))
	<-s.done
	_ = s.from.Close()
}
