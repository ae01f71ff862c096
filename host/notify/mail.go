package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"
)

// key tells mailings apart.
func (m Mailing) key() string {
	return strings.Join(append([]string{m.SMTP, m.From}, m.To...), "\x00")
}

// letter makes a batch of alerts into one mail to all recipients, and returns how to deliver it.
func (a *Alerts) letter(m Mailing, batch []Alert, lost int) delivery {
	l := letter{mailing: m, host: a.host}
	text := l.write(batch, lost)
	if m.SMTP == "" {
		return func(ctx context.Context) error { return a.sendmail.send(ctx, text) }
	}
	e := &envelope{server: m.SMTP, host: a.host, from: l.sender(), text: text}
	e.later = func(to []string) { a.apart(m, to, batch) }
	for _, to := range m.To {
		e.to = append(e.to, bare(to))
	}
	return e.send
}

// apart queues alerts for recipients of a mailing that a mail server refuses for now, by themselves.
func (a *Alerts) apart(m Mailing, to []string, batch []Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range to {
		for _, alert := range batch {
			a.mailTo(Mailing{To: []string{one}, From: m.From, SMTP: m.SMTP}, alert)
		}
	}
}

// letter is a mail (RFC 5322).
type letter struct {
	mailing Mailing
	host    string
}

// write writes it, with line ends as SMTP wants them.
func (l letter) write(batch []Alert, lost int) []byte {
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	if from := l.from(); from != "" {
		header("From", from)
	}
	var to []string
	for _, one := range l.mailing.To {
		to = append(to, address(one))
	}
	header("To", strings.Join(to, ",\r\n "))
	header("Subject", subject(batch))
	header("Date", time.Now().Format(time.RFC1123Z))
	header("Message-ID", "<"+rand.Text()+"@"+l.host+">")
	header("Auto-Submitted", "auto-generated") // RFC 3834: nobody is to answer
	header("MIME-Version", "1.0")
	body := body(batch, lost)
	if plain(body) {
		header("Content-Type", "text/plain; charset=us-ascii")
		header("Content-Transfer-Encoding", "7bit")
		b.WriteString("\r\n" + strings.ReplaceAll(body, "\n", "\r\n"))
		return b.Bytes()
	}
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.ReplaceAll(body, "\n", "\r\n"))) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// from is the From header; "" leaves it to the local mail system.
func (l letter) from() string {
	switch {
	case l.mailing.From != "":
		return address(l.mailing.From)
	case l.mailing.SMTP != "":
		return "root@" + l.host
	default:
		return ""
	}
}

// sender is the address that a mail server is told, and that bounces go to.
func (l letter) sender() string {
	from := strings.Trim(bare(l.mailing.From), `"`) // quotes around the whole are for the header
	if _, err := mail.ParseAddress(from); err != nil {
		return "root@" + l.host
	}
	return from
}

// subject is the line of the log; of several, the first.
func subject(batch []Alert) string {
	text := batch[0].named()
	if n := len(batch) - 1; n > 0 {
		text = fmt.Sprintf("%s (and %d more)", text, n)
	}
	// Words that are encoded stand in lines of their own: RFC 2047 has 76 bytes for one.
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", printable(text, 2*maxText)), "?= =?", "?=\r\n =?")
}

// body is what there is to say. The labels of the first lines are the Perl ldirectord's, since
// mails are sorted by them.
func body(batch []Alert, lost int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ldirectord host: %s\n", batch[0].Host)
	for i := range batch {
		if i > 0 {
			b.WriteString("\n")
		}
		batch[i].write(&b)
	}
	if lost > 0 {
		fmt.Fprintf(&b, "\n%d earlier alerts were dropped, since mail could not be delivered.\n", lost)
	}
	return b.String()
}

func (a *Alert) write(b *strings.Builder) {
	fmt.Fprintf(b, "Log-Message: %s\nDaemon-Status: %s\n", a.named(), a.Status)
	fmt.Fprintf(b, "Time: %s\nConfiguration: %s\n", a.Time.Format(time.RFC1123Z), a.Instance)
	if a.ServiceName != "" || a.Comment != "" {
		b.WriteString("\n")
	}
	for _, line := range []struct{ label, text string }{
		{"Service name", a.ServiceName}, {"Comment", a.Comment}, {"\nReason", a.Reason}, {"Check", a.Check},
	} {
		if line.text != "" {
			fmt.Fprintf(b, "%s: %s\n", line.label, line.text)
		}
	}
}

// plain tells whether a body may stand as it is: ASCII, in lines that RFC 5322 allows.
func plain(body string) bool {
	for line := range strings.Lines(body) {
		if len(line) > 900 {
			return false
		}
	}
	return ascii(body)
}

func ascii(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > 126 }) < 0
}

// address is a From or To header. What an operator wrote stands as it is, but for bytes that would end the
// header, and for names that are not ASCII, which are encoded.
func address(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 127 {
			return ' '
		}
		return r
	}, text)
	if ascii(text) {
		return text
	}
	if parsed, err := mail.ParseAddress(text); err == nil {
		return parsed.String() // an address that is not ASCII stays what it is: another one would be somebody else
	}
	return strings.Map(func(r rune) rune {
		if r > 126 {
			return '?'
		}
		return r
	}, text)
}

// bare is the address in "Name <address>", as a mail server is told it.
func bare(text string) string {
	if parsed, err := mail.ParseAddress(address(text)); err == nil {
		return parsed.Address
	}
	_, in, found := strings.Cut(address(text), "<") // what is no address by the letter, such as root
	if found {
		text, _, _ = strings.Cut(in, ">")
	}
	return strings.TrimSpace(address(text))
}
