package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// The bounds of an answer: whoever is not Redis must not fill our memory.
const (
	maxLine  = 4 << 10 // bytes of a line, which includes those of a bulk string
	maxItems = 4096    // of an answer with everything in it: a master lists its replicas
	maxDepth = 4       // of lists in lists
)

// serverError is an answer that begins with "-", such as "WRONGPASS invalid username-password pair".
type serverError string

func (e serverError) Error() string { return string(e) }

// errNotRESP is an answer that no Redis server gives.
var errNotRESP = errors.New("not a Redis server")

// session is a connection that commands are sent over, one after the other.
type session struct {
	conn    io.Writer
	answers *bufio.Reader
	trace   *probe.Trace
}

// ask sends a command and reads its answer: a string, an int64, nil, or a []any of those.
func (s *session) ask(command ...string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(command))
	for _, word := range command {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	s.trace.Sent([]byte(strings.Join(command, " ")))
	if _, err := io.WriteString(s.conn, b.String()); err != nil {
		return nil, err
	}
	left := maxItems
	answer, err := read(s.answers, &left, maxDepth)
	if err != nil {
		s.trace.Received([]byte(err.Error()))
		return nil, err
	}
	s.trace.Received(fmt.Appendf(nil, "%v", answer))
	return answer, nil
}

// expect is Up when the answer to a command is want.
func (s *session) expect(want string, command ...string) sdk.Verdict {
	answer, err := s.ask(command...)
	if err != nil {
		return refusal(err)
	}
	if answer != want {
		return sdk.Down("the answer to %s is %.80q, want %s", command[0], fmt.Sprint(answer), want)
	}
	return sdk.Up()
}

// refusal sorts the ways in which a command can fail.
func refusal(err error) sdk.Verdict {
	says, ok := errors.AsType[serverError](err)
	if !ok {
		return probe.Judge(err)
	}
	switch word, _, _ := strings.Cut(string(says), " "); word {
	case "NOAUTH", "WRONGPASS", "NOPERM":
		return sdk.DownWith(sdk.CodeAuth, "%s", probe.Escape(string(says)))
	}
	if strings.Contains(string(says), "AUTH") { // a password for a server that has none
		return sdk.DownWith(sdk.CodeAuth, "%s", probe.Escape(string(says)))
	}
	return sdk.DownWith(sdk.CodeStatus, "%s", probe.Escape(string(says)))
}

// read reads one answer (https://redis.io/docs/reference/protocol-spec, RESP 2). left is how
// many more items it may have.
func read(r *bufio.Reader, left *int, depth int) (any, error) {
	if *left--; *left < 0 || depth == 0 {
		return nil, fmt.Errorf("answer: %w", probe.ErrTooLong)
	}
	line, err := probe.ReadLine(r)
	if err != nil {
		return nil, err
	}
	if line == "" {
		return nil, fmt.Errorf("%w: an empty line", errNotRESP)
	}
	switch kind, text := line[0], line[1:]; kind {
	case '+':
		return text, nil
	case '-':
		return nil, serverError(text)
	case ':':
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: number %.40q", errNotRESP, text)
		}
		return n, nil
	case '$':
		return readBulk(r, text)
	case '*':
		return readList(r, text, left, depth)
	}
	return nil, fmt.Errorf("%w: it says %.40q", errNotRESP, line)
}

// size reads the length of a bulk string or a list: -1 is none at all.
func size(text string, limit int) (int, error) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < -1:
		return 0, fmt.Errorf("%w: length %.40q", errNotRESP, text)
	case n > limit:
		return 0, fmt.Errorf("an answer of %d: %w", n, probe.ErrTooLong)
	}
	return n, nil
}

func readBulk(r *bufio.Reader, text string) (any, error) {
	n, err := size(text, maxLine)
	if err != nil || n < 0 {
		return nil, err
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	if string(b[n:]) != "\r\n" {
		return nil, fmt.Errorf("%w: a string without its end", errNotRESP)
	}
	return string(b[:n]), nil
}

func readList(r *bufio.Reader, text string, left *int, depth int) (any, error) {
	n, err := size(text, *left)
	if err != nil || n < 0 {
		return nil, err
	}
	var list []any
	for range n {
		item, err := read(r, left, depth-1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}
