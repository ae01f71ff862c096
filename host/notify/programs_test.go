package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/sdk"
)

// The form that programs rely on.
const sampleJSON = `{"time":"2026-11-22T07:06:33Z","instance":"web.cf","host":"lb1","status":"running","change":"deleted",` +
	`"virtual":"10.0.0.1:80","protocol":"tcp","real":"10.0.0.2:80","fallback":false,"reason":"connection refused","code":"l4-refused",` +
	`"check":"connect tcp 10.0.0.2:80 3s","text":"Deleted real server: 10.0.0.2:80 (10.0.0.1:80)"}` + "\n"

func TestObject(t *testing.T) {
	if got := string(object(sample())); got != sampleJSON {
		t.Errorf("%s\nwant\n%s", got, sampleJSON)
	}
}

func TestNotifyCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	s := settings(section())
	s.Sections[shop] = Section{Name: "Shop", Comment: "Call <Bob>"} // no mail
	s.Command = "cat >>" + out + "; echo $# >>" + out
	a := NewAlerts("web.cf", s, slog.New(slog.DiscardHandler))
	down := change(state.Quiesced, one)
	down.Weight = 0
	a.Take([]state.Transition{down, change(state.Reweighted, one)})
	a.ReloadFailed("/etc/web.cf", "web.cf:1: no")
	a.Close(t.Context())
	text, err := os.ReadFile(out)
	lines := strings.Split(string(text), "\n")
	if err != nil || len(lines) != 5 || lines[1] != "0" {
		t.Fatalf("%q, %v", text, err)
	}
	var first, second map[string]any
	for i, into := range []*map[string]any{&first, &second} {
		if err := json.Unmarshal([]byte(lines[2*i]), into); err != nil {
			t.Fatalf("%v: %s", err, lines[2*i])
		}
	}
	if first["change"] != "quiescent" || first["weight"] != 0.0 || first["servicename"] != "Shop" || first["comment"] != "Call <Bob>" ||
		first["text"] != "Quiescent real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 0)" || first["reason"] != "connection refused" {
		t.Errorf("%v", first)
	}
	if second["change"] != "reload-failed" || second["reason"] != "web.cf:1: no" || second["weight"] != nil || second["instance"] != "web.cf" {
		t.Errorf("%v", second)
	}
}

func TestTooManyCommandsAreDroppedAndCounted(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	s := newShells("notifycommand", slog.New(slog.NewTextHandler(&log, nil)))
	s.limit = 100 * time.Millisecond
	o := order{line: "while [ -e " + gate + " ]; do :; done; :", log: s.log}
	for range queued + 10 {
		s.add("", o)
	}
	s.mu.Lock()
	s.waiting[""] = s.waiting[""][:1]
	s.mu.Unlock()
	s.close(t.Context())
	if strings.Count(log.String(), "too many are waiting") != 1 || strings.Count(log.String(), "too many were waiting") != 1 {
		t.Errorf("log:\n%s", &log)
	}
}

// hook is a server that answers with one status after the other, and then with the last.
type hook struct {
	*httptest.Server
	mu       sync.Mutex // guards the rest
	statuses []int
	got      []string
}

func newHook(t *testing.T, statuses ...int) *hook {
	h := &hook{statuses: statuses}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, pass, _ := r.BasicAuth()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, fmt.Sprintf("%s %s %s %s:%s %s", r.Method, r.URL, r.Header.Get("Content-Type"), user, pass, body))
		if h.statuses[0] == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(h.statuses[0])
		if len(h.statuses) > 1 {
			h.statuses = h.statuses[1:]
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func TestWebhook(t *testing.T) {
	for _, c := range []struct {
		about    string
		statuses []int
		requests int
		log      string
	}{
		{"works", []int{204}, 1, "webhook: [Shop] Deleted"},
		{"works the second time", []int{503, 200}, 2, "webhook: [Shop] Deleted"},
		{"refuses", []int{401}, 1, "status 401"},
		{"leads elsewhere", []int{302, 200}, 1, "status 302"},
	} {
		t.Run(c.about, func(t *testing.T) {
			h := newHook(t, c.statuses...)
			var log strings.Builder
			s := settings(section())
			s.Sections[shop] = Section{Name: "Shop"}
			s.Webhook = strings.Replace(h.URL, "//", "//me:pw@", 1) + "/in?token=geheim"
			a := NewAlerts("web.cf", s, slog.New(slog.NewTextHandler(&log, nil)))
			a.Take([]state.Transition{change(state.Deleted, one)})
			a.Close(t.Context())
			if len(h.got) != c.requests || !strings.HasPrefix(h.got[0], "POST /in?token=geheim application/json me:pw {") {
				t.Errorf("%q", h.got)
			}
			if !strings.Contains(log.String(), c.log) || strings.Contains(log.String(), "geheim") || strings.Contains(log.String(), "pw") {
				t.Errorf("log, want %q:\n%s", c.log, &log)
			}
		})
	}
}

func TestWebhookThatIsNotThere(t *testing.T) {
	for _, target := range []string{"http://me:pw@127.0.0.1:1/?geheim", "https://me:pw@" + newHook(t, 200).Listener.Addr().String() + "/geheim", "http://[bad/geheim"} {
		err := postOnce(t.Context(), newPoster(), target, []byte("{}"))
		if err == nil || strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "pw") {
			t.Errorf("%v", err)
		}
	}
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	if err := postOnce(t.Context(), newPoster(), tls.URL, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody signed: %v", err)
	}
}

// The status is the answer, whatever comes after it, and however slowly.
func TestWebhookThatGoesOn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-ctx.Done():
		}
	}))
	defer h.Close()
	if err := postOnce(ctx, newPoster(), h.URL, []byte("{}")); err != nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// Repeats reach programs as well.
func TestRepeatsReachPrograms(t *testing.T) {
	s := section()
	s.Every, s.To = time.Minute, nil
	with := settings(s)
	with.Webhook = "http://hook.example.com/"
	inBubble(t, with, func(t *testing.T, a *Alerts, _ *post, _ *bytes.Buffer) {
		var got []string
		a.routes[with.Webhook] = &outbox{log: a.log, over: a.over, hurry: a.hurry, running: &a.running, prepare: func(batch []Alert, _ int) delivery {
			return func(context.Context) error { got = append(got, batch[0].Change); return nil }
		}}
		a.Take([]state.Transition{change(state.Quiesced, one)})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if want := "quiescent inaccessible inaccessible"; strings.Join(got, " ") != want {
			t.Errorf("%q, want %s", got, want)
		}
		a.Close(t.Context())
	})
}

// block returns the blocks of docs/alerts.md of one kind.
func block(t *testing.T, kind string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+kind+"\n")
	example, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatalf("docs/alerts.md has no example of %s", kind)
	}
	return example
}

func TestExamplesOfTheDocument(t *testing.T) {
	a := sample()
	a.ServiceName, a.Comment = "Shop", "Call Bob"
	if got, want := subject([]Alert{a})+"\n", block(t, "subject"); got != want {
		t.Errorf("subject %s, want %s", got, want)
	}
	if got, want := body([]Alert{a}, 0), block(t, "mail"); got != want {
		t.Errorf("mail\n%s\nwant\n%s", got, want)
	}
	if got, want := string(object(a)), block(t, "json"); got != want {
		t.Errorf("object\n%s\nwant\n%s", got, want)
	}
	page, err := runProgram(t.Context(), object(a), "/bin/sh", "-c", block(t, "sh"))
	if want := "PAGE: " + a.Text; err != nil || page != want {
		t.Errorf("the command printed %q, %v, want %q", page, err, want)
	}
	m := &MonitorFiles{pid: 4711}
	var lines []byte
	for i, v := range []sdk.Verdict{sdk.Up(), sdk.Down("status 500, want 200 | 2xx"), sdk.Unknown("the check was ended")} {
		s := sighting("", strings.Replace(httpID, "10.4.0.11", "10.0.0.2", 1), v)
		s.At = time.Date(2026, 11, 22, 7, 6, 33+10*i, 0, time.Local)
		lines = m.line(lines, s)
	}
	if want := block(t, "monitor"); string(lines) != want {
		t.Errorf("monitorfile\n%s\nwant\n%s", lines, want)
	}
}
