package main

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// The first byte of a packet that the server answers with.
const (
	isOK     = 0x00
	isMore   = 0x01
	isFile   = 0xfb
	isSwitch = 0xfe // in a result: its end
	isError  = 0xff
)

// Capabilities of the protocol.
const (
	canMySQL    = 1 << 0 // what MariaDB is not; it has more capabilities then
	canDatabase = 1 << 3
	canTLS      = 1 << 11

	canCache = 1 << 4 // of MariaDB's
)

// driverFlags are the capabilities that the driver wants: MySQL, rows that are found, long flags, local files, protocol
// 4.1, transactions, secure connection, multiple results, plugins, attributes of the connection, long
// data of plugins, no EOF packets.
const driverFlags = canMySQL | 1<<1 | 1<<2 | 1<<7 | 1<<9 | 1<<13 | 1<<15 | 1<<17 | 1<<19 | 1<<20 | 1<<21 | 1<<24

// maxColumns is how many columns the answer to a query may have: a server's own limit.
const maxColumns = 4096

func nonsense(format string, args ...any) error {
	return probe.Failed(sdk.CodeProtocol, "no answer in the MySQL protocol: "+format, args...)
}

// greeting is what a server says first.
type greeting struct {
	version, plugin string
	flags           uint32
	more            uint32 // flags of MariaDB
}

// readGreeting understands a greeting of protocol 10, whole enough for the driver, which trusts in that. An
// error packet instead is a *mysql.MySQLError.
func readGreeting(p []byte) (g greeting, err error) {
	if p[0] == isError {
		if !wholeError(p) {
			return g, nonsense("an error cut short")
		}
		return g, errorOf(p)
	}
	version, rest, ended := bytes.Cut(p[1:], []byte{0})
	if p[0] != 10 || !ended {
		return g, nonsense("greeting %q", probe.Brief(string(p[:min(len(p), 40)])))
	}
	// 4 bytes of number, 8 of challenge, 1 of filler, 2 of capabilities; 1 of character set, 2 of
	// status, 2 of capabilities, 1 of length, 10 of filler, 13 of challenge.
	if len(rest) < 15+29 {
		return g, nonsense("a greeting of a server before MySQL 4.1, or cut short")
	}
	g.version = string(version)
	g.flags = uint32(binary.LittleEndian.Uint16(rest[13:])) | uint32(binary.LittleEndian.Uint16(rest[18:]))<<16
	if g.flags&canMySQL == 0 {
		g.more = binary.LittleEndian.Uint32(rest[27:])
	}
	plugin, _, _ := bytes.Cut(rest[44:], []byte{0})
	g.plugin = string(plugin)
	return g, nil
}

// wholeError says whether an error packet has what the driver looks for in it.
func wholeError(p []byte) bool { return len(p) > 3 && (p[3] != '#' || len(p) >= 9) }

// errorOf is a whole error packet as the driver has it.
func errorOf(p []byte) *mysql.MySQLError {
	e := &mysql.MySQLError{Number: binary.LittleEndian.Uint16(p[1:])}
	text := p[3:]
	if text[0] == '#' {
		copy(e.SQLState[:], text[1:6])
		text = text[6:]
	}
	e.Message = string(text)
	return e
}

// lookLogin looks at a packet of the login before the driver does, which would panic over some that are cut
// short. It gives back the way to log in that the server changes to, if it does.
func lookLogin(p []byte) (plugin string, err error) {
	switch p[0] {
	case isOK:
		_, err = affected(p)
		return "", err
	case isError:
		if !wholeError(p) {
			return "", nonsense("an error cut short")
		}
		return "", nil
	case isMore:
		return "", lookKey(p[1:])
	case isSwitch:
		return lookSwitch(p[1:])
	}
	return "", nonsense("a packet of type %#02x in the login", p[0])
}

func lookSwitch(p []byte) (plugin string, err error) {
	if len(p) == 0 {
		return "mysql_old_password", nil
	}
	name, challenge, ended := bytes.Cut(p, []byte{0})
	plugin = string(name)
	need := map[string]int{"mysql_native_password": 20, "mysql_old_password": 8}[plugin]
	if !ended || len(bytes.TrimSuffix(challenge, []byte{0})) < need {
		return "", nonsense("a change of the login cut short")
	}
	return plugin, nil
}

// lookKey looks at what may be the public key that the password is encrypted with.
func lookKey(p []byte) error {
	block, _ := pem.Decode(p)
	if block == nil {
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if _, ok := key.(*rsa.PublicKey); err == nil && !ok {
		return nonsense("a public key that is not RSA")
	}
	return nil
}

// affected is how many rows a statement without a result found to change, out of a packet that says OK.
func affected(p []byte) (uint64, error) {
	rows, n := number(p[1:])
	_, m := number(p[min(1+n, len(p)):])
	if n == 0 || m == 0 || len(p) < 1+n+m+2 {
		return 0, nonsense("an OK cut short")
	}
	return rows, nil
}

// lookAnswer looks at the first packet of a result: whether columns follow, else how many rows changed.
func lookAnswer(p []byte) (columns bool, changed uint64, err error) {
	switch p[0] {
	case isOK:
		changed, err = affected(p)
		return false, changed, err
	case isError:
		if !wholeError(p) {
			err = nonsense("an error cut short")
		}
		return false, 0, err
	case isFile:
		return false, 0, nonsense("the server asks for a file of this host")
	}
	count, n := number(p)
	if n == 0 || count == 0 || count > maxColumns {
		return false, 0, nonsense("a result of %d columns", count)
	}
	return true, 0, nil
}

// number reads a number of variable length; its size is 0 when it is cut short.
func number(p []byte) (n uint64, size int) {
	if len(p) == 0 {
		return 0, 0
	}
	size = map[byte]int{0xfc: 3, 0xfd: 4, 0xfe: 9}[p[0]]
	switch {
	case size == 0:
		return uint64(p[0]), 1
	case len(p) < size:
		return 0, 0
	}
	for i := size - 1; i > 0; i-- {
		n = n<<8 | uint64(p[i])
	}
	return n, size
}

// isLogin says whether an error means that the login was refused: SQLSTATE 28, and the codes of
// accounts that are locked or whose password expired.
func isLogin(e *mysql.MySQLError) bool {
	switch e.Number {
	case 1045, 1698, 1862, 3118, 4151:
		return true
	}
	return strings.HasPrefix(string(e.SQLState[:]), "28")
}

// requestSize is that of a request for TLS without its header.
const requestSize = 32

// tlsRequest is the packet that asks for TLS. It has to be the beginning of the driver's answer to the
// greeting, since servers take one or the other at its word.
func tlsRequest(g greeting, database bool) []byte {
	flags := uint32(driverFlags)
	if database {
		flags |= canDatabase
	}
	p := make([]byte, 4+requestSize)
	p[0], p[3] = requestSize, 1
	binary.LittleEndian.PutUint32(p[4:], flags&g.flags|canTLS)
	p[12] = 45 // utf8mb4_general_ci
	binary.LittleEndian.PutUint32(p[32:], g.more&canCache)
	return p
}
