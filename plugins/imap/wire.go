package main

import (
	"bytes"
	"strings"

	"github.com/emersion/go-imap"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// The library's parser and writer are used on lines that probe.Talk has read and bounded, and not
// its client: that one would hold whatever a server announces, and log what it says.

// encode is a command in lines. The server has to agree before each that is not the first: it begins
// with a literal (RFC 3501, 7.5).
func encode(command imap.Command) ([]string, error) {
	agreed := make(chan bool, len(command.Arguments))
	for range command.Arguments {
		agreed <- true
	}
	var text bytes.Buffer
	if err := command.WriteTo(imap.NewClientWriter(&text, agreed)); err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(text.String(), "\r\n"), "\r\n"), nil
}

// quoted is text as encode quotes it (RFC 3501, 4.3).
func quoted(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
}

// read reads the next line and what it means. The meaning of an untagged line that cannot be
// parsed is nil: it is none that we wait for.
func read(talk *probe.Talk) (string, imap.Resp, error) {
	line, err := talk.Line()
	if err != nil {
		return "", nil, err
	}
	resp, err := parse(line)
	if err != nil && !strings.HasPrefix(line, "* ") {
		return "", nil, notIMAP(line)
	}
	return line, resp, nil
}

// parse understands a line. Literals in it would go on behind it: there are none in what a server
// has to say to us.
func parse(line string) (imap.Resp, error) {
	in := imap.NewReader(bytes.NewBufferString(line + "\r\n"))
	in.MaxLiteralSize = 1
	resp, err := imap.ReadResp(in)
	if err != nil {
		return nil, err
	}
	// The parser takes a status without a text for data.
	if data, ok := resp.(*imap.DataResp); ok && len(data.Fields) == 1 {
		word, _ := data.Fields[0].(string)
		switch kind := imap.StatusRespType(word); kind {
		case imap.StatusRespOk, imap.StatusRespNo, imap.StatusRespBad, imap.StatusRespPreauth, imap.StatusRespBye:
			return &imap.StatusResp{Tag: data.Tag, Type: kind}, nil
		}
	}
	return resp, nil
}

func notIMAP(line string) error {
	return probe.Failed(sdk.CodeProtocol, "no answer in the IMAP protocol: \"%s\"", probe.Brief(line))
}

// refusal is an error for a server that said no in its own protocol, and of which leave can be taken.
func refusal(code sdk.Code, format string, args ...any) error {
	return refusalError{probe.Failed(code, format, args...)}
}

type refusalError struct{ error }

func (r refusalError) Unwrap() error { return r.error }

func isRefusal(err error) bool {
	_, ok := err.(refusalError)
	return ok
}

// codeOf tells a server that cannot from one that does not want (RFC 5530, 3): code is that of
// the latter.
func codeOf(code sdk.Code, said *imap.StatusResp) sdk.Code {
	if said.Type != imap.StatusRespNo {
		return sdk.CodeStatus
	}
	switch said.Code {
	case "UNAVAILABLE", "SERVERBUG", "CONTACTADMIN", "LIMIT", "INUSE":
		return sdk.CodeStatus
	}
	return code
}

// offered are the capabilities that a greeting lists; nil when it lists none.
func offered(greeting *imap.StatusResp) []string {
	if greeting.Code != imap.CodeCapability {
		return nil
	}
	return texts(greeting.Arguments)
}

func texts(fields []any) (all []string) {
	for _, f := range fields {
		if text, ok := f.(string); ok {
			all = append(all, text)
		}
	}
	return all
}
