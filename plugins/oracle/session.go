package main

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sijms/go-ora/v2/network"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// client is what the check needs of a client library. It speaks over the connections of a dialer,
// which ends whatever it waits for when the probe's time is over.
type client interface {
	// login connects and logs in.
	login() error
	// query runs a statement, after login, and says whether it gave or changed a row.
	query(statement string) (row bool, err error)
	// logoff ends the session in the server.
	logoff()
}

// session is one probe under way.
type session struct {
	o      options
	tr     *probe.Trace
	dialer *dialer
}

func (s *session) run(c client) sdk.Verdict {
	err := s.guard(c.login)
	s.tr.Phase("login")
	if err != nil {
		return probe.Judge(err)
	}
	row := false
	s.tr.Sent([]byte(s.o.Request))
	err = s.guard(func() (err error) {
		row, err = c.query(s.o.Request)
		return err
	})
	s.tr.Phase("query")
	if err != nil {
		return probe.Judge(err)
	}
	s.dialer.hurry()
	_ = s.guard(func() error { c.logoff(); return nil }) // the verdict is there already
	if !row {
		return sdk.DownWith(sdk.CodeStatus, "the query gives no row")
	}
	return sdk.Up()
}

// guard runs a part of the client library, and sorts its error. The library takes much of what a
// server says for granted, and panics when it is otherwise: that is the server's fault, as long as it
// has said anything. All of it runs in this goroutine (see newLibrary).
func (s *session) guard(step func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if !s.dialer.heard() {
				panic(p)
			}
			err = s.sort(fmt.Errorf("an answer that makes no sense: %v", p))
		}
	}()
	return s.sort(step())
}

// sort makes of an error of the library's one that probe.Judge understands.
func (s *session) sort(err error) error {
	if err == nil {
		return nil
	}
	if cause := s.dialer.failure(); cause != nil {
		return cause // what the library makes of it says less
	}
	if ora, ok := errors.AsType[*network.OracleError](err); ok {
		text, _, _ := strings.Cut(strings.TrimSpace(ora.ErrMsg), "\n")
		if !oraText.MatchString(text) { // the library's own words are not the database's
			text = fmt.Sprintf("ORA-%05d", ora.ErrCode)
		}
		return saysNo(ora.ErrCode, text)
	}
	if errors.Is(err, driver.ErrBadConn) {
		// The library hides an error of the server's that ends the session.
		if text := oraText.FindString(s.dialer.said()); text != "" {
			return probe.Failed(sdk.CodeStatus, "%s", probe.Brief(text))
		}
		return probe.Failed(sdk.CodeClosed, "the server ended the session")
	}
	return probe.Failed(sdk.CodeProtocol, "%s", probe.Brief(err.Error()))
}

// oraText is how a message of the server's begins.
var oraText = regexp.MustCompile(`ORA-\d{5}: [^\n]*`)

// loginCodes are the errors that mean the login: no password, a wrong one, no right to connect, locked,
// expired, and to be used by administrators alone (Oracle Database Error Messages).
var loginCodes = []int{1005, 1017, 1045, 28000, 28001, 28009}

// listenerTexts are the usual ones of a listener, which sends the number alone.
var listenerTexts = map[int]string{
	12504: "the connect descriptor names no service: set database",
	12505: "the listener does not know this SID",
	12514: "the listener does not know this service",
	12516: "the listener has no handler for this protocol",
	12519: "the listener has no handler: too many sessions",
	12520: "the listener has no handler: too many sessions",
	12526: "all instances are in restricted mode",
	12528: "all instances block new connections",
}

// saysNo is an error that the database or its listener reports.
func saysNo(code int, text string) error {
	if words, ok := listenerTexts[code]; ok {
		text = fmt.Sprintf("ORA-%05d: %s", code, words)
	}
	if slices.Contains(loginCodes, code) {
		return probe.Failed(sdk.CodeAuth, "%s", probe.Brief(text))
	}
	return probe.Failed(sdk.CodeStatus, "%s", probe.Brief(text))
}
