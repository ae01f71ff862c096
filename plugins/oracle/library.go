package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net/netip"
	"os"
	"regexp"

	go_ora "github.com/sijms/go-ora/v2"
	"github.com/sijms/go-ora/v2/configurations"
)

// library is sijms/go-ora, without database/sql, whose goroutines a panic must not meet.
//
// Every call gets a context that never ends: at the end of another one the library would write from a
// goroutine of its own. What bounds it are the connections of its dialer.
type library struct {
	config *configurations.ConnectionConfig
	conn   *go_ora.Connection
}

// newLibrary fills the configuration in by hand: parsing one would look at the environment, at
// wallets and at the user's name. No trace is written.
func newLibrary(o options, addr netip.AddrPort, d *dialer) *library {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	const program = "ldirectord" // what administrators see in V$SESSION
	c := &configurations.ConnectionConfig{
		ClientInfo: configurations.ClientInfo{
			ProgramPath: program, ProgramName: program, OSUserName: program, HostName: host, PID: os.Getpid(),
			DriverName: "OracleClientGo", Territory: "AMERICA", Language: "AMERICAN",
		},
		DatabaseInfo: configurations.DatabaseInfo{
			UserID: o.Login, Password: o.Passwd,
			Servers: []configurations.ServerAddr{{Addr: addr.Addr().WithZone("").String(), Port: int(addr.Port())}},
			// The time zone of the database is not asked for when there is one.
			Location: "UTC",
		},
		SessionInfo: configurations.SessionInfo{
			Protocol: "tcp", TransportDataUnitSize: maxUnit, SessionDataUnitSize: maxUnit, Dialer: d,
		},
		PrefetchRows: 1,
	}
	if o.DatabaseIs == "service" || o.Database == "" {
		c.ServiceName = o.Database
	} else {
		c.SID = o.Database
	}
	return &library{config: c}
}

// maxUnit is the largest packet to ask for, in bytes: the default of Oracle's own clients.
const maxUnit = 8192

func (l *library) login() (err error) {
	if l.conn, err = go_ora.NewConnection("", l.config); err != nil {
		return err
	}
	l.conn.NLSData.Language = l.config.Language // else it is asked for, with a query
	return l.conn.OpenWithContext(context.Background())
}

// changes begins statements that give no rows, but change some.
var changes = regexp.MustCompile(`(?i)^\s*(?:insert|update|delete|merge)\b`)

func (l *library) query(statement string) (bool, error) {
	if changes.MatchString(statement) {
		result, err := l.conn.ExecContext(context.Background(), statement, nil)
		if err != nil {
			return false, err
		}
		changed, err := result.RowsAffected()
		return changed > 0, err
	}
	rows, err := l.conn.QueryContext(context.Background(), statement, nil)
	if err != nil {
		return false, err
	}
	err = rows.Next(make([]driver.Value, len(rows.Columns())))
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}

func (l *library) logoff() { _ = l.conn.Close() }
