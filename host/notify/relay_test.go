package notify

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// The mail server relays to another one that can nothing but RFC 821.
const eximConf = `primary_hostname = mail.example.com
daemon_smtp_ports = %d
local_interfaces = 127.0.0.1
spool_directory = /box/spool
log_file_path = /box/%%slog.log
exim_user = Debian-exim
exim_group = Debian-exim
tls_advertise_hosts = *
tls_certificate = /box/cert.pem
tls_privatekey = /box/key.pem
helo_accept_junk_hosts =
host_lookup =
acl_smtp_rcpt = recipients
acl_smtp_data = open
begin acl
open:
	accept
recipients:
	deny local_parts = gone
	accept
begin routers
all:
	driver = manualroute
	route_list = * 127.0.0.1
	self = send
	transport = relay
begin transports
relay:
	driver = smtp
	port = %d
	allow_localhost
	hosts_avoid_tls = *
`

// TestExim has a real mail server, with a certificate that nobody signed, relay alerts to a server that has no
// extensions at all.
func TestExim(t *testing.T) {
	s := newSink(t, map[string]string{"EHLO": "500 no"})
	addr := servers.Addr(t, "127.0.0.1")
	pair, err := sdktest.Certificate(100 * 24 * time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	servers.Server{
		Packages: []string{"exim4-daemon-light", "coreutils", "dash"},
		Users:    []string{"Debian-exim"},
		Prepare:  "mkdir -p spool && chown -R 900:900 spool\n",
		Command:  []string{"exim4", "-C", "/box/exim.conf", "-bdf", "-odf"},
		Files: map[string]string{
			"/box/exim.conf": fmt.Sprintf(eximConf, addr.Port(), netip.MustParseAddrPort(s.addr).Port()),
			"/box/cert.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
			"/box/key.pem":   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		},
		Listens: []netip.AddrPort{addr},
	}.Start(t)
	log, logged := journal(t)
	to := section()
	to.SMTP, to.To, to.Name = addr.String(), []string{"ops@example.com", "gone@example.com", "Boss <boss@example.com>"}, "Läden"
	a := NewAlerts("web.cf", settings(to), log)
	a.Take([]state.Transition{change(state.Deleted, one)})
	a.Close(t.Context())
	until(t, "the mail", func() bool { return s.count() > 0 })
	if got := s.transcript(); !strings.Contains(got, "RCPT TO:<ops@example.com> | RCPT TO:<boss@example.com> | DATA") {
		t.Errorf("%s\n%s", got, logged())
	}
	_, body := parse(t, []byte(s.mails[0]))
	if !strings.Contains(s.mails[0], "with esmtps") || !strings.Contains(s.mails[0], "Subject: =?utf-8?q?[L=C3=A4den]") || !strings.Contains(body, "Service name: L=C3=A4den") {
		t.Errorf("%s", s.mails[0])
	}
	if got := logged(); !strings.Contains(got, "emailalert: [Läden] Deleted real server: 10.0.0.2:80 (10.0.0.1:80)") || strings.Count(got, "ERROR") != 1 ||
		!strings.Contains(got, "gone@example.com refused: 550 ") {
		t.Errorf("log:\n%s", got)
	}
}

// A recipient that is refused for now holds up no alert to others, and gets all of them later.
func TestRecipientsDoNotWaitForOneAnother(t *testing.T) {
	t.Parallel()
	s := newSink(t, map[string]string{"RCPT TO:<TWO": "451 greylisted THEN 451 greylisted THEN 451 greylisted THEN 250 ok"})
	log, logged := journal(t)
	to := section()
	to.SMTP, to.To = s.addr, []string{"one@example.com", "two@example.com"}
	a := NewAlerts("web.cf", settings(to), log)
	a.gather = 0
	mails := func(n int) func() bool {
		return func() bool { return s.count() >= n }
	}
	a.Take([]state.Transition{change(state.Deleted, one)})
	until(t, "the first mail", mails(1))
	begun := time.Now()
	a.Take([]state.Transition{change(state.Added, one)})
	until(t, "the second mail", mails(2))
	if took := time.Since(begun); took > backoffFirst {
		t.Errorf("the second alert waited %s", took)
	}
	until(t, "three tries", func() bool { return strings.Count(s.transcript(), "RCPT TO:<two@example.com>") >= 3 })
	a.Close(t.Context())
	for _, mail := range []string{"To: one@example.com, two@example.com; Deleted", "To: one@example.com, two@example.com; Added", "To: two@example.com; Deleted", "To: two@example.com; Added"} {
		to, text, _ := strings.Cut(mail, "; ")
		n := 0
		for _, got := range s.mails {
			m, _ := parse(t, []byte(got))
			if "To: "+m.Header.Get("To") == to && strings.Contains(m.Header.Get("Subject"), text) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: %d times", mail, n)
		}
	}
	if s.count() != 4 || strings.Contains(logged(), "ERROR") {
		t.Errorf("%d mails; log:\n%s", s.count(), logged())
	}
}

// What some have got is no failure of the rest of what is said; who is refused is said once.
func TestSomeRecipientsAreRefused(t *testing.T) {
	s := newSink(t, map[string]string{"RCPT TO:<TWO": "550 unknown"})
	log, logged := journal(t)
	to := section()
	to.SMTP, to.To = s.addr, []string{"one@example.com", "two@example.com"}
	a := NewAlerts("web.cf", settings(to), log)
	a.Take([]state.Transition{change(state.Deleted, one), change(state.Added, one)})
	a.Close(t.Context())
	if got := logged(); strings.Count(got, "emailalert: [Shop] ") != 2 || strings.Count(got, "ERROR") != 1 || !strings.Contains(got, "two@example.com refused: 550 unknown") {
		t.Errorf("log:\n%s", got)
	}
	if s.count() != 2 {
		t.Errorf("%d mails", s.count())
	}
}

// A server that hangs, wherever it does, costs a try; one that closes as well.
func TestSMTPHangsAnywhere(t *testing.T) {
	for _, phase := range []string{"GREETING", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "."} {
		for _, how := range []string{"hang", "close"} {
			t.Run(phase+" "+how, func(t *testing.T) {
				t.Parallel()
				answers := map[string]string{phase: how}
				if phase == "STARTTLS" {
					answers["EHLO"] = "250-sink\r\n250 STARTTLS"
				}
				s := newSink(t, answers)
				e := letterTo(s.addr, "one@example.com")
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				begun := time.Now()
				err := e.send(ctx)
				plain := phase == "STARTTLS" && how == "close" // it goes on without
				if (err == nil) != plain || errors.Is(err, errFinal) {
					t.Errorf("%v", err)
				}
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				if phase == "STARTTLS" && how == "hang" {
					if err := e.send(t.Context()); err != nil || s.count() != 1 {
						t.Errorf("without TLS: %v, %d mails", err, s.count())
					}
				}
			})
		}
	}
}

// A farewell that never comes delays the next mail hardly.
func TestSMTPWithoutAFarewell(t *testing.T) {
	t.Parallel()
	s := newSink(t, map[string]string{"QUIT": "hang"})
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := letterTo(s.addr, "one@example.com").send(ctx); err != nil {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
}

// A server that takes mails and does not say so is not sent the same one for an hour.
func TestSMTPThatDoesNotSay(t *testing.T) {
	s := newSink(t, map[string]string{".": "close"})
	e := letterTo(s.addr, "one@example.com")
	for range maxUnsure - 1 {
		if err := e.send(t.Context()); err == nil || errors.Is(err, errFinal) {
			t.Errorf("%v", err)
		}
	}
	if err := e.send(t.Context()); !errors.Is(err, errFinal) || s.count() != maxUnsure {
		t.Errorf("%v, %d mails", err, s.count())
	}
}

func TestSenders(t *testing.T) {
	for from, want := range map[string]string{
		"": "root@lb1", "a@example.com": "a@example.com", `"ldirectord Alerts" <a@example.com>`: "a@example.com",
		`"ldirectord Alerts" <>`: "root@lb1", `"a@example.com"`: "a@example.com", "LB Alerts a@example.com": "root@lb1",
		"a@example.com (LB)": "a@example.com", "root": "root@lb1", "Läden <a@example.com>": "a@example.com",
	} {
		if got := (letter{mailing: Mailing{From: from}, host: "lb1"}).sender(); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

// An address that is not ASCII stays the same, and the server is told where it can be.
func TestAddressesThatAreNotASCII(t *testing.T) {
	for ehlo, mail := range map[string]string{"250-sink\r\n250 8BITMIME": "", "250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8": " BODY=8BITMIME SMTPUTF8"} {
		s := newSink(t, map[string]string{"EHLO": ehlo})
		to := section()
		to.SMTP, to.From, to.To = s.addr, "a@example.com", []string{"Jürgen <jürgen@example.com>"}
		a := NewAlerts("web.cf", settings(to), slog.New(slog.DiscardHandler))
		a.Take([]state.Transition{change(state.Deleted, one)})
		a.Close(t.Context())
		if got := s.transcript(); !strings.Contains(got, "MAIL FROM:<a@example.com>"+mail+" | RCPT TO:<jürgen@example.com> |") {
			t.Errorf("%s", got)
		}
		if !bytes.Contains([]byte(s.mails[0]), []byte("To: =?utf-8?q?J=C3=BCrgen?= <jürgen@example.com>\r\n")) {
			t.Errorf("%s", s.mails[0])
		}
	}
}
