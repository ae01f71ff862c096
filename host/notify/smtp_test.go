package notify

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
)

// sink is a mail server that keeps what it gets. answers, by the first word or words of a command in upper
// case, replace what it says; "GREETING" is one of them, and ".": the end of a mail. An answer that ends in
// " THEN " is given once, what follows is the next; "hang" and "close" are what they say.
type sink struct {
	addr string

	mu      sync.Mutex // guards the rest
	answers map[string]string
	heard   []string // commands
	mails   []string
}

func newSink(t *testing.T, answers map[string]string) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: l.Addr().String(), answers: answers}
	var sessions sync.WaitGroup
	sessions.Go(func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		sessions.Wait()
	})
	return s
}

func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	say := func(command, usual string) {
		switch answer := s.answer(command, usual); answer {
		case "hang":
			_, _ = io.Copy(io.Discard, r)
		case "close":
			conn.Close()
		default:
			_, _ = io.WriteString(conn, answer+"\r\n")
		}
	}
	say("GREETING", "220 sink")
	var text *strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch {
		case text != nil && line != ".\r\n":
			text.WriteString(strings.TrimPrefix(line, "."))
			continue
		case text != nil:
			s.mu.Lock()
			s.mails = append(s.mails, text.String())
			s.mu.Unlock()
			text = nil
			say(".", "250 kept")
			continue
		case strings.HasPrefix(line, "DATA"):
			say(line, "354 go on")
			if s.answer("DATA", "") == "" {
				text = &strings.Builder{}
			}
		case strings.HasPrefix(line, "EHLO"):
			say(line, "250-sink\r\n250 8BITMIME")
		default:
			say(line, "250 ok")
		}
		s.mu.Lock()
		s.heard = append(s.heard, strings.TrimSpace(line))
		s.mu.Unlock()
	}
}

// answer is what to say to a command.
func (s *sink) answer(command, usual string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, answer := range s.answers {
		if strings.HasPrefix(strings.ToUpper(command), key) {
			first, rest, more := strings.Cut(answer, " THEN ")
			if more {
				s.answers[key] = rest
			}
			return first
		}
	}
	return usual
}

// count is how many mails came.
func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mails)
}

// transcript is the commands that came, on one line.
func (s *sink) transcript() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.heard, " | ")
}

func letterTo(server string, to ...string) *envelope {
	e := &envelope{server: server, host: "director.example.com", from: "a@example.com", to: to, text: []byte("Subject: x\r\n\r\n.dot\r\n")}
	e.later = func(to []string) { e.to = to }
	return e
}

func TestSMTP(t *testing.T) {
	s := newSink(t, nil)
	if err := letterTo(s.addr, "one@example.com", "two@example.com").send(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := "EHLO director.example.com | MAIL FROM:<a@example.com> | RCPT TO:<one@example.com> | RCPT TO:<two@example.com> | DATA | QUIT"
	if got := s.transcript(); got != want || s.mails[0] != "Subject: x\r\n\r\n.dot\r\n" {
		t.Errorf("%s\nwant %s\n%q", got, want, s.mails)
	}
}

func TestSMTPRefusals(t *testing.T) {
	for _, c := range []struct {
		about   string
		answers map[string]string
		kind    error // nil: another try may mend it
		reason  string
		mails   int
		left    int // recipients for another try
	}{
		{"greeting, for now", map[string]string{"GREETING": "421 busy\x1b[31m"}, nil, `421 busy\x1b[31m`, 0, 2},
		{"greeting, for good", map[string]string{"GREETING": "554 go away"}, errFinal, "554 go away", 0, 2},
		{"not a mail server", map[string]string{"GREETING": "HTTP/1.1 400 Bad Request"}, nil, "", 0, 2},
		{"sender", map[string]string{"MAIL": "550 nobody"}, errFinal, "550 nobody", 0, 2},
		{"one recipient, for good", map[string]string{"RCPT TO:<ONE": "550 unknown"}, errPartly, "one@example.com refused: 550 unknown", 1, 0},
		{"one recipient, for now", map[string]string{"RCPT TO:<TWO": "451 greylisted"}, nil, "none", 1, 1},
		{"all recipients", map[string]string{"RCPT": "550 unknown"}, errFinal, "two@example.com refused", 0, 0},
		{"text, for now", map[string]string{".": "452 full"}, nil, "452 full", 1, 2},
		{"text, for good", map[string]string{".": "554 spam"}, errFinal, "554 spam", 1, 2},
		{"data", map[string]string{"DATA": "503 no"}, errFinal, "503 no", 0, 2},
		{"tls that does not work", map[string]string{"EHLO": "250-sink\r\n250 STARTTLS", "STARTTLS": "220 go\r\nnonsense"}, nil, "none", 1, 0},
		{"one for now, one for good", map[string]string{"RCPT TO:<ONE": "550 unknown", "RCPT TO:<TWO": "451 greylisted"}, nil, "451 greylisted", 0, 1},
		{"tls that does not work now, and has to", map[string]string{"EHLO": "250-sink\r\n250 STARTTLS", "STARTTLS": "454 not now", "MAIL": "530 first STARTTLS"}, nil, "454 not now", 0, 2},
		{"an odd yes", map[string]string{"MAIL": "251 ok", ".": "200 ok"}, nil, "none", 1, 0},
	} {
		t.Run(c.about, func(t *testing.T) {
			t.Parallel()
			s := newSink(t, c.answers)
			e := letterTo(s.addr, "one@example.com", "two@example.com")
			err := e.send(t.Context())
			if (err == nil) != (c.reason == "none") {
				t.Fatalf("%v", err)
			}
			if err != nil && (errors.Is(err, errFinal) != (c.kind == errFinal) || errors.Is(err, errPartly) != (c.kind == errPartly) || !strings.Contains(err.Error(), c.reason) || strings.Contains(err.Error(), "\x1b")) {
				t.Errorf("%v, want %q, %v", err, c.reason, c.kind)
			}
			if s.count() != c.mails || len(e.to) != c.left {
				t.Errorf("%d mails, %d recipients left; %s", s.count(), len(e.to), s.transcript())
			}
		})
	}
}

// A server that hangs, drips or never ends costs a try, no more.
func TestSMTPFaults(t *testing.T) {
	for about, serve := range map[string]func(net.Conn){
		"hangs":  func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"closes": func(net.Conn) {},
		"never ends": func(c net.Conn) {
			for {
				if _, err := c.Write(make([]byte, 65536)); err != nil {
					return
				}
			}
		},
		"drips": func(c net.Conn) {
			for { // paced by the reader's deadline, not by ours
				if _, err := io.WriteString(c, "2"); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if c, err := l.Accept(); err == nil {
					serve(c)
					c.Close()
				}
			}()
			limit := 300 * time.Millisecond
			if about == "never ends" {
				limit = time.Minute // what comes is too much long before
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			begun := time.Now()
			if err := letterTo(l.Addr().String(), "one@example.com").send(ctx); err == nil || errors.Is(err, errFinal) {
				t.Errorf("%v", err)
			}
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
			l.Close()
			<-done
		})
	}
	if err := letterTo("127.0.0.1:1", "one@example.com").send(t.Context()); err == nil || errors.Is(err, errFinal) {
		t.Errorf("refused: %v", err)
	}
}

func TestServerNames(t *testing.T) {
	for server, want := range map[string]string{
		"mail": "mail:25", "mail:587": "mail:587", "::1": "[::1]:25", "[::1]": "[::1]:25", "[::1]:26": "[::1]:26", "10.0.0.1": "10.0.0.1:25",
	} {
		if got := (&envelope{server: server}).addr(); got != want {
			t.Errorf("%s: %s, want %s", server, got, want)
		}
	}
}

func sample() Alert {
	return Alert{
		Time: time.Date(2026, 11, 22, 7, 6, 33, 0, time.UTC), Instance: "web.cf", Host: "lb1", Status: "running", Change: "deleted",
		Virtual: "10.0.0.1:80", Protocol: "tcp", Real: "10.0.0.2:80", Reason: "connection refused", Code: "l4-refused",
		Check: "connect tcp 10.0.0.2:80 3s", Text: "Deleted real server: 10.0.0.2:80 (10.0.0.1:80)",
	}
}

func parse(t *testing.T, text []byte) (*mail.Message, string) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		if len(line) > 998 || !strings.HasSuffix(line, "\r\n") && line != string(text) && !strings.HasSuffix(string(text), line) {
			t.Errorf("line %.60q of %d bytes", line, len(line))
		}
		if !ascii(line) {
			t.Errorf("bytes that are not ASCII: %q", line)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	return m, string(body)
}

func TestLetter(t *testing.T) {
	l := letter{mailing: Mailing{To: []string{"one@example.com", "Two <two@example.com>"}, From: `"ld alerts" <a@example.com>`}, host: "lb1"}
	a := sample()
	a.ServiceName, a.Comment = "Shop", "Call Bob"
	m, body := parse(t, l.write([]Alert{a}, 0))
	for name, want := range map[string]string{
		"From": `"ld alerts" <a@example.com>`, "To": "one@example.com, Two <two@example.com>", "Auto-Submitted": "auto-generated",
		"Subject": "[Shop] Deleted real server: 10.0.0.2:80 (10.0.0.1:80)", "Content-Transfer-Encoding": "7bit",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if date, err := m.Header.Date(); err != nil || time.Since(date) > time.Minute || !strings.HasSuffix(m.Header.Get("Message-ID"), "@lb1>") {
		t.Errorf("date %v, %v; id %s", date, err, m.Header.Get("Message-ID"))
	}
	want := `ldirectord host: lb1
Log-Message: [Shop] Deleted real server: 10.0.0.2:80 (10.0.0.1:80)
Daemon-Status: running
Time: Sun, 22 Nov 2026 07:06:33 +0000
Configuration: web.cf

Service name: Shop
Comment: Call Bob

Reason: connection refused
Check: connect tcp 10.0.0.2:80 3s
`
	if got := strings.ReplaceAll(body, "\r\n", "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if sender := l.sender(); sender != "a@example.com" {
		t.Errorf("sender %s", sender)
	}
}

func TestLetterOfManyAlerts(t *testing.T) {
	l := letter{mailing: Mailing{To: []string{"root"}, SMTP: "mail"}, host: "lb1"}
	m, body := parse(t, l.write([]Alert{sample(), sample(), sample()}, 7))
	if got := m.Header.Get("Subject"); got != "Deleted real server: 10.0.0.2:80 (10.0.0.1:80) (and 2 more)" || m.Header.Get("From") != "root@lb1" {
		t.Errorf("subject %q from %q", got, m.Header.Get("From"))
	}
	if strings.Count(body, "Log-Message: ") != 3 || !strings.Contains(body, "7 earlier alerts were dropped") {
		t.Errorf("%s", body)
	}
}

// Text of operators and servers ends no header and no line, whatever is in it.
func TestLetterOfHostileText(t *testing.T) {
	evil := "x\r\nBcc: victim@example.com\r\n\r\nbody\x00\x1b[2J"
	l := letter{mailing: Mailing{To: []string{"Jürgen <j@example.com>", evil}, From: "Ölwerk <ö@example.com>" + evil}, host: "lb1"}
	a := sample()
	tr := change(state.Deleted, one)
	tr.Verdict.Reason = "got \"\x1b]0;\xff\r\n.\r\nQUIT\" ü" + strings.Repeat("long ", 3000)
	a.Reason = alertOf(tr).Reason
	a.ServiceName = printable("Läden "+strings.Repeat("und Läden ", 20)+evil, maxText)
	m, body := parse(t, l.write([]Alert{a}, 0))
	if len(m.Header) != 9 || m.Header.Get("Bcc") != "" {
		t.Errorf("headers %v", m.Header)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || !strings.HasPrefix(subject, "[Läden und Läden") || strings.ContainsAny(subject, "\r\n\x1b") {
		t.Errorf("subject %q, %v", subject, err)
	}
	if len(body) > 10_000 || strings.Contains(body, "\r\nBcc") || strings.Contains(body, "\x1b") || !strings.Contains(body, "=C3=BC") {
		t.Errorf("%d bytes\n%s", len(body), body)
	}
}

func TestSendmail(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "sendmail")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$*\" >"+dir+"/args\ncat >"+dir+"/mail\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s := settings(section())
	a := NewAlerts("web.cf", s, slog.New(slog.NewTextHandler(&log, nil)))
	a.sendmail.places = []string{dir + "/missing", program}
	a.Take([]state.Transition{change(state.Deleted, one)})
	a.Close(t.Context())
	args, _ := os.ReadFile(dir + "/args")
	text, err := os.ReadFile(dir + "/mail")
	if err != nil || string(args) != "-t -i\n" {
		t.Fatalf("%q, %v\n%s", args, err, &log)
	}
	if strings.Contains(string(text), "\r") {
		t.Errorf("line ends of SMTP: %q", text)
	}
	m, _ := parse(t, []byte(strings.ReplaceAll(string(text), "\n", "\r\n")))
	if m.Header.Get("To") != "ops@example.com" || m.Header.Get("From") != "" {
		t.Errorf("%v", m.Header)
	}
}

func TestSendmailFails(t *testing.T) {
	failing := sendmail{places: []string{"/bin/false"}}
	if err := failing.send(t.Context(), nil); err == nil || errors.Is(err, errFinal) {
		t.Errorf("%v", err)
	}
	program := filepath.Join(t.TempDir(), "sendmail")
	for _, c := range []struct {
		does       string
		good, kept bool
	}{
		{"exec 3<&0; sleep 5 & exit 0", true, false}, // it goes on in the background
		{"exit 0", true, false},                      // and reads nothing
		{"exit 75", false, true}, {"exit 1", false, true}, {"exit 67", false, false}, {"kill -9 $$", false, true},
		{"yes | head -c 3000000; exit 75", false, true},
	} {
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+c.does+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		err := sendmail{places: []string{program}}.send(t.Context(), make([]byte, 300_000))
		if (err == nil) != c.good || err != nil && (errors.Is(err, errFinal) == c.kept || len(err.Error()) > 1000) {
			t.Errorf("%s: %v", c.does, err)
		}
	}
	var log strings.Builder
	a := NewAlerts("web.cf", settings(section()), slog.New(slog.NewTextHandler(&log, nil)))
	a.sendmail.places = []string{"/nowhere/sendmail"}
	a.Take([]state.Transition{change(state.Deleted, one), change(state.Added, one), change(state.Deleted, one)})
	a.Close(t.Context())
	if strings.Count(log.String(), "no sendmail on this machine") != 1 {
		t.Errorf("log:\n%s", &log)
	}
}
