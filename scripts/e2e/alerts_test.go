package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// mailbox ADDRESS FILE starts a mail server that appends the mails it gets to FILE.
func mailbox(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mailbox ADDRESS FILE")
	}
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	file, err := os.OpenFile(ts.MkAbs(args[1]), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	ts.Defer(func() { file.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			takeMail(conn, file) // one after the other: nobody's lines get mixed
		}
	}()
}

// takeMail speaks SMTP (RFC 5321) as far as a client needs it.
func takeMail(conn net.Conn, out io.Writer) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	answer := "220 mailbox"
	for data := false; ; {
		if answer != "" {
			if _, err := io.WriteString(conn, answer+"\r\n"); err != nil {
				return
			}
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		command, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case data && line == ".\r\n":
			data, answer = false, "250 kept"
		case data:
			answer = ""
			fmt.Fprintf(out, "%s\n", strings.TrimSuffix(line, "\r\n"))
		case command == "DATA":
			data, answer = true, "354 go on"
		default:
			answer = "250 ok"
			fmt.Fprintf(out, "> %s", line)
		}
	}
}

// wrote [-count=N] FILE TEXT waits until the file has a line, or N, that contain TEXT; ! wrote looks once that
// it has none, or not so many.
func wrote(ts *testscript.TestScript, neg bool, args []string) {
	least := 1
	if len(args) == 3 {
		n, err := strconv.Atoi(strings.TrimPrefix(args[0], "-count="))
		ts.Check(err)
		least, args = n, args[1:]
	}
	if len(args) != 2 {
		ts.Fatalf("usage: [!] wrote [-count=N] FILE TEXT")
	}
	wait(ts, neg, func() (bool, string) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil && !os.IsNotExist(err) {
			return false, err.Error()
		}
		n := linesWith(string(text), args[1])
		return n >= least != neg, fmt.Sprintf("%s has %d lines with %q, want %d or more: %v\n%s", args[0], n, args[1], least, !neg, text)
	})
}
