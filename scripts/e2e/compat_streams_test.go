package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// ldapEntry answers each message of an LDAP client: a bind succeeds, a search finds one entry without
// attributes. Messages and names are short, so that every length is one byte (X.690, 8.1.3.4).
func ldapEntry(c net.Conn, dn string) {
	done := func(id, tag byte) []byte {
		return []byte{0x30, 12, 0x02, 1, id, tag, 7, 0x0a, 1, 0, 0x04, 0, 0x04, 0}
	}
	for head := make([]byte, 2); ; {
		if _, err := io.ReadFull(c, head); err != nil || head[1] > 127 {
			return
		}
		message := make([]byte, head[1])
		if _, err := io.ReadFull(c, message); err != nil || len(message) < 4 {
			return
		}
		id := message[2]
		var answer []byte
		switch message[3] {
		case 0x60: // bind
			answer = done(id, 0x61)
		case 0x63: // search
			n := byte(len(dn))
			answer = append([]byte{0x30, n + 9, 0x02, 1, id, 0x64, n + 4, 0x04, n}, dn...)
			answer = append(answer, 0x30, 0)
			answer = append(answer, done(id, 0x65)...)
		default: // unbind
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// believeMail is an SMTP server that believes everything.
func believeMail(c net.Conn, file string) {
	out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil || !say(c, "220 sink", "") {
		return
	}
	defer out.Close()
	inside := false
	for in := bufio.NewScanner(c); in.Scan(); {
		fmt.Fprintln(out, in.Text())
		word, _, _ := strings.Cut(strings.ToUpper(in.Text()), " ")
		answer := "250 yes"
		switch {
		case inside && in.Text() == ".":
			inside = false
		case inside:
			continue
		case word == "DATA":
			inside, answer = true, "354 go on"
		case word == "QUIT":
			answer = "221 bye!"
		}
		if !say(c, answer, "") {
			return
		}
	}
}

// ftpServer is an FTP server with one file and one user.
type ftpServer struct {
	login      string // NAME:PASSWORD, with * for any password
	name, text string // of the file, whose name has a slash in front
	netns      int    // where connections for data are made and taken
	said       *record
}

func (f *ftpServer) serve(c net.Conn) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the connection
	if unix.Setns(f.netns, unix.CLONE_NEWNET) != nil || !say(c, "220 ftp.example.test", "") {
		return
	}
	s := ftpSession{ftpServer: f, at: "/"}
	defer s.leave()
	for in := bufio.NewScanner(c); in.Scan(); {
		f.said.line(in.Text())
		verb, argument, _ := strings.Cut(in.Text(), " ")
		if !say(c, s.answer(c, strings.ToUpper(verb), argument), "") {
			return
		}
	}
}

// ftpSession is one client's.
type ftpSession struct {
	*ftpServer
	user, at string // who it says to be, and the directory
	in       bool   // logged in
	passive  net.Listener
	active   string // address of the client's; empty: it is passive
}

func (s *ftpSession) leave() {
	if s.passive != nil {
		s.passive.Close()
	}
}

// answer is that to one command (RFC 959, RFC 2428).
func (s *ftpSession) answer(c net.Conn, verb, argument string) string {
	switch {
	case verb == "QUIT":
		return "221 bye!"
	case verb == "USER":
		s.user = argument
		return "331 password"
	case verb == "PASS":
		name, password, _ := strings.Cut(s.login, ":")
		if s.in = s.user == name && (password == "*" || argument == password); !s.in {
			return "530 no"
		}
		return "230 in"
	case !s.in:
		return "530 who are you"
	case verb == "TYPE":
		return "200 yes"
	case verb == "CWD" && path.Join(s.at, argument) == "/":
		return "250 there"
	case verb == "PASV" || verb == "EPSV":
		return s.listen(c, verb == "EPSV")
	case verb == "PORT" || verb == "EPRT":
		return s.connect(argument)
	case verb == "RETR" && path.Join(s.at, argument) == s.name:
		return s.send(c)
	case verb == "RETR" || verb == "CWD":
		return "550 not there"
	}
	return "502 not here"
}

// connect is active mode: h,h,h,h,p,p of RFC 959, or |2|ADDRESS|PORT| of RFC 2428.
func (s *ftpSession) connect(to string) string {
	if parts := strings.Split(to, "|"); len(parts) == 5 {
		s.active = net.JoinHostPort(parts[2], parts[3])
		return "200 there"
	}
	n := strings.Split(to, ",")
	if len(n) != 6 {
		return "501 what"
	}
	var high, low int
	_, _ = fmt.Sscan(n[4]+" "+n[5], &high, &low) // or else nobody is there
	s.active = fmt.Sprintf("%s:%d", strings.Join(n[:4], "."), high<<8+low)
	return "200 there"
}

// listen is passive mode: of RFC 959, or of RFC 2428, which knows IPv6.
func (s *ftpSession) listen(c net.Conn, extended bool) string {
	s.leave()
	var err error
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	if s.passive, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
		s.passive = nil
		return "425 " + err.Error()
	}
	s.active = ""
	port := s.passive.Addr().(*net.TCPAddr).Port
	if extended {
		return fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)", port)
	}
	return fmt.Sprintf("227 Entering Passive Mode (%s,%d,%d)", strings.ReplaceAll(host, ".", ","), port>>8, port&0xff)
}

// send is the transfer.
func (s *ftpSession) send(c net.Conn) string {
	if !say(c, "150 here it comes", "") {
		return "!"
	}
	var to net.Conn
	var err error
	if s.active != "" {
		to, err = net.DialTimeout("tcp", s.active, patience)
	} else if s.passive != nil {
		to, err = s.passive.Accept()
	}
	if err != nil || to == nil {
		return "425 nobody is there"
	}
	defer to.Close()
	if _, err := io.WriteString(to, s.text); err != nil {
		return "426 broken"
	}
	return "226 all"
}
