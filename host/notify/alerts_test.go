package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

var (
	shop  = lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("10.0.0.1:80"))
	one   = lvs.ServerKey(netip.MustParseAddrPort("10.0.0.2:80"))
	two   = lvs.ServerKey(netip.MustParseAddrPort("10.0.0.3:80"))
	spare = lvs.ServerKey(netip.MustParseAddrPort("10.0.0.9:80"))
)

// section has two real servers, and all mail goes to one address.
func section() Section {
	return Section{
		Mailing: Mailing{To: []string{"ops@example.com"}}, When: []Status{Starting, Running, Stopping, Reloading},
		Name: "Shop", Comment: "Call Bob", Servers: map[lvs.ServerKey]bool{one: true, two: true},
	}
}

func settings(s Section) Settings { return Settings{Sections: map[lvs.ServiceKey]Section{shop: s}} }

func change(c state.Change, server lvs.ServerKey) state.Transition {
	return state.Transition{
		At: time.Now(), Change: c, Service: shop, Virtual: "10.0.0.1:80", Server: server, Weight: 1, Fallback: server == spare,
		Verdict: sdk.DownWith(sdk.CodeRefused, "connection refused"), Check: "connect tcp " + state.CheckID(server.String()),
	}
}

// post collects mails instead of sending them: "STATUS TEXT", batches as one.
type post struct {
	mu    sync.Mutex // guards mails and fails
	mails []string
	fails int // as often
}

func (p *post) compose(_ Mailing, batch []Alert, lost int) delivery {
	return func(context.Context) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.fails > 0 {
			p.fails--
			return errors.New("no way")
		}
		text := batch[0].Status + " " + batch[0].named()
		if len(batch) > 1 || lost > 0 {
			text += fmt.Sprintf(" of %d, %d lost", len(batch), lost)
		}
		p.mails = append(p.mails, text)
		return nil
	}
}

// took returns what came since the last call.
func (p *post) took() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	mails := p.mails
	p.mails = nil
	return mails
}

func (p *post) want(t *testing.T, mails ...string) {
	t.Helper()
	synctest.Wait()
	if got := p.took(); !slices.Equal(got, mails) {
		t.Errorf("mails\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(mails, "\n"))
	}
}

// inBubble gives f alerts whose mails end in a post, and the log.
func inBubble(t *testing.T, s Settings, f func(t *testing.T, a *Alerts, p *post, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a, p := NewAlerts("web.cf", s, slog.New(slog.NewTextHandler(&log, nil))), &post{}
		a.compose, a.gather = p.compose, 0
		f(t, a, p, &log)
	})
}

func TestWhatIsMailed(t *testing.T) {
	s := section()
	s.When = []Status{Starting, Running, Stopping}
	inBubble(t, settings(s), func(t *testing.T, a *Alerts, p *post, _ *bytes.Buffer) {
		a.Take([]state.Transition{change(state.AddedService, lvs.ServerKey{}), change(state.Added, one), change(state.SoftFailure, one)})
		p.want(t, "starting [Shop] Added real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 1)")
		a.Enter(Running)
		a.Take([]state.Transition{change(state.Reweighted, one), change(state.Quiesced, one), change(state.Deviated, one), change(state.KeptServer, one)})
		p.want(t, "running [Shop] Quiescent real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 1)")
		a.Take([]state.Transition{change(state.Added, spare), change(state.FallbackStarted, lvs.ServerKey{})})
		p.want(t, "running [Shop] Added fallback server: 10.0.0.9:80 (10.0.0.1:80) (Weight set to 1)")
		a.Enter(Reloading)
		a.Take([]state.Transition{change(state.Restored, one)})
		p.want(t)
		a.Enter(Stopping)
		a.Enter(Running)
		purged := change(state.PurgedServer, two)
		purged.Phase = "stop"
		a.Take([]state.Transition{purged})
		p.want(t, "stopping [Shop] Purged real server (stop): 10.0.0.3:80 (10.0.0.1:80)")
		a.Close(t.Context())
	})
}

func TestRepeats(t *testing.T) {
	s := section()
	s.Every = time.Minute
	inBubble(t, settings(s), func(t *testing.T, a *Alerts, p *post, _ *bytes.Buffer) {
		inaccessible := "running [Shop] Inaccessible real server: 10.0.0.2:80 (10.0.0.1:80)"
		a.Enter(Running)
		a.Take([]state.Transition{change(state.Deleted, one), change(state.Deleted, spare)})
		synctest.Wait()
		p.took()
		time.Sleep(59 * time.Second)
		p.want(t)
		time.Sleep(time.Second)
		p.want(t, inaccessible)
		time.Sleep(3 * time.Minute)
		p.want(t, inaccessible, inaccessible, inaccessible)

		s.Every = 10 * time.Minute
		a.Configure(settings(s))
		a.Forget()
		time.Sleep(9 * time.Minute)
		p.want(t)
		time.Sleep(time.Minute)
		p.want(t, inaccessible)

		s.Every, s.Servers = time.Minute, map[lvs.ServerKey]bool{two: true} // one is removed while it is down
		a.Configure(settings(s))
		a.Forget()
		time.Sleep(time.Hour)
		p.want(t)

		a.Take([]state.Transition{change(state.Quiesced, two), change(state.Restored, two)})
		synctest.Wait()
		p.took()
		time.Sleep(time.Hour)
		p.want(t)
		a.Close(t.Context())
	})
}

// What leaves with a reload is told about in the words of the section that left, and settings that
// did not come into force leave no trace.
func TestReloads(t *testing.T) {
	inBubble(t, settings(section()), func(t *testing.T, a *Alerts, p *post, _ *bytes.Buffer) {
		a.Enter(Reloading)
		a.Configure(Settings{})
		a.Take([]state.Transition{change(state.PurgedServer, one)})
		p.want(t, "reloading [Shop] Purged real server (): 10.0.0.2:80 (10.0.0.1:80)")
		a.Configure(settings(section()))
		a.Take([]state.Transition{change(state.Deleted, one)})
		p.want(t, "reloading [Shop] Deleted real server: 10.0.0.2:80 (10.0.0.1:80)")
		s := settings(section())
		s.Mailing = Mailing{To: []string{"boss@example.com"}}
		a.Configure(s)
		a.ReloadFailed("/etc/ha.d/web.cf", "web.cf:1: no\x1b\nweb.cf:2: neither")
		p.want(t, "reloading Failed reload of /etc/ha.d/web.cf changed nothing")
		if n := len(a.routes); n != 2 {
			t.Errorf("%d routes", n)
		}
		a.Configure(Settings{})
		if n := len(a.routes); n != 0 {
			t.Errorf("%d routes are kept that nobody uses", n)
		}
		a.Close(t.Context())
	})
}

func TestFailuresAreTriedAgainForAnHour(t *testing.T) {
	inBubble(t, settings(section()), func(t *testing.T, a *Alerts, p *post, log *bytes.Buffer) {
		p.fails = 3
		begun := time.Now()
		a.Take([]state.Transition{change(state.Deleted, one)})
		time.Sleep(34 * time.Second)
		p.want(t)
		time.Sleep(time.Second) // 5 + 10 + 20
		p.want(t, "starting [Shop] Deleted real server: 10.0.0.2:80 (10.0.0.1:80)")
		if n := strings.Count(log.String(), "tried again"); n != 1 {
			t.Errorf("%d lines about tries:\n%s", n, log)
		}
		p.fails = 1000
		a.Take([]state.Transition{change(state.Added, one)})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		p.fails = 0
		a.Take([]state.Transition{change(state.Deleted, two)})
		p.want(t, "starting [Shop] Deleted real server: 10.0.0.3:80 (10.0.0.1:80) of 1, 1 lost")
		a.Take([]state.Transition{change(state.Added, two)})
		p.want(t, "starting [Shop] Added real server: 10.0.0.3:80 (10.0.0.1:80) (Weight set to 1)")
		if n := strings.Count(log.String(), "emailalert: not delivered"); n != 1 || !strings.Contains(log.String(), "earlier alerts were not delivered\" to=ops@example.com alerts=1") || time.Since(begun) > 3*time.Hour {
			t.Errorf("%d lines about the end:\n%s", n, log)
		}
		a.Close(t.Context())
	})
}

// A stop sends what waits, with one more try for each, and does not wait for tries to come.
func TestTheLastMails(t *testing.T) {
	inBubble(t, settings(section()), func(t *testing.T, a *Alerts, p *post, _ *bytes.Buffer) {
		p.fails = 1
		a.Take([]state.Transition{change(state.Deleted, one)})
		synctest.Wait()
		a.Enter(Stopping)
		a.Take([]state.Transition{change(state.PurgedServer, two)})
		begun := time.Now()
		a.Close(t.Context())
		p.want(t, "starting [Shop] Deleted real server: 10.0.0.2:80 (10.0.0.1:80)", "stopping [Shop] Purged real server (): 10.0.0.3:80 (10.0.0.1:80)")
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %s", took)
		}
	})
	inBubble(t, settings(section()), func(t *testing.T, a *Alerts, p *post, _ *bytes.Buffer) {
		p.fails = 100
		a.Take([]state.Transition{change(state.Deleted, one)})
		synctest.Wait()
		a.Close(t.Context())
		if tries := 100 - p.fails; tries != 2 {
			t.Errorf("%d tries", tries)
		}
	})
}

// A delivery that hangs holds up a stop as long as it may, and nothing else at all.
func TestAHungDelivery(t *testing.T) {
	inBubble(t, settings(section()), func(t *testing.T, a *Alerts, _ *post, log *bytes.Buffer) {
		a.compose = func(Mailing, []Alert, int) delivery {
			return func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}
		begun := time.Now()
		for range 5 {
			a.Take(storm(2000))
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("the engine waited %s", took)
		}
		o := a.routes[section().Mailing.key()]
		if n := len(o.waiting); n > alertsWaiting || o.lost < 5000 {
			t.Errorf("%d alerts wait, %d were lost", n, o.lost)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		a.Close(ctx)
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("the end took %s", took)
		}
		if !strings.Contains(log.String(), "alerts dropped") || strings.Count(log.String(), "not delivered") != 2 || !strings.Contains(log.String(), fmt.Sprintf("the daemon ends\" to=ops@example.com alerts=%d", alertsWaiting)) {
			t.Errorf("log:\n%s", log)
		}
	})
}

// storm takes n real servers down at once.
func storm(n int) []state.Transition {
	var ts []state.Transition
	for i := range n {
		ts = append(ts, change(state.Deleted, lvs.ServerKey(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80))))
	}
	return ts
}

func TestAStormComesInFewMails(t *testing.T) {
	inBubble(t, settings(section()), func(t *testing.T, a *Alerts, p *post, _ *bytes.Buffer) {
		a.gather = gatherFor
		a.Take(storm(alertsSingly))
		p.want(t)
		time.Sleep(gatherFor)
		synctest.Wait()
		if n := len(p.took()); n != alertsSingly {
			t.Errorf("%d mails of %d alerts", n, alertsSingly)
		}
		a.Take(storm(1000))
		time.Sleep(gatherFor / 2)
		a.Take(storm(1000))
		time.Sleep(5 * gatherFor)
		synctest.Wait()
		mails := p.took()
		if len(mails) != 4 || !strings.HasSuffix(mails[0], "of 500, 0 lost") || !strings.HasSuffix(mails[3], "of 500, 0 lost") {
			t.Errorf("%d mails:\n%s", len(mails), strings.Join(mails, "\n"))
		}
		a.Close(t.Context())
	})
}

// What comes just as fast as mail goes out does not wait in a crowd, and is one nevertheless.
func TestAStreamComesInFewMails(t *testing.T) {
	inBubble(t, settings(section()), func(t *testing.T, a *Alerts, p *post, _ *bytes.Buffer) {
		a.gather = gatherFor
		const pace = 15 * time.Millisecond
		a.compose = func(m Mailing, batch []Alert, lost int) delivery {
			send := p.compose(m, batch, lost)
			return func(ctx context.Context) error { time.Sleep(pace); return send(ctx) }
		}
		for range 1000 {
			a.Take([]state.Transition{change(state.Deleted, one)})
			time.Sleep(pace)
		}
		time.Sleep(2 * gatherFor)
		synctest.Wait()
		if n := len(p.took()); n > 2*alertsSingly {
			t.Errorf("%d mails of 1000 alerts", n)
		}
		a.Close(t.Context())
	})
}
