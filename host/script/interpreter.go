package script

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

//go:embed worker.pl
var workerSource []byte

// errNoPerl says what to install.
var errNoPerl = errors.New("perl is not installed (Debian and Ubuntu: apt install perl; Fedora and RHEL: dnf install perl)")

// FindPerl returns the path of the Perl interpreter, or an error that says what to install.
func FindPerl() (string, error) {
	path, err := (Command{Path: "perl"}).Find()
	if err != nil {
		return "", fmt.Errorf("external-perl: %w", errNoPerl)
	}
	return path, nil
}

// interpreter is a Perl process that runs scripts, one call at a time.
type interpreter struct {
	*process
	requests *os.File      // its descriptor 3
	answers  *os.File      // its descriptor 4
	lines    *bufio.Reader // of answers
	speech   *speech
	calls    uint64
}

// newInterpreter starts one and waits until it can be asked, at most until deadline.
func newInterpreter(l *launcher, perl string, who account, words *speech, deadline time.Time) (*interpreter, error) {
	var files pipes
	defer files.closeTheirs()
	theirSource, source := files.toThem()
	theirRequests, requests := files.toThem()
	answers, theirAnswers := files.fromThem()
	out, theirOut := files.fromThem()
	if files.err != nil {
		files.closeOurs()
		return nil, files.err
	}
	cmd := exec.Command(perl, "-")
	cmd.Args[0] = "ldirectord-perl"
	cmd.Env = append(who.environment(), "LDIRECTORD_CHECK=external-perl")
	cmd.Stdin = theirSource
	cmd.Stdout, cmd.Stderr = theirOut, theirOut
	cmd.ExtraFiles = []*os.File{theirRequests, theirAnswers} // 3 and 4
	p, err := l.start(cmd, who)
	if err != nil {
		files.closeOurs()
		return nil, err
	}
	i := &interpreter{process: p, requests: requests, answers: answers, lines: bufio.NewReader(answers), speech: words}
	words.listen(out)
	_ = source.SetWriteDeadline(deadline)
	_, err = source.Write(workerSource)
	source.Close()
	_ = i.answers.SetReadDeadline(deadline)
	if line, readErr := i.lines.ReadString('\n'); readErr != nil || line != "ready\n" {
		err = errors.Join(err, readErr, errors.New("it does not begin to work"))
	}
	if err != nil {
		i.discard()
		return nil, fmt.Errorf("%w%s", err, said(i.speech.line()))
	}
	return i, nil
}

// pipes are those between an interpreter and us, as they are opened.
type pipes struct {
	ours, theirs []*os.File
	err          error // of the first that could not be opened
}

func (p *pipes) open() (read, write *os.File) {
	read, write, err := os.Pipe()
	p.err = errors.Join(p.err, err)
	return read, write
}

func (p *pipes) toThem() (theirs, ours *os.File) {
	theirs, ours = p.open()
	p.ours, p.theirs = append(p.ours, ours), append(p.theirs, theirs)
	return theirs, ours
}

func (p *pipes) fromThem() (ours, theirs *os.File) {
	ours, theirs = p.open()
	p.ours, p.theirs = append(p.ours, ours), append(p.theirs, theirs)
	return ours, theirs
}

// closeTheirs and closeOurs close one side; files that could not be opened are nil, whose Close
// is an error and no more.
func (p *pipes) closeTheirs() { closeAll(p.theirs) }

func (p *pipes) closeOurs() { closeAll(p.ours) }

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// discard ends the interpreter at once, whatever it does, and all that its script started.
func (i *interpreter) discard() {
	i.requests.Close()
	i.end(0)
	i.answers.Close()
	i.speech.end()
}

// retire has the interpreter end as its scripts may expect, END blocks included, within retireGrace.
func (i *interpreter) retire() {
	i.requests.Close()
	i.within(retireGrace)
	i.discard()
}

// answer is what a call came to.
type answer struct {
	word string // exit, die, late or missing
	text string
}

// errEnded is that of a call in whose middle the interpreter ended.
var errEnded = errors.New("the script ended its interpreter")

// call runs file. The answer comes before deadline, or the error is os.ErrDeadlineExceeded, or
// errEnded. After an error the interpreter is of no use any more.
func (i *interpreter) call(file string, args, env []string, left time.Duration, deadline time.Time) (answer, error) {
	i.calls++
	id := strconv.FormatUint(i.calls, 10)
	i.speech.begin(id, file)
	fields := []string{id, strconv.FormatInt(max(left.Milliseconds(), 1), 10), strconv.Itoa(len(args)), encode(file)}
	for _, more := range [][]string{args, env} {
		for _, field := range more {
			fields = append(fields, encode(field))
		}
	}
	_ = i.requests.SetWriteDeadline(deadline)
	_ = i.answers.SetReadDeadline(deadline)
	if _, err := i.requests.WriteString(strings.Join(fields, " ") + "\n"); err != nil {
		return answer{}, endedOr(err)
	}
	line, err := i.lines.ReadString('\n')
	if err != nil {
		return answer{}, endedOr(err)
	}
	words := strings.Split(strings.TrimSuffix(line, "\n"), " ")
	if len(words) != 3 || words[0] != id {
		return answer{}, fmt.Errorf("its answer to call %s is %q", id, shown(line))
	}
	text, err := url.PathUnescape(words[2])
	if err != nil {
		return answer{}, fmt.Errorf("its answer to call %s: %w", id, err)
	}
	i.speech.finish()
	return answer{words[1], text}, nil
}

// endedOr keeps the end of the time apart from the end of the interpreter.
func endedOr(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return fmt.Errorf("%w: %w", errEnded, err)
}

// encode is the percent-encoding of the worker: nothing that separates fields or lines is left.
func encode(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// resident is the memory of the process in bytes, or 0 when it cannot be told.
func (p *process) resident() int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/statm")
	words := strings.Fields(string(text))
	if err != nil || len(words) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(words[1], 10, 64) // 0 when it is none
	return pages * int64(os.Getpagesize())
}
