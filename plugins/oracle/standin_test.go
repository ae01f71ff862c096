package main

import (
	"bytes"
	"io"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest"
)

// slow is a deadline that nothing here should come near.
const slow = 20 * time.Second

// with are the right options, but for some.
func with(changed sdk.Options) sdk.Options {
	o := rightOptions()
	maps.Copy(o, changed)
	return o
}

// TestStandIn has the real client library log in and query.
func TestStandIn(t *testing.T) {
	for name, c := range map[string]struct {
		server standIn
		o      sdk.Options
		want   string
	}{
		"row":              {server: standIn{rows: 1}, want: "up"},
		"rows":             {server: standIn{rows: 3}, want: "up"},
		"no row":           {want: "down l7-status: the query gives no row"},
		"wrong password":   {o: sdk.Options{"passwd": "lion"}, want: "down l7-auth: ORA-01017: invalid username/password; logon denied"},
		"no password":      {o: sdk.Options{"passwd": ""}, want: "down l7-auth: ORA-01017"},
		"unknown login":    {o: sdk.Options{"login": "adams"}, want: "down l7-auth: ORA-01017"},
		"no table":         {server: standIn{ora: 942}, want: "down l7-status: ORA-00942: as the test wants it"},
		"shutting down":    {server: standIn{ora: 1089}, want: "down l7-status: ORA-01089: as the test wants it"},
		"change":           {server: standIn{changed: 1}, o: sdk.Options{"request": "UPDATE t SET x = 1"}, want: "up"},
		"no change":        {o: sdk.Options{"request": " delete FROM t"}, want: "down l7-status: the query gives no row"},
		"no right":         {server: standIn{ora: 1031}, o: sdk.Options{"request": "UPDATE t SET x = 1"}, want: "down l7-status: ORA-01031"},
		"long descriptor":  {server: standIn{rows: 1}, o: sdk.Options{"database": strings.Repeat("x", 250)}, want: "up"},
		"without database": {server: standIn{rows: 1}, o: sdk.Options{"database": ""}, want: "up"},
		"long query":       {server: standIn{rows: 1}, o: sdk.Options{"request": "SELECT '" + strings.Repeat("x", 20_000) + "' FROM dual"}, want: "up"},
	} {
		for _, large := range []bool{false, true} {
			for _, markers := range []bool{false, true} {
				s := c.server
				s.login, s.large, s.markers = "scott", large, markers
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					try(t, sdktest.TCP(s.serve), with(c.o), slow, c.want)
				})
			}
		}
	}
}

// TestMisdeeds has each answer of the stand-in go wrong in every way.
func TestMisdeeds(t *testing.T) {
	want := map[string]string{
		"cut": "down l7-closed", "gone": "down l7-closed", "junk": "down l7-protocol",
		"hang": "down l7-timeout", "mute": "down l7-timeout", "drip": "down l7-timeout",
	}
	for i, stage := range stages {
		for _, how := range misdeeds {
			t.Run(stage+"/"+how, func(t *testing.T) {
				t.Parallel()
				s := standIn{login: "scott", rows: 1, large: i%2 == 0, at: stage, how: how}
				deadline, verdict := slow, want[how]
				if stage == "logoff" { // nobody cares
					verdict = "up"
				} else if strings.HasSuffix(verdict, "timeout") {
					deadline = 300 * time.Millisecond
				}
				try(t, sdktest.TCP(s.serve), rightOptions(), deadline, verdict)
			})
		}
	}
}

// TestListener has the listener say something else than ACCEPT.
func TestListener(t *testing.T) {
	for name, c := range map[string]struct {
		said []byte
		want string
	}{
		"no service":    {refusal("12514"), "down l7-status: ORA-12514: the listener does not know this service"},
		"no sid":        {refusal("12505"), "down l7-status: ORA-12505: the listener does not know this SID"},
		"blocking":      {refusal("12528"), "down l7-status: ORA-12528: all instances block new connections"},
		"other":         {refusal("1189"), "down l7-status: ORA-01189"},
		"number":        {refusal("99999999999999999999"), "down l7-status: ORA-12564"},
		"no text":       {tns(false, tnsRefuse, []byte{1, 0, 0, 0}), "down l7-status: ORA-12564"},
		"short refusal": {tns(false, tnsRefuse, nil), "down l7-protocol: makes no sense"},
		"short accept":  {tns(false, tnsAccept, []byte{1, 58}), "down l7-protocol: makes no sense"},
		"other accept":  {tns(false, tnsAccept, bytes.Repeat([]byte{0xff}, 40)), "down l7-protocol: makes no sense"},
		"marker":        {tns(false, tnsMarker, []byte{1, 0, 1}), "down l7-protocol"},
		"data":          {tns(false, tnsData, nil), "down l7-protocol"},
		"no address":    {tns(false, tnsRedirect, []byte{0, 2, 'a', 'b'}), "down l7-protocol"},
		"empty":         {tns(false, tnsRedirect, nil), "down l7-protocol: makes no sense"},
		"no packet":     {[]byte{0, 3, 0, 0, tnsAccept, 0, 0, 0}, "down l7-protocol: a packet of 3 bytes"},
		"resend":        {bytes.Repeat(tns(false, tnsResend, nil), 10_000), "down l7-protocol: asks for the same once more"},
		"connect":       {tns(false, 1, nil), "down l7-protocol: not the protocol of Oracle"},
		"elsewhere":     {redirect("127.0.0.1:99999"), "down l7-protocol: redirected to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try(t, sdktest.TCP(standIn{prologue: c.said}.serve), rightOptions(), slow, c.want)
		})
	}
}

// TestRedirect follows a listener, not for ever.
func TestRedirect(t *testing.T) {
	healthy, stop, err := sdktest.TCP(standIn{login: "scott", rows: 1}.serve)(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	try(t, sdktest.TCP(standIn{prologue: redirect(healthy.String())}.serve), rightOptions(), slow, "up")
	stop()
	try(t, sdktest.TCP(standIn{prologue: redirect(healthy.String())}.serve), rightOptions(), slow, "down l4-refused")
	var turns atomic.Int32
	circle := func(conn net.Conn) {
		turns.Add(1)
		standIn{prologue: redirect(conn.LocalAddr().String())}.serve(conn)
	}
	try(t, sdktest.TCP(circle), rightOptions(), slow, "down l7-protocol: more than 3 redirects")
	if n := turns.Load(); n != 2*4 { // both families
		t.Errorf("%d connections", n)
	}
}

// TestBounds: what a server says does not decide how much is read and computed.
func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		server standIn
		want   string
	}{
		"endless rows":         {standIn{rows: -1}, "down l7-protocol: more than 1048576 bytes"},
		"endless rows, large":  {standIn{rows: -1, large: true}, "down l7-protocol: more than 1048576 bytes"},
		"a key in many rounds": {standIn{rounds: "100000000", large: true}, "down l7-protocol: too many rounds"},
		"a key in some rounds": {standIn{rounds: "20000", rows: 1, large: true}, "up"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.server.login = "scott"
			try(t, sdktest.TCP(c.server.serve), rightOptions(), slow, c.want)
		})
	}
	t.Run("2 GB in a packet", func(t *testing.T) {
		huge := func(conn net.Conn) {
			d := &dialogue{standIn: standIn{large: true}, conn: conn}
			if d.greet() == nil {
				_, _ = conn.Write([]byte{0x7f, 0xff, 0xff, 0xff, tnsData, 0, 0, 0})
				_, _ = io.Copy(io.Discard, conn)
			}
		}
		try(t, sdktest.TCP(huge), rightOptions(), slow, "down l7-protocol: more than 1048576 bytes")
	})
}

// TestDescriptor: the database is named as the options say.
func TestDescriptor(t *testing.T) {
	for want, o := range map[string]sdk.Options{
		"(CONNECT_DATA=(SID=ORCL)(CID=(PROGRAM=ldirectord)":           {},
		"(CONNECT_DATA=(SERVICE_NAME=sales)(CID=(PROGRAM=ldirectord)": {"database": "sales", "database-is": "service"},
		"(CONNECT_DATA=(SERVICE_NAME=)(CID=(PROGRAM=ldirectord)":      {"database": ""},
	} {
		addr, stop, err := sdktest.TCP(standIn{login: "scott", rows: 1}.serve)(netip.MustParseAddr("::1"))
		if err != nil {
			t.Fatal(err)
		}
		v := newCheck().Checker().Probe(t.Context(), sdk.Target{Service: "oracle", Addr: addr, Network: "tcp"}, with(o))
		stop()
		for _, line := range []string{"> CONNECT (DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST=::1)", want, "< ACCEPT, 32 bytes", "> SELECT 1 FROM dual"} {
			if !strings.Contains(v.Transcript, line) {
				t.Errorf("%v: no %q in\n%s", o, line, v.Transcript)
			}
		}
		if v.Status != sdk.StatusUp || len(v.Phases) != 4 {
			t.Errorf("%v: %s %s, phases %v", o, v.Status, v.Reason, v.Phases)
		}
	}
}
