package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/notify"
	"github.com/ldirectord/ldirectord/lvs"
)

// readConfig loads text as the daemon does.
func readConfig(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.cf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return load(t.Context(), &config.Loader{OpenCatalog: testKinds(t).open}, path)
}

func TestSettingsOfAConfiguration(t *testing.T) {
	cfg, err := readConfig(t, `emailalert = "ops@example.com, boss@example.com"
emailalertfrom = "LB" <lb@example.com>
emailalertfreq = 60
smtp = mail.example.com
notifycommand = "/usr/local/bin/alert"
webhook = "https://hook.example.com/x"
virtual = 10.0.0.1:80
	real = 10.0.0.2->10.0.0.3:80 masq
	checktype = connect
	servicename = Shop
	comment = Call Bob
	emailalertstatus = running,stopping
virtual = 10.0.0.1:81
	real = 10.0.0.2:80 masq
	checktype = off
	emailalert = web@example.com
	smtp = 10.0.0.25:2525
`)
	if err != nil {
		t.Fatal(err)
	}
	s := settingsOf(cfg)
	if s.Command != "/usr/local/bin/alert" || s.Webhook != "https://hook.example.com/x" || s.SMTP != "mail.example.com" || len(s.To) != 2 {
		t.Errorf("%+v", s)
	}
	one := s.Sections[lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80"))]
	if !slices.Equal(one.To, []string{"ops@example.com", "boss@example.com"}) || one.From != `"LB" <lb@example.com>` || one.Every != time.Minute ||
		!slices.Equal(one.When, []notify.Status{notify.Running, notify.Stopping}) || one.Name != "Shop" || one.Comment != "Call Bob" || len(one.Servers) != 2 {
		t.Errorf("%+v", one)
	}
	two := s.Sections[lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:81"))]
	if !slices.Equal(two.To, []string{"web@example.com"}) || two.SMTP != "10.0.0.25:2525" || two.Every != 0 || len(two.When) != 4 {
		t.Errorf("%+v", two)
	}
}

func TestAlertsThatReachNobody(t *testing.T) {
	const section = "virtual = 10.0.0.1:80\n\treal = 10.0.0.2:80 masq\n\tchecktype = connect\n"
	cfg, err := readConfig(t, "quiescent = no\nemailalert = \"root, not an address, Ops <ops@example.com>\"\nemailalertfrom = \"a@example.com\"\n"+section+"\temailalert = @\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range cfg.Warnings {
		_, at, _ := strings.Cut(w.String(), "web.cf")
		got = append(got, at)
	}
	want := []string{`:2:1: emailalert: found "not an address", expected an e-mail address`, `:3:1: emailalertfrom: found "\"a@example.com\"", expected an e-mail address, as in lb@example.com or "LB alerts" <lb@example.com>`,
		`:7:2: emailalert: found "@", expected an e-mail address`}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, webhook := range []string{"ftp://me:geheim@host/", "//me:geheim@host", "http://", "http://[geheim", "geheim"} {
		_, err := readConfig(t, "webhook = \""+webhook+"\"\n"+section)
		var bad *config.Errors
		if !errors.As(err, &bad) || !strings.Contains(bad.Error(), "web.cf:1:1: webhook: ") || strings.Contains(bad.Error(), "geheim") {
			t.Errorf("%s: %v", webhook, err)
		}
	}
}
