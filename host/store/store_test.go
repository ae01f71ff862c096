package store

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "web.cf.state")
	now := time.Now()
	web := lvs.ServiceAt(lvs.TCP, netip.MustParseAddrPort("[2001:db8::1]:80"))
	want := Content{
		Memory: state.Memory{
			Drained:         []state.ServerRef{{Service: web, Server: lvs.ServerKey(netip.MustParseAddrPort("[2001:db8::2]:80"))}},
			FallbackStarted: []state.StartedCommand{{Service: lvs.ServiceMark(5, lvs.IPv6), Command: "/bin/fb -x"}, {Service: web}},
		},
		Names: map[string]netip.Addr{"ip4 www": netip.MustParseAddr("10.0.0.2")},
	}
	if got, err := Load(path, now); err != nil || !reflect.DeepEqual(got, Content{}) {
		t.Errorf("without a file: got %+v, %v", got, err)
	}
	if err := Save(path, want, now); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(path, now.Add(time.Hour)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got, err := Load(path, now.Add(8*24*time.Hour)); err != nil || !reflect.DeepEqual(got, Content{}) {
		t.Errorf("after eight days: got %+v, %v", got, err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the file: %v, %v", left, err)
	}
}

func TestOtherBootIsForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	names := map[string]netip.Addr{"ip6 www": netip.MustParseAddr("2001:db8::2")}
	memory := state.Memory{FallbackStarted: []state.StartedCommand{{Service: lvs.ServiceMark(5, lvs.IPv4)}}}
	if err := Save(path, Content{memory, names}, time.Now()); err != nil {
		t.Fatal(err)
	}
	boot, err := bootID()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), boot, "another", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(path, time.Now()); err != nil || !reflect.DeepEqual(got, Content{Names: names}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBrokenFileSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(path, time.Now()); err == nil || !reflect.DeepEqual(got, Content{}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWriterKeepsTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	names := map[string]netip.Addr{"ip4 www": netip.MustParseAddr("10.0.0.2")}
	w := NewWriter(path, Content{}, func(err error) { t.Error(err) })
	w.Names(names)
	var want state.Memory
	for mark := range uint32(100) {
		want = state.Memory{FallbackStarted: []state.StartedCommand{{Service: lvs.ServiceMark(mark+1, lvs.IPv4)}}}
		w.Remember(want)
	}
	w.Close(t.Context())
	if got, err := Load(path, time.Now()); err != nil || !reflect.DeepEqual(got, Content{want, names}) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	w.Remember(state.Memory{}) // late, lost, and no panic
}

// TestWriterKeepsTheFileYoung shows that what a daemon remembers does not grow old while it runs.
func TestWriterKeepsTheFileYoung(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		want := state.Memory{FallbackStarted: []state.StartedCommand{{Service: lvs.ServiceMark(5, lvs.IPv4)}}}
		w := NewWriter(path, Content{}, func(err error) { t.Error(err) })
		w.Remember(want)
		time.Sleep(30 * 24 * time.Hour)
		synctest.Wait()
		if got, err := Load(path, time.Now()); err != nil || !reflect.DeepEqual(got.Memory, want) {
			t.Errorf("after 30 days: got %+v, %v", got, err)
		}
		w.Close(t.Context())
	})
}

func TestWriterSaysWhatFailed(t *testing.T) {
	var failed error
	w := NewWriter("/proc/nowhere/state", Content{}, func(err error) { failed = err })
	w.Remember(state.Memory{})
	w.Close(t.Context())
	if failed == nil {
		t.Error("a write into /proc succeeded")
	}
}

// TestWriterTriesAgain shows that what could not be written is written once it can be, without another
// change, and that one failure is told once.
func TestWriterTriesAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // in the way of the directory
		t.Fatal(err)
	}
	path := filepath.Join(dir, "web.cf.state")
	synctest.Test(t, func(t *testing.T) {
		failed := 0
		w := NewWriter(path, Content{}, func(error) { failed++ })
		want := state.Memory{FallbackStarted: []state.StartedCommand{{Service: lvs.ServiceMark(5, lvs.IPv4)}}}
		w.Remember(want)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if failed != 1 {
			t.Errorf("one reason was told %d times", failed)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got, err := Load(path, time.Now()); err != nil || !reflect.DeepEqual(got.Memory, want) {
			t.Errorf("two minutes after it could be written: got %+v, %v", got, err)
		}
		w.Close(t.Context())
	})
}

// A daemon that is killed while it writes leaves one file beside the state, however often.
func TestLeftoversAreOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path+".new", []byte("half of a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, Content{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside the file: %v, %v", left, err)
	}
}
